"""Claims on creates in Business Central: who may make the contact of an address (rules 8.7)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    select,
    update,
)

from sync_lib.fields import normal_forms
from sync_lib.store import clock
from sync_lib.store import tables as t
from sync_lib.store.bulk import upsert
from sync_lib.store.engine import is_postgresql

# -- claims ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClaimState:
    """Who may create a contact with one address in BC, and how far that is.

    Attributes:
        mine: The asking profile holds the claim, from now or from before, and it is not done.
        profile: The profile that holds it.
        fencing: The number of the lease that it was claimed under.
        state: ``open`` (may be sent at any moment), ``unknown`` (was sent, nobody knows), ``done``.
        bc_id: The contact that came of it, when done.
        claimed_at: When it was claimed, by the staging database's clock.
    """

    mine: bool
    profile: int
    fencing: int
    state: str
    bc_id: str | None
    claimed_at: str


def claim_create(  # noqa: PLR0913 - what a row of the table holds
    conn: Connection, company: int, email_key: str, *, profile: int, fencing: int, run: str
) -> ClaimState:
    """Claim the right to create a contact with this address, and return who has it.

    A profile takes over its own claim of an earlier lease: ``state`` says whether that was sent. A claim of another
    profile stays until it is settled, dropped, or taken by ``take_claim``.
    """
    values = {"profile": profile, "fencing": fencing, "run": run, "claimed_at": clock.moment(conn)}
    new = upsert(is_postgresql(conn))(t.claim).values(
        company=company, email_key=email_key, state="open", **values
    )
    made = conn.execute(new.on_conflict_do_nothing().returning(t.claim.c.claimed_at)).first()
    if made:
        return ClaimState(True, profile, fencing, "open", None, made.claimed_at)
    found = _read_claim(conn, company, email_key)
    if found is None or found.profile != profile or found.state == "done":
        # None: dropped at this very moment; the next run asks again.
        return found or ClaimState(False, 0, 0, "open", None, clock.now(conn))
    mine = replace(found, mine=True, fencing=fencing)
    conn.execute(update(t.claim).where(_is_claim(company, email_key)).values(fencing=fencing, run=run))
    return mine


def take_claim(  # noqa: PLR0913 - what a row of the table holds
    conn: Connection, company: int, email_key: str, seen: ClaimState, *, profile: int, fencing: int, run: str
) -> bool:
    """Take over another profile's claim as it was seen; False when it has changed since.

    For claims whose holder is gone: wait the longest request time first, and look the contact up before creating it.
    """
    columns = t.claim.c
    unchanged = and_(
        _is_claim(company, email_key),
        columns.profile == seen.profile,
        columns.fencing == seen.fencing,
        columns.state == seen.state,
        columns.claimed_at == seen.claimed_at,
    )
    values = {"profile": profile, "fencing": fencing, "run": run, "claimed_at": clock.moment(conn)}
    taken = update(t.claim).where(unchanged).values(values)
    return bool(conn.execute(taken).rowcount)


def renew_claim(conn: Connection, company: int, email_key: str, *, profile: int, fencing: int) -> bool:
    """Let our claim count from now, right before its create is sent; False where another profile has taken it."""
    columns = t.claim.c
    ours = and_(_is_claim(company, email_key), columns.profile == profile, columns.fencing == fencing)
    renewed = update(t.claim).where(ours).values(claimed_at=clock.moment(conn))
    return bool(conn.execute(renewed).rowcount)


def settle_claim(  # noqa: PLR0913 - what a row of the table holds
    conn: Connection, company: int, email_key: str, *, run: str, state: str, bc_id: str | None = None
) -> None:
    """Say what became of a claim: ``unknown``, or ``done`` with the contact, which ends with the run that found it."""
    values = {"state": state, "bc_id": bc_id, "run": run}
    conn.execute(update(t.claim).where(_is_claim(company, email_key)).values(values))


def drop_claim(conn: Connection, company: int, email_key: str) -> None:
    """Give the address free again, after a definite refusal."""
    conn.execute(delete(t.claim).where(_is_claim(company, email_key)))


def renew_claims(conn: Connection, company: int) -> None:
    """Bring the addresses of a company's claims into the present normal form: a key is the key of itself, or older."""
    keys = list(conn.scalars(select(t.claim.c.email_key).where(t.claim.c.company == company)))
    for old in keys:
        new = normal_forms.email_key(old)
        if new != old and new not in keys:
            conn.execute(update(t.claim).where(_is_claim(company, old)).values(email_key=new))


def drop_done_claims(conn: Connection, run: str) -> None:
    """Forget what a run created: from its end on, the snapshots show it."""
    conn.execute(delete(t.claim).where(t.claim.c.run == run, t.claim.c.state == "done"))


def _is_claim(company: int, email_key: str) -> ColumnElement[bool]:
    return and_(t.claim.c.company == company, t.claim.c.email_key == email_key)


def _read_claim(conn: Connection, company: int, email_key: str) -> ClaimState | None:
    columns = t.claim.c
    wanted = select(columns.profile, columns.fencing, columns.state, columns.bc_id, columns.claimed_at)
    row = conn.execute(wanted.where(_is_claim(company, email_key))).first()
    return ClaimState(False, *row) if row else None
