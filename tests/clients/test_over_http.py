"""The clients against the sandbox, over real sockets: every promise again, with the service's own state as witness."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import Sandbox
from sync_lib.clients.auth import TokenSource, roles
from sync_lib.clients.business_central import BusinessCentralClient
from sync_lib.clients.outlook import OutlookClient
from sync_lib.clients.session import ApiSession
from sync_lib.errors import (
    AccessDeniedError,
    AuthError,
    CursorExpiredError,
    MalformedAnswerError,
    NotFoundError,
    RejectedError,
    ServiceError,
    ThrottledError,
    VersionMismatchError,
)
from sync_lib.model import BcContact
from sync_lib.ports import BatchWrite, BcUpdate, WriteResult
from sync_lib.settings import BusinessCentralSettings
from tests.clients.fakes import BUSINESS_CENTRAL_SCOPE, GRAPH_SCOPE, FakeTime

ANNA, BOB = "anna@firm.example", "bob@firm.example"
WORLD: dict[str, Any] = {
    "companies": [
        {
            "name": "Molenzicht",
            "countries": {"NL": "Nederland", "BE": "België"},
            "contacts": [
                {"displayName": f"Persoon {number}", "type": "Person", "email": f"p{number}@firm.example"}
                for number in range(8)
            ],
        }
    ],
    "mailboxes": [
        {"user_principal_name": ANNA},
        {"user_principal_name": BOB},
        {"user_principal_name": "none@firm.example", "state": "no_mailbox"},
        {"user_principal_name": "denied@firm.example", "state": "policy_denied"},
    ],
}


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    with Sandbox(world=WORLD) as sim:
        yield sim


@pytest.fixture
def sim(server: Sandbox) -> Sandbox:
    server.reset(world=WORLD)
    for values in defaults(server):
        server.set(**values)
    server.reset_counters()
    return server


def defaults(server: Sandbox) -> Iterator[dict[str, Any]]:
    from sandbox.settings import LIMITS, OPTIONS, SWITCHES

    yield {name: values[0] for name, values in SWITCHES.items()}
    yield dict(LIMITS)
    yield dict(OPTIONS)


class World:
    """Both clients of one sandbox."""

    def __init__(self, sim: Sandbox, *, profile: str = "standard") -> None:
        info = sim.info()
        self.sim = sim
        self.time = FakeTime()
        given: dict[str, Any] = {
            "tenant_id": info["tenant_id"],
            "client_id": info["client_id"],
            "client_secret": info["client_secret"],
            "authority": info["base_url"],
            "environment": info["environment"],
            "field_profile": profile,
        }
        self.graph_settings = BusinessCentralSettings(root=info["graph_root"], **given)
        self.bc_settings = BusinessCentralSettings(root=info["bc_root"], **given)
        self.graph = self._session(self.graph_settings, GRAPH_SCOPE)
        self.bc_session = self._session(self.bc_settings, BUSINESS_CENTRAL_SCOPE)
        self.outlook = OutlookClient(self.graph, clock=self.time.clock, sleep=self.time.sleep)
        self.bc = BusinessCentralClient(self.bc_session, self.bc_settings)
        self.company = info["companies"][0]["id"]

    def _session(self, settings: BusinessCentralSettings, scope: str) -> ApiSession:
        return ApiSession(
            settings.root, TokenSource(settings, scope), timeout=5, sleep=self.time.sleep, jitter=lambda: 0.0
        )

    def folder(self, user: str = ANNA) -> str:
        return self.outlook.create_folder(user, "Business Central", "m-1").id

    def fill(self, folder: str, count: int, user: str = ANNA) -> list[str]:
        ids = []
        for start in range(0, count, 20):
            numbers = range(start, min(start + 20, count))
            results = self.outlook.apply_writes(user, [new(folder, number) for number in numbers])
            ids += [result.contact.id for result in results if result.contact]
        assert len(ids) == count
        return ids

    def held(self, user: str = ANNA) -> list[dict[str, Any]]:
        """What the mailbox's own folders hold, by the sandbox's account."""
        mailbox = next(one for one in self.sim.dump()["mailboxes"] if one["user_principal_name"] == user)
        return [
            contact
            for folder in mailbox["folders"]
            if folder["well_known"] is None
            for contact in folder["contacts"]
        ]

    def requests(self, service: str = "graph") -> int:
        return int(self.sim.counters()["app"][service]["requests"])

    def close(self) -> None:
        self.graph.close()
        self.bc_session.close()


@pytest.fixture
def world(sim: Sandbox) -> Iterator[World]:
    world = World(sim)
    yield world
    world.close()


def new(folder: str, number: int) -> BatchWrite:
    body = {"displayName": f"Persoon {number}", "emailAddresses": [{"address": f"p{number}@firm.example"}]}
    return BatchWrite("POST", folder_id=folder, body=body, bc_key=f"t/e/c/{number}")


def is_unknown(result: WriteResult) -> bool:
    return isinstance(result.error, ServiceError) and not isinstance(result.error, ThrottledError)


# Tokens


def test_one_token_per_service_and_one_more_after_expiry(world: World) -> None:
    for _ in range(3):
        list(world.outlook.iter_folders(ANNA))
    assert world.sim.counters()["entra"]["tokens_graph"] == 1

    world.sim.control("POST", "entra/expire-tokens")
    list(world.outlook.iter_folders(ANNA))
    assert world.sim.counters()["entra"]["tokens_graph"] == 2


def test_a_wrong_secret_says_what_to_check(world: World) -> None:
    settings = BusinessCentralSettings(
        root="x",
        tenant_id=world.graph_settings.tenant_id,
        client_id=world.graph_settings.client_id,
        client_secret="wrong",
        authority=world.graph_settings.authority,
    )
    with pytest.raises(AuthError, match="secret"):
        TokenSource(settings, GRAPH_SCOPE).token()


def test_roles_of_a_real_token_are_read(world: World) -> None:
    assert "Contacts.ReadWrite" in (roles(TokenSource(world.graph_settings, GRAPH_SCOPE).token()) or [])


def test_a_token_of_the_other_service_is_refused(world: World) -> None:
    session = ApiSession(world.graph_settings.root, TokenSource(world.graph_settings, BUSINESS_CENTRAL_SCOPE))
    with pytest.raises(AuthError):
        OutlookClient(session).fetch_user_id(ANNA)
    session.close()


# Mailboxes and folders


def test_mailboxes_that_are_closed_say_why(world: World) -> None:
    with pytest.raises(NotFoundError) as unknown:
        world.outlook.fetch_user_id("nobody@firm.example")
    assert unknown.value.code == "Request_ResourceNotFound"
    with pytest.raises(NotFoundError) as none:
        list(world.outlook.iter_folders("none@firm.example"))
    assert none.value.code == "MailboxNotEnabledForRESTAPI"
    with pytest.raises(AccessDeniedError):
        list(world.outlook.iter_folders("denied@firm.example"))


def test_a_folder_is_made_found_renamed_and_adopted(world: World) -> None:
    user = world.outlook.fetch_user_id(ANNA)
    made = world.outlook.create_folder(user, "Business Central", "m-1")
    assert world.outlook.fetch_folder(user, made.id) == made
    world.outlook.rename_folder(user, made.id, "Zaken")
    assert [(one.name, one.marker) for one in world.outlook.iter_folders(user)] == [("Zaken", "m-1")]
    adopted = world.outlook.create_folder(user, "zaken", "m-2")
    assert (adopted.id, adopted.marker) == (made.id, "m-1")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("kind", [{"kind": "status", "status": 504}, {"kind": "reset"}])
def test_a_folder_is_never_made_twice(world: World, moment: str, kind: dict[str, Any]) -> None:
    world.sim.add_fault(method="POST", path="contactFolders$", moment=moment, **kind)
    if moment == "before":
        with pytest.raises(ServiceError):
            world.folder()
    world.folder()
    assert len(list(world.outlook.iter_folders(ANNA))) == 1


@pytest.mark.parametrize("alias", ["serve", "404"])
def test_the_default_folder_is_found_either_way(world: World, alias: str) -> None:
    world.sim.set(graph_folder_alias=alias)
    made = world.outlook.create_folder(ANNA, "Business Central", "m")
    assert world.outlook.fetch_default_folder(ANNA).id == made.parent_id
    assert not world.outlook.is_deleted_folder(ANNA, made)


def test_a_folder_in_deleted_items_is_recognised(world: World) -> None:
    made = world.outlook.create_folder(ANNA, "Business Central", "m")
    world.sim.control(
        "POST", "graph/move-folder", {"mailbox": ANNA, "folder": "Business Central", "to": "deleteditems"}
    )
    moved = world.outlook.fetch_folder(ANNA, made.id)
    assert moved.parent_id != made.parent_id
    assert world.outlook.is_deleted_folder(ANNA, moved)


def test_the_marker_is_exchanged_in_one_request(world: World) -> None:
    folder = world.folder()
    before = world.requests()
    assert world.outlook.write_marker(ANNA, folder, "m-2").marker == "m-1"
    assert world.requests() == before + 1
    assert world.outlook.fetch_folder(ANNA, folder).marker == "m-2"
    assert world.outlook.write_marker(ANNA, folder, "m-3", other=True).marker == "m-2"
    found = world.outlook.fetch_folder(ANNA, folder)
    assert (found.marker, found.other_marker) == ("m-2", "m-3")


# Writes


def test_writes_of_a_mailbox_cost_one_request_per_twenty(world: World) -> None:
    folder = world.folder()
    world.sim.reset_counters()
    ids = world.fill(folder, 45)
    assert world.requests() == 3
    assert world.sim.counters()["app"]["graph"]["contacts_created"] == 45

    found = world.outlook.fetch_contacts(ANNA, ids)
    versions = {contact.id: contact.etag for contact in found.values() if contact}
    changed = world.outlook.apply_writes(
        ANNA, [BatchWrite("PATCH", one, etag=versions[one], body={"jobTitle": "Inkoper"}) for one in ids[:20]]
    )
    assert {result.error for result in changed} == {None}
    assert {result.contact.record["jobTitle"] for result in changed if result.contact} == {"Inkoper"}  # type: ignore[union-attr]
    deleted = world.outlook.apply_writes(
        ANNA, [BatchWrite("DELETE", one, etag=versions[one]) for one in ids[20:40]]
    )
    assert {result.error for result in deleted} == {None}
    assert len(world.held()) == 25


def test_a_stale_version_is_a_mismatch_and_loses_nothing(world: World) -> None:
    folder = world.folder()
    (contact_id,) = world.fill(folder, 1)
    (old,) = world.outlook.fetch_contacts(ANNA, [contact_id]).values()
    assert old
    world.outlook.apply_writes(ANNA, [BatchWrite("PATCH", contact_id, etag=old.etag, body={"jobTitle": "A"})])
    for write in (
        BatchWrite("PATCH", contact_id, etag=old.etag, body={"jobTitle": "B"}),
        BatchWrite("DELETE", contact_id, etag=old.etag),
    ):
        (result,) = world.outlook.apply_writes(ANNA, [write])
        assert isinstance(result.error, VersionMismatchError)
    assert [contact["properties"]["jobTitle"] for contact in world.held()] == ["A"]


FAULTS = [
    {"kind": "reset", "path": "batch", "moment": "before"},
    {"kind": "reset", "path": "batch", "moment": "after"},
    {"kind": "reset", "path": "batch", "moment": "mid_body"},
    {"kind": "status", "status": 504, "path": "batch", "moment": "before"},
    {"kind": "status", "status": 504, "path": "batch", "moment": "after"},
    {"kind": "status", "status": 503, "path": "batch", "moment": "before", "body": "html"},
    {"kind": "status", "status": 429, "path": "batch", "moment": "before", "retry_after": "0.249"},
    {"kind": "status", "status": 429, "path": "batch", "moment": "before", "retry_after": "date+3"},
    {"kind": "status", "status": 401, "path": "batch", "moment": "before"},
    {"kind": "status", "status": 504, "part": True, "moment": "after", "count": 5},
    {"kind": "status", "status": 503, "part": True, "moment": "before", "count": 5, "body": "empty"},
    {"kind": "status", "status": 429, "part": True, "moment": "before", "count": 5, "retry_after": 2},
]


@pytest.mark.parametrize("outer", ["200", "424"])
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_no_fault_makes_a_second_copy_and_no_verdict_is_false(
    world: World, fault: dict[str, Any], outer: str
) -> None:
    folder = world.folder()
    old = world.fill(folder, 4)
    world.sim.set(batch_outer_on_429=outer)
    versions = world.outlook.fetch_contacts(ANNA, old)
    etags = {one: contact.etag for one, contact in versions.items() if contact}
    planned = world.sim.add_fault(service="graph", **fault)
    results = world.outlook.apply_writes(
        ANNA,
        [
            *(new(folder, number) for number in range(100, 106)),
            BatchWrite("PATCH", old[0], etag=etags[old[0]], body={"jobTitle": "x"}),
            BatchWrite("DELETE", old[1], etag=etags[old[1]]),
        ],
    )
    assert planned.fired

    copies = [contact["properties"]["displayName"] for contact in world.held()]
    assert len(copies) == len(set(copies))
    for number, result in zip(range(100, 106), results[:6], strict=True):
        if not is_unknown(result):
            assert (f"Persoon {number}" in copies) is (result.error is None)
    assert results[6].error is None or isinstance(results[6].error, VersionMismatchError)
    if results[7].error is not None:
        # Our own delete moved the item to Deleted Items: whoever looks it up sees that.
        assert isinstance(results[7].error, VersionMismatchError)
        (moved,) = world.outlook.fetch_contacts(ANNA, [old[1]]).values()
        assert moved is None or moved.parent_folder_id != folder
    assert "Persoon 1" not in copies

    # What is unknown can be settled by the key that the item was made with.
    keys = [f"t/e/c/{number}" for number in range(100, 106)]
    found = world.outlook.find_by_keys(ANNA, folder, keys)
    for key, number in zip(keys, range(100, 106), strict=True):
        assert len(found[key]) == (f"Persoon {number}" in copies)


@pytest.mark.parametrize("mode", ["queue", "429"])
def test_batches_pass_whatever_a_mailbox_does_with_more_than_four(world: World, mode: str) -> None:
    world.sim.set(graph_batch_over_4=mode, graph_latency_ms=1)
    folder = world.folder()
    world.fill(folder, 60)
    assert len(world.held()) == 60
    graph = world.sim.counters()["app"]["graph"]
    assert graph["refusals"] == (0 if mode == "queue" else 16)


def test_the_window_is_never_overrun(world: World) -> None:
    """The sandbox's clock runs with ours: it moves when our sleep does."""
    sim = world.sim

    def sleep(seconds: float) -> None:
        world.time.sleep(seconds)
        sim.clock(advance_seconds=seconds)

    sim.clock(freeze=True)
    sim.set(graph_window_operations=100, graph_window_seconds=6)
    client = OutlookClient(
        world.graph, window_operations=100, window=6.0, clock=world.time.clock, sleep=sleep
    )
    folder = client.create_folder(ANNA, "Business Central", "m").id
    began = world.time.now
    for start in range(0, 400, 20):
        client.apply_writes(ANNA, [new(folder, number) for number in range(start, start + 20)])
    spent = world.time.now - began
    sim.clock(reset=True)
    assert sim.counters()["app"]["graph"]["refusals"] == 0
    assert len(world.held()) == 400
    # 401 operations and 100 to a window: the last ones may go when the fourth window has begun.
    assert spent <= 6 * 4 * 1.05


