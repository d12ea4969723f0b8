"""The first schema."""

import sqlalchemy as sa
from alembic import op

from search.schema import FilePath, Id, Text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "images",
        sa.Column("id", Id, primary_key=True),
        sa.Column("path", FilePath(), nullable=False, unique=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("captions_stamp", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("format", Text(), nullable=False),
        sa.Column("taken_at", sa.DateTime()),
        sa.Column("camera", Text()),
        sa.Column("lens", Text()),
        sa.Column("latitude", sa.Double()),
        sa.Column("longitude", sa.Double()),
        sa.Column("caption", Text()),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_images_digest", "images", ["digest"])
    op.create_index("images_stamp", "images", ["path", "size_bytes", "mtime_ns", "captions_stamp"])
    op.create_table(
        "texts",
        sa.Column("id", Id, primary_key=True),
        sa.Column("image_id", Id, sa.ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
        sa.Column("text", Text(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_texts_image_id", "texts", ["image_id"])
    op.create_index("ix_texts_text", "texts", ["text"], postgresql_using="hash")
    op.create_table(
        "failures",
        sa.Column("path", FilePath(), primary_key=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("max_pixels", sa.BigInteger(), nullable=False),
        sa.Column("reason", Text(), nullable=False),
        sa.Column("failed_at", sa.DateTime(), nullable=False),
    )
    op.create_table(
        "roots",
        sa.Column("path", FilePath(), primary_key=True),
        sa.Column("exclude", sa.JSON(), nullable=False),
        sa.Column("include_hidden", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("id", Id, primary_key=True),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
    )
    op.create_table(
        "state",
        sa.Column("id", Id, primary_key=True),
        sa.Column("encoder", Text(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("published_changes", sa.Integer(), nullable=False),
    )
