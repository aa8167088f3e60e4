"""What the life of a purchase needs: purchases by account, refunds without a reference, and weak links to review."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply it."""
    op.add_column("account", sa.Column("refunds_from", sa.Date(), nullable=True))
    op.create_index("purchase_by_account", "purchase", ["bucket", "account", "id"])
    op.create_table(
        "link_review",
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("first", sa.LargeBinary(), nullable=False),
        sa.Column("second", sa.LargeBinary(), nullable=False),
        sa.Column("confidence", sa.SmallInteger(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("detail", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("bucket", "account", "first", "second"),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index("link_review_by_verdict", "link_review", ["verdict", "found_at"])