# Reads


@pytest.mark.parametrize("body", ["full", "partial"])
def test_a_round_of_delta_sees_creates_edits_and_deletes_once(world: World, body: str) -> None:
    world.sim.set(graph_delta_body=body, delta_duplicates=0.5, delta_empty_pages=0.5, graph_delta_page=7)
    folder = world.folder()
    ids = world.fill(folder, 25)
    first = world.outlook.fetch_delta(ANNA, folder, None)
    assert sorted(contact.id for contact in first.contacts) == sorted(ids)
    assert first.contacts[0].record["emailAddresses"]

    world.sim.reset_counters()
    quiet = world.outlook.fetch_delta(ANNA, folder, first.delta_link)
    assert (quiet.contacts, quiet.removed) == ([], [])
    assert world.requests() == 1

    known = {contact.id: contact.etag for contact in first.contacts}
    world.outlook.apply_writes(
        ANNA,
        [
            BatchWrite("PATCH", ids[0], etag=known[ids[0]], body={"jobTitle": "x"}),
            BatchWrite("DELETE", ids[1], etag=known[ids[1]]),
            new(folder, 99),
        ],
    )
    second = world.outlook.fetch_delta(ANNA, folder, quiet.delta_link)
    assert second.removed == [ids[1]]
    assert len(second.contacts) == 2
    assert next(c for c in second.contacts if c.id == ids[0]).record["jobTitle"] == "x"


