"""Companies and profiles, and what they were called before (rules 1)."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine.default import DefaultExecutionContext

from sync_lib.store.tables.schema import RowId, Time, blank, metadata

#: A BC company that profiles name. ``generation`` grows with every stage that changed a row of it.
company = Table(
    "company",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("tenant_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("company_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("phone_region", String(2), nullable=False, server_default="NL"),
    Column("generation", BigInteger, nullable=False, server_default="0"),
    # The stop rule of rules 8.3: the count that a person (or the first read) accepted; one that waits is a hold.
    Column("accepted_count", Integer),
    Column("countries", Text, nullable=False, server_default="{}"),
    # Where the Connection points instead, until it is pointed back or a person accepts the move (rules 1).
    blank("offered_tenant_id"),
    blank("offered_environment"),
    UniqueConstraint("tenant_id", "environment", "company_id"),
)

#: Where a company was before a person accepted a move: keys and markers of it count as ours (rules 1).
former_binding = Table(
    "former_binding",
    metadata,
    Column("company", ForeignKey("company.id"), primary_key=True),
    Column("tenant_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("company_id", Text, primary_key=True),
    Column("until", Time, nullable=False),
)

#: What a company was called before: a file may still name it so.
former_company_name = Table(
    "former_company_name",
    metadata,
    Column("company", ForeignKey("company.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("until", Time, nullable=False),
)

#: What people set per company, by the name (or id) that profiles know it by, before any run resolved it.
company_setting = Table(
    "company_setting",
    metadata,
    Column("company_name", Text, primary_key=True),
    Column("phone_region", String(2), nullable=False, server_default="NL"),
)


def _mailbox_key(context: DefaultExecutionContext) -> str:
    mailbox: str = context.get_current_parameters()["mailbox"]  # type: ignore[no-untyped-call]
    return mailbox.casefold()


#: Rules 1. ``company_name`` is what the person wrote (name or id); ``company`` is the company it resolved to.
sync_profile = Table(
    "sync_profile",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("mailbox", Text, nullable=False),
    # The address as two of them are compared: whatever case people wrote it in, it is one mailbox.
    Column("mailbox_key", Text, nullable=False, server_default="", default=_mailbox_key),
    Column("company_name", Text, nullable=False),
    Column("company", ForeignKey("company.id")),
    Column("enabled", Boolean, nullable=False, server_default="1"),
    Column("folder_name", Text, nullable=False, server_default="Business Central"),
    Column("default_folder", Boolean, nullable=False, server_default="0"),
    # The folder's name in the imported file: it still means this profile when a user has renamed the folder since.
    blank("folder_asked"),
    # JSON: one group as a list of [field, expression], several as a list of such lists (``filters.to_written``).
    Column("filter", Text, nullable=False, server_default="[]"),
    Column("direction", String(24), nullable=False, server_default="both"),
    Column("salesperson_code", String(20), nullable=False, server_default=""),
    Column("language", String(8), nullable=False, server_default="nl"),
    # Policies of rules 7: recreate / stay_away, delete / keep, delete / keep, fill / overwrite.
    Column("deleted_in_outlook", String(16), nullable=False, server_default="recreate"),
    Column("deleted_in_bc", String(16), nullable=False, server_default="delete"),
    Column("left_scope", String(16), nullable=False, server_default="delete"),
    Column("blank_in_bc", String(16), nullable=False, server_default="fill"),
    # JSON: templates of the categories in Outlook (``fields.categories``).
    Column("categories", Text, nullable=False, server_default='["Business Central"]'),
    # What the profile is bound to when it first syncs.
    Column("graph_user_id", Text),
    Column("folder_id", Text),
    # The folder's name when it was last seen: distinguishes a rename by the user from one in the profile.
    blank("folder_seen"),
    Column("folder_made_by_sync", Boolean, nullable=False, server_default="0"),
    Column("marker_counter", Integer, nullable=False, server_default="0"),
    # Another account that has the mailbox's address now, until a person says that it is the same colleague.
    blank("successor"),
    # A folder with this profile's marker beside the bound one, and what a person answered: go_back / leave.
    blank("second_folder"),
    blank("second_answer", String(8)),
    # A folder that was left: our marker and keys are still to be taken off.
    blank("leaving_folder"),
    # Why the next run is a restored one (rules 2.8) although the folder's marker is not ahead.
    blank("restored_by", String(32)),
    # The folder whose first look is remembered in ``held_action``; another one is looked at once it has been read.
    blank("looked_at"),
    # How a person wants it ended: keep / remove. Confirmed at ``ending_at``; from ``ending_began`` on nothing is synced
    # any more, and what is ours is taken off; ``ended_notes`` (JSON) says what could not be done.
    blank("ending", String(8)),
    Column("ending_at", Time),
    Column("ending_began", Time),
    Column("ended_at", Time),
    Column("ended_notes", Text, nullable=False, server_default="{}"),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    UniqueConstraint("mailbox", "company_name", "folder_name"),
    UniqueConstraint("graph_user_id", "folder_id"),
    Index(None, "mailbox_key"),
)

#: What a mailbox was called before: a file may still name it so.
former_mailbox = Table(
    "former_mailbox",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("mailbox", Text, primary_key=True),
    Column("until", Time, nullable=False),
)

#: Folders that a profile was bound to before: one of them that comes back is reported (rules 1).
former_folder = Table(
    "former_folder",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("folder_id", Text, primary_key=True),
    Column("until", Time, nullable=False),
)

#: Who changed which settings of a profile. ``settings`` is JSON: column -> [before, after].
profile_change = Table(
    "profile_change",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("profile", ForeignKey("sync_profile.id"), nullable=False),
    Column("at", Time, nullable=False),
    Column("who", Text, nullable=False),  # user of Airflow, or ``contact-sync`` for a file or a terminal
    Column("is_new", Boolean, nullable=False, server_default="0"),
    Column("settings", Text, nullable=False, server_default="{}"),
    Index(None, "profile", "at"),
)

#: The last connection check of each profile. ``lines`` is JSON: see ``profile_checks``.
profile_check = Table(
    "profile_check",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("run", Text, nullable=False),
    Column("at", Time, nullable=False),
    Column("lines", Text, nullable=False),
)

#: What rows of the file of profiles have that do not say otherwise: column of ``sync_profile`` -> its value as JSON.
profile_default = Table(
    "profile_default",
    metadata,
    Column("setting", String(32), primary_key=True),
    Column("value", Text, nullable=False),
)

#: A group of Entra ID whose members get profiles. ``group_name`` is what the person wrote (name or id), ``group_id``
#: what it was found to be.
profile_group = Table(
    "profile_group",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("group_name", Text, nullable=False),
    blank("group_id"),
    Column("company_name", Text, nullable=False),
    # What the profiles of its members have, as in ``sync_profile``.
    Column("folder_name", Text, nullable=False, server_default="Business Central"),
    Column("filter", Text, nullable=False, server_default="[]"),
    Column("direction", String(24), nullable=False, server_default="both"),
    Column("language", String(8), nullable=False, server_default="nl"),
    Column("deleted_in_outlook", String(16), nullable=False, server_default="recreate"),
    Column("deleted_in_bc", String(16), nullable=False, server_default="delete"),
    Column("left_scope", String(16), nullable=False, server_default="delete"),
    Column("blank_in_bc", String(16), nullable=False, server_default="fill"),
    Column("categories", Text, nullable=False, server_default='["Business Central"]'),
    # What becomes of who leaves: switch_off, end_keep, end_remove.
    Column("leavers", String(16), nullable=False, server_default="switch_off"),
    # The last look: when, how many members, how many leavers wait, and why not everything, or nothing, was done.
    Column("looked_at", Time),
    Column("members", Integer),
    Column("waiting", Integer, nullable=False, server_default="0"),
    blank("trouble", String(32)),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    UniqueConstraint("group_name", "company_name"),
)

#: Who got a profile by a group. ``given`` is JSON: what the group gave last, by column; where the profile has something
#: else, a person changed it. Without ``profile`` a person removed it, and it is not made again.
profile_group_member = Table(
    "profile_group_member",
    metadata,
    Column("profile_group", ForeignKey("profile_group.id"), primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("profile", ForeignKey("sync_profile.id")),
    Column("given", Text, nullable=False, server_default="{}"),
    Column("joined_at", Time, nullable=False),
    Column("left_at", Time),
    Index(None, "profile"),
)
