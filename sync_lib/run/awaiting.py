"""What a comparison depended on beside the pairs in agreement, so that a change in BC is known to concern it."""

from __future__ import annotations

from sqlalchemy import Connection

from sync_lib.fields.contact_keys import BcKey
from sync_lib.model import Plan, Side
from sync_lib.run.inputs import ProfileView
from sync_lib.store.awaited import Awaited, digests
from sync_lib.store.snapshots import bc_contacts


def awaited_by(conn: Connection, company: int, view: ProfileView, plan: Plan) -> Awaited:
    """Return what the contacts wait for that a comparison left out of any pair, or out of the sync.

    Args:
        conn: Inside a transaction.
        company: Key of the profile's company.
        view: What was compared.
        plan: What it came to.
    """
    views = view.views
    items = [views.items[key] for key in views.uncoupled_items if key in views.items]
    keys = [key.contact_id for item in items if (key := BcKey.parse(item.bc_key))]
    rejected = [reject.contact for reject in plan.rejects if reject.side is Side.BUSINESS_CENTRAL]
    contacts = {*views.uncoupled_bc, *views.left_out, *keys, *rejected}
    sides = [views.bc[key] for key in contacts if key in views.bc]
    # Whoever shares an address with one of them stands in its way, or will no longer.
    sharing = {side.id for item in items for side in views.by_email.get(item.email_key, ())}
    named = bc_contacts.read_companies_named(conn, company, view.company_names)
    return Awaited(
        frozenset(contacts | sharing | named),
        digests([*(item.email_key for item in items), *(side.email_key for side in sides)])
        | {item.address_digest for item in items if item.address_digest},
        digests(view.company_names),
    )