@pytest.mark.parametrize("status", ["410", "400"])
@pytest.mark.parametrize("path", [r"deltatoken", r"skiptoken"])
def test_an_expired_link_is_an_expired_cursor_also_in_mid_round(world: World, status: str, path: str) -> None:
    world.sim.set(graph_delta_expired=status, graph_delta_page=5)
    folder = world.folder()
    world.fill(folder, 20)
    link = world.outlook.fetch_delta(ANNA, folder, None).delta_link
    world.sim.add_fault(name="F8", path=path)
    with pytest.raises(CursorExpiredError):
        world.outlook.fetch_delta(ANNA, folder, None if path == "skiptoken" else link)


@pytest.mark.parametrize("variant", ["truncated", "no_value", "next_self", "next_foreign", "empty_page"])
@pytest.mark.parametrize("read", ["delta", "list", "bc"])
def test_a_malformed_page_is_never_taken_for_less(world: World, variant: str, read: str) -> None:
    folder = world.folder()
    world.fill(folder, 12)
    world.sim.add_fault(kind="malformed", variant=variant, method="GET", path="contacts")

    def count() -> int:
        if read == "bc":
            return len({contact.id for contact in world.bc.iter_contacts(world.company)})
        if read == "list":
            return len(list(world.outlook.iter_contacts(ANNA, folder)))
        return len(world.outlook.fetch_delta(ANNA, folder, None).contacts)

    whole = 8 if read == "bc" else 12
    try:
        assert count() == whole
    except MalformedAnswerError:
        assert variant in ("no_value", "next_self", "next_foreign")
    world.sim.clear_faults()
    assert count() == whole


