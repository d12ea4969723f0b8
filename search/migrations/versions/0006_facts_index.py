"""An index of what filters ask for: without it they read every row, and most of a row is its vector."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    columns = ["taken_at", "format", "camera", "width", "height", "latitude", "longitude"]
    op.create_index("images_facts", "images", columns)
