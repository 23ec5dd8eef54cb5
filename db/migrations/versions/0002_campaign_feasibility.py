"""What a campaign's targets ask for, as it was judged before its first iteration.

Revision 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; campaigns from before have none."""
    op.add_column("campaign", sa.Column("feasibility", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    """Take it away."""
    op.drop_column("campaign", "feasibility")