def test_a_link_whose_page_leads_to_itself_for_ever_ends(world: World) -> None:
    folder = world.folder()
    world.fill(folder, 12)
    world.sim.add_fault(kind="malformed", variant="next_self", method="GET", path="contacts", count=None)
    with pytest.raises(MalformedAnswerError):
        list(world.outlook.iter_contacts(ANNA, folder))
    assert world.requests() < 10


def test_lists_carry_keys_over_pages(world: World) -> None:
    world.sim.set(graph_list_page=5)
    folder = world.folder()
    world.fill(folder, 12)
    contacts = list(world.outlook.iter_contacts(ANNA, folder))
    assert sorted(contact.bc_key or "" for contact in contacts) == sorted(f"t/e/c/{n}" for n in range(12))
    assert {contact.parent_folder_id for contact in contacts} == {folder}


def test_ids_stay_when_an_item_moves(world: World) -> None:
    folder = world.folder()
    (contact_id,) = world.fill(folder, 1)
    link = world.outlook.fetch_delta(ANNA, folder, None).delta_link
    default = world.outlook.fetch_default_folder(ANNA)
    world.sim.control("POST", "graph/move", {"mailbox": ANNA, "contact": contact_id, "to": default.id})
    assert world.outlook.fetch_delta(ANNA, folder, link).removed == [contact_id]
    moved = world.outlook.fetch_contacts(ANNA, [contact_id])[contact_id]
    assert moved is not None
    assert moved.parent_folder_id == default.id
    assert moved.bc_key == "t/e/c/0"


