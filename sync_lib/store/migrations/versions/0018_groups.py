"""Groups of Entra ID whose members get profiles, and what the rows of the file of profiles have by default."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "profile_default",
        sa.Column("setting", sa.String(length=32), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("setting", name=op.f("pk_profile_default")),
    )
    op.create_table(
        "profile_group",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("group_name", sa.Text(), nullable=False),
        sa.Column("group_id", sa.Text(), server_default="", nullable=False),
        sa.Column("company_name", sa.Text(), nullable=False),
        sa.Column("folder_name", sa.Text(), server_default="Business Central", nullable=False),
        sa.Column("filter", sa.Text(), server_default="[]", nullable=False),
        sa.Column("direction", sa.String(length=24), server_default="both", nullable=False),
        sa.Column("language", sa.String(length=8), server_default="nl", nullable=False),
        sa.Column("deleted_in_outlook", sa.String(length=16), server_default="recreate", nullable=False),
        sa.Column("deleted_in_bc", sa.String(length=16), server_default="delete", nullable=False),
        sa.Column("left_scope", sa.String(length=16), server_default="delete", nullable=False),
        sa.Column("blank_in_bc", sa.String(length=16), server_default="fill", nullable=False),
        sa.Column("leavers", sa.String(length=16), server_default="switch_off", nullable=False),
        sa.Column("looked_at", sa.String(length=24), nullable=True),
        sa.Column("members", sa.Integer(), nullable=True),
        sa.Column("waiting", sa.Integer(), server_default="0", nullable=False),
        sa.Column("trouble", sa.String(length=32), server_default="", nullable=False),
        sa.Column("created_at", sa.String(length=24), nullable=False),
        sa.Column("updated_at", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profile_group")),
        sa.UniqueConstraint(
            "group_name", "company_name", name=op.f("uq_profile_group_group_name_company_name")
        ),
    )
    op.create_table(
        "profile_group_member",
        sa.Column("profile_group", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("profile", sa.Integer(), nullable=True),
        sa.Column("given", sa.Text(), server_default="{}", nullable=False),
        sa.Column("joined_at", sa.String(length=24), nullable=False),
        sa.Column("left_at", sa.String(length=24), nullable=True),
        sa.ForeignKeyConstraint(
            ["profile_group"], ["profile_group.id"], name=op.f("fk_profile_group_member_profile_group")
        ),
        sa.ForeignKeyConstraint(
            ["profile"], ["sync_profile.id"], name=op.f("fk_profile_group_member_profile")
        ),
        sa.PrimaryKeyConstraint("profile_group", "user_id", name=op.f("pk_profile_group_member")),
    )
    op.create_index(op.f("ix_profile_group_member_profile"), "profile_group_member", ["profile"])


def downgrade() -> None:
    for table in ("profile_group_member", "profile_group", "profile_default"):
        op.drop_table(table)
