"""The staging database: every table, in one ``MetaData``. Alembic migrations under ``migrations/`` create them.

The modules of this package hold them by what they are about; whoever works with them names them by the package.
"""

from sync_lib.store.tables.contacts import bc_contact, coupling, former_item, outlook_contact
from sync_lib.store.tables.profiles import (
    company,
    company_setting,
    former_binding,
    former_company_name,
    former_folder,
    former_mailbox,
    profile_change,
    profile_check,
    sync_profile,
)
from sync_lib.store.tables.schema import metadata
from sync_lib.store.tables.shared import (
    budget,
    budget_slot,
    budget_use,
    claim,
    drift_check,
    erasure,
    fact,
    lease,
)
from sync_lib.store.tables.work import (
    change,
    comparison,
    cursor,
    dry_reject,
    held_action,
    hold,
    plan,
    postponed,
    profile_cause,
    reject,
    run_company,
    run_profile,
    sync_run,
    undo,
)

__all__ = [
    "bc_contact",
    "budget",
    "budget_slot",
    "budget_use",
    "change",
    "claim",
    "company",
    "company_setting",
    "comparison",
    "coupling",
    "cursor",
    "drift_check",
    "dry_reject",
    "erasure",
    "fact",
    "former_binding",
    "former_company_name",
    "former_folder",
    "former_item",
    "former_mailbox",
    "held_action",
    "hold",
    "lease",
    "metadata",
    "outlook_contact",
    "plan",
    "postponed",
    "profile_cause",
    "profile_change",
    "profile_check",
    "reject",
    "run_company",
    "run_profile",
    "sync_profile",
    "sync_run",
    "undo",
]
