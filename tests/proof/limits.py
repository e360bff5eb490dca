"""Judges that what is above a limit waits for a person, and is then written as it was shown (I19)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.proof import excuses
from tests.proof.mapped import bc_values, normal
from tests.proof.verdict import check

if TYPE_CHECKING:
    from tests.proof.approvals import Approvals
    from tests.proof.oracle import Item, Oracle, Scene, Token


def judge_overwrites(oracle: Oracle, before: Scene, after: Scene) -> None:
    """I19: where every overwrite waits, what a user typed on either side is replaced only as a person approved."""
    if not oracle.approvals.every_overwrite_waits:
        return
    for token in oracle.tokens.values():
        mailbox, key = token.place or ("", "")
        if mailbox == "bc":
            _judge_contact(oracle, token, before, after)
            continue
        item, now = before.items.get(mailbox, {}).get(key), after.items.get(mailbox, {}).get(key)
        base = agreed(oracle.baselines.get(key))
        if item is None or now is None or token.field not in base or item.folder_id != now.folder_id:
            continue
        was, known, new = (
            normal(token.field, value)
            for value in (item.values[token.field], base[token.field], now.values[token.field])
        )
        if was == normal(token.field, token.text) and was not in (known, new):
            message = f"{token.text!r} was replaced by {new!r} and nobody had approved it"
            check((item.bc_id, token.field) in oracle.approvals.overwrites, "I19", message)


def _judge_contact(oracle: Oracle, token: Token, before: Scene, after: Scene) -> None:
    _, key = token.place or ("", "")
    contact, now = before.contacts.get(key), after.contacts.get(key)
    known_of = [agreed(baseline) for baseline in oracle.bc_baselines.get(key, ())]
    if contact is None or now is None or not known_of or any(token.field not in base for base in known_of):
        return
    was, new = (normal(token.field, bc_values(each)[token.field]) for each in (contact, now))
    known = {normal(token.field, base[token.field]) for base in known_of}
    if was == normal(token.field, token.text) and was not in known | {new}:
        message = f"{token.text!r} of Business Central was replaced by {new!r} and nobody had approved it"
        check((key, token.field) in oracle.approvals.overwrites_bc, "I19", message)


def agreed(baseline: str | None) -> dict[str, str]:
    """Return the fields of a baseline as the oracle calls them."""
    found = json.loads(baseline or "{}")
    # Outlook's side keeps the user's own entries beside the fields.
    fields = found.get("fields", found)
    return {excuses.KNOWN_AS.get(name, name): value for name, value in fields.items()}


def judge_made_again(oracle: Oracle, before: Scene, after: Scene) -> None:
    """I19: of a folder that is suddenly empty nothing is made again before a person said so (rules 8.3)."""
    emptied = oracle.pairs.emptied(before, oracle.approvals.settings.get("guard_emptied_from", 10))
    profiles = {profile.key: profile for profile in oracle.profiles}
    for key, bc_id in emptied:
        profile = profiles[key]
        # Another profile of the mailbox makes items in a folder of its own, which may be new.
        of_mailbox = {each.number for each in oracle.profiles if each.mailbox == profile.mailbox}
        made = [
            item
            for item in after.items[profile.mailbox].values()
            if item.bc_id == bc_id
            and item.id not in before.items[profile.mailbox]
            and oracle.bound.get(item.folder_id, of_mailbox) == {profile.number}
        ]
        message = f"{bc_id[:8]} of an emptied folder was made again and nobody had approved it"
        check(not made or bc_id in oracle.approvals.recreates, "I19", message)


def judge_creates(oracle: Oracle, before: Scene, after: Scene) -> None:
    """I19: where every create waits, a new contact was approved, and as it was shown."""
    if not oracle.approvals.every_create_waits:
        return
    for key in after.contacts.keys() - before.contacts.keys() - oracle.users_contacts:
        values = bc_values(after.contacts[key])
        message = f"{values['name']!r} was created in Business Central and not approved so"
        check(oracle.approvals.was_shown(values, normal), "I19", message)


def judge_delete(approvals: Approvals, item: Item, message: str, *, is_free: bool) -> None:
    """Where every delete waits, this one was approved; but for privacy, and of two items of one contact."""
    if approvals.every_delete_waits and not is_free:
        check(item.bc_id in approvals.deletes, "I19", f"{message} was deleted and nobody had approved it")