def test_deleted_contacts_and_missing_mailboxes_are_kept_apart(world: World) -> None:
    folder = world.folder()
    ids = world.fill(folder, 3)
    world.sim.control("POST", "graph/purge", {"mailbox": ANNA, "contact": ids[1]})
    found = world.outlook.fetch_contacts(ANNA, ids)
    assert [found[one] is None for one in ids] == [False, True, False]

    world.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "state": "no_mailbox"})
    with pytest.raises(NotFoundError):
        world.outlook.fetch_contacts(ANNA, ids)


# Business Central


def test_companies_and_tables(world: World) -> None:
    assert [company.name for company in world.bc.fetch_companies()] == ["Molenzicht"]
    assert world.bc.fetch_countries(world.company)["BE"] == "België"


@pytest.mark.parametrize("profile", ["standard", "extended"])
def test_contacts_are_read_in_pages_in_both_profiles(sim: Sandbox, profile: str) -> None:
    world = World(sim, profile=profile)
    contacts = list(world.bc.iter_contacts(world.company, page_size=3))
    assert len(contacts) == 8
    assert world.requests("bc") == 3
    assert contacts[0].values["email"] == "p0@firm.example"
    assert ("surname" in contacts[0].values) is (profile == "extended")
    assert [(one, len(stamp)) for one, stamp in world.bc.iter_ids(world.company)] == [
        (c.id, 24) for c in contacts
    ]

    found = world.bc.fetch_contacts(world.company, [contacts[0].id, "00000000-0000-4000-8000-000000000000"])
    assert list(found.values()) == [contacts[0], None]
    world.close()


@pytest.mark.parametrize("after_error", ["continue", "stop"])
def test_one_missing_contact_hides_no_other(world: World, after_error: str) -> None:
    world.sim.set(bc_batch_after_error=after_error)
    ids = [one for one, _ in world.bc.iter_ids(world.company)]
    missing = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(3)]
    found = world.bc.fetch_contacts(world.company, [missing[0], *ids[:4], missing[1], missing[2], *ids[4:]])
    assert [one for one, contact in found.items() if contact is None] == missing
    assert len(found) == 11


