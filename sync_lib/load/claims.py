"""The right to create contacts in Business Central, for one profile's load (rules 8.7)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sync_lib.load.couple import stage_business_central
from sync_lib.load.target import Target
from sync_lib.model import BcContact
from sync_lib.store.claims import ClaimState, claim_create, drop_claim, renew_claim, take_claim


class Claims:
    """Claims addresses (in normal form) for one profile; each call is a transaction under its lease."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def claim(self, keys: Iterable[str]) -> dict[str, ClaimState]:
        """Claim some addresses, and return who has each."""
        target = self.target
        with target.engine.begin() as conn:
            target.check_lease(conn)
            # In one order everywhere, so that two profiles that claim the same addresses never wait for each other.
            return {
                key: claim_create(
                    conn,
                    target.company,
                    key,
                    profile=target.profile,
                    fencing=target.fencing,
                    run=target.run,
                )
                for key in sorted(keys)
            }

    def renew(self, keys: Iterable[str]) -> set[str]:
        """Return the addresses whose claim is still ours: the look-up before a create may have queued for long."""
        target = self.target
        with target.engine.begin() as conn:
            target.check_lease(conn)
            return {
                key
                for key in sorted(keys)
                if renew_claim(conn, target.company, key, profile=target.profile, fencing=target.fencing)
            }

    def take_over(self, key: str, state: ClaimState) -> bool:
        """Take the claim of a worker that is gone, once nothing that it sent can still be carried out."""
        target = self.target
        if state.bc_id is not None:
            return False
        with target.engine.begin() as conn:
            target.check_lease(conn)
            if state.claimed_at > target.too_late(conn):
                return False
            return take_claim(
                conn,
                target.company,
                key,
                state,
                profile=target.profile,
                fencing=target.fencing,
                run=target.run,
            )

    def drop(self, key: str, found: Sequence[BcContact] = ()) -> None:
        """Give an address free again; whoever was found to have it is staged with that."""
        with self.target.engine.begin() as conn:
            self.target.check_lease(conn)
            drop_claim(conn, self.target.company, key)
            stage_business_central(conn, self.target, found, force=True)
