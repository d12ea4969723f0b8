"""Labels, and the images that have them as tags."""

import sqlalchemy as sa
from alembic import op

from search.schema import Id, Text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "labels",
        sa.Column("id", Id, primary_key=True),
        sa.Column("name", Text(), nullable=False, unique=True),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("sensitive", sa.Boolean(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "tags",
        sa.Column("image_id", Id, sa.ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("label_id", Id, sa.ForeignKey("labels.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("probability", sa.Double(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tags_label_id", "tags", ["label_id"])
    op.add_column("state", sa.Column("tag_changes", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("state", sa.Column("tagged_to", Id, nullable=False, server_default="0"))
    op.add_column("state", sa.Column("logit_scale", sa.Double()))