def updated(world: World, contact: str, body: dict[str, str], etag: str) -> WriteResult:
    [result] = world.bc.update_contacts(world.company, [BcUpdate(contact, body, etag)])
    return result


def found(world: World, email: str) -> list[BcContact]:
    held = world.bc.find_by_emails(world.company, [email])[email]
    assert held is not None
    return held


def test_an_incremental_read_brings_what_changed(world: World) -> None:
    contacts = list(world.bc.iter_contacts(world.company))
    world.sim.clock(advance_seconds=10)
    result = updated(world, contacts[3].id, {"jobTitle": "Inkoper"}, contacts[3].etag)
    assert result.error is None
    newest = result.contact.last_modified  # type: ignore[union-attr]
    changed = list(world.bc.iter_contacts(world.company, since=newest))
    assert [contact.id for contact in changed] == [contacts[3].id]
    assert changed == [result.contact]


def test_addresses_are_found_in_any_case_and_in_lists(world: World) -> None:
    body = {"displayName": "Jan Smit", "email": "info@smit.example; Jan.Smit@Smit.example"}
    [result] = world.bc.create_contacts(world.company, [body])
    made = result.contact
    assert made is not None
    assert made in found(world, "jan.smit@SMIT.example")
    assert made not in found(world, "o'neil@smit.example")
    assert len(found(world, "P1@Firm.example")) == 1


@pytest.mark.parametrize("stale", ["409", "412"])
def test_a_colleagues_edit_is_never_overwritten(world: World, stale: str) -> None:
    world.sim.set(bc_stale_status=stale)
    contact = next(world.bc.iter_contacts(world.company))
    assert updated(world, contact.id, {"city": "Zaandam"}, contact.etag).error is None
    result = updated(world, contact.id, {"city": "Delft"}, contact.etag)
    assert isinstance(result.error, VersionMismatchError)
    (now,) = world.bc.fetch_contacts(world.company, [contact.id]).values()
    assert now is not None
    assert now.values["city"] == "Zaandam"


def test_a_refused_value_is_this_records_own_trouble(world: World) -> None:
    contact = next(world.bc.iter_contacts(world.company))
    result = updated(world, contact.id, {"jobTitle": "x" * 31}, contact.etag)
    assert isinstance(result.error, RejectedError)
    assert result.error.code == "Application_StringExceededLength"
    gone = updated(world, "00000000-0000-4000-8000-000000000000", {"city": "x"}, contact.etag)
    assert isinstance(gone.error, NotFoundError)


def test_a_missing_company_is_not_found_and_a_closed_one_denied(world: World) -> None:
    with pytest.raises(NotFoundError):
        list(world.bc.iter_contacts("00000000-0000-4000-8000-000000000000"))
    world.sim.control("POST", "bc/company", {"company": world.company, "state": "forbidden"})
    with pytest.raises(AccessDeniedError):
        list(world.bc.iter_contacts(world.company))


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "reset", "moment": "after"},
        {"kind": "reset", "moment": "before"},
        {"kind": "reset", "moment": "mid_body"},
        {"kind": "status", "status": 504, "moment": "after"},
        {"kind": "status", "status": 503, "moment": "before", "body": "empty", "retry_after": 3},
        {"kind": "status", "status": 429, "moment": "before", "retry_after": "none"},
    ],
    ids=str,
)
def test_bc_writes_under_faults_make_no_copy_and_no_false_verdict(
    world: World, fault: dict[str, Any]
) -> None:
    old = next(world.bc.iter_contacts(world.company))
    planned = world.sim.add_fault(service="bc", method="POST", path="contacts$", **fault)
    [created] = world.bc.create_contacts(world.company, [{"displayName": "Nieuw", "email": "n@firm.example"}])
    assert planned.fired == 1
    copies = len(found(world, "n@firm.example"))
    assert copies == (fault["moment"] != "before" or fault.get("status") == 429)
    assert is_unknown(created) or (created.error is None and copies == 1)

    planned = world.sim.add_fault(service="bc", method="PATCH", **fault)
    changed = updated(world, old.id, {"city": "Zaandam"}, old.etag)
    assert planned.fired == 1
    assert changed.error is None or isinstance(changed.error, VersionMismatchError)
    (now,) = world.bc.fetch_contacts(world.company, [old.id]).values()
    assert now is not None
    assert now.values["city"] == "Zaandam"
