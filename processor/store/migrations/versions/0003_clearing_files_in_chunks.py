"""Clearing files that are accepted first and decided in chunks, and the records of them that went wrong.

A file whose taking an earlier version had begun is forgotten: handed in again, what was decided is found decided.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply it."""
    op.execute("DELETE FROM clearing_file WHERE state = 'taking'")
    op.add_column("clearing_file", sa.Column("decided", sa.Integer(), nullable=True))
    op.add_column("clearing_file", sa.Column("totals", postgresql.JSON(astext_type=sa.Text()), nullable=True))
    op.add_column("clearing_file", sa.Column("staging", sa.LargeBinary(), nullable=True))
    op.add_column("clearing_file", sa.Column("chunks", sa.Integer(), nullable=True))
    op.add_column("clearing_file", sa.Column("decided_chunks", sa.Integer(), nullable=True))
    op.add_column("clearing_file", sa.Column("leased_by", sa.Text(), nullable=True))
    op.add_column("clearing_file", sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True))
    op.execute(
        "UPDATE clearing_file SET decided = records, totals = '{}', staging = ''::bytea, chunks = 0, decided_chunks = 0"
    )
    for name in ("decided", "totals", "staging", "chunks", "decided_chunks"):
        op.alter_column("clearing_file", name, nullable=False)
    op.create_index("clearing_file_waiting", "clearing_file", ["received_at"], postgresql_where="state = 'taking'")
    op.create_table(
        "clearing_chunk",
        sa.Column("staging", sa.LargeBinary(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("staging", "number"),
    )
    op.create_table(
        "clearing_exception",
        sa.Column("bank", sa.Text(), nullable=False),
        sa.Column("file_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("outcome", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.SmallInteger(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("bank", "file_id", "number"),
    )
