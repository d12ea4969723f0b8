"""Labels, and the images that have them as tags."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "labels",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("sensitive", sa.Boolean(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "tags",
        sa.Column("image_id", sa.Integer(), sa.ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("label_id", sa.Integer(), sa.ForeignKey("labels.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("probability", sa.Double(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tags_label_id", "tags", ["label_id"])
    op.add_column("state", sa.Column("tag_changes", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("state", sa.Column("tagged_to", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("state", sa.Column("logit_scale", sa.Double()))
