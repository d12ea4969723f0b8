"""Local features of images, by which an edited copy is told from a look-alike."""

import sqlalchemy as sa
from alembic import op

from search.schema import Id

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "local_features",
        sa.Column("image_id", Id, sa.ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("record", sa.LargeBinary(), nullable=False),
    )
