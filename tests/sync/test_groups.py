"""Groups of Entra ID keep profiles up with joiners and leavers, and leave what people made or changed alone."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from sqlalchemy import select

from sync_lib.operate import group_news, groups, people
from sync_lib.operate.checks import check_connections
from sync_lib.operate.groups import GroupReport
from sync_lib.operate.notices import Kind, Part
from sync_lib.store import tables as t
from sync_lib.store.engine import read, transaction
from sync_lib.store.profiles import endings
from sync_lib.store.profiles import groups as stored
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.history import Author, read_author, read_changes
from sync_lib.store.profiles.settings import remove_profile
from sync_lib.store.queries import groups as queries
from tests.sync.colleagues import ROLES, Terminal, address, grant, tenant
from tests.sync.harness import COMPANY, Harness, person

PEOPLE = 12
FILE: dict[str, Any] = {
    "groups": [{"group": "Verkoop", "company": COMPANY, "folder": "Klanten", "language": "en"}],
    "profiles": [],
}


def members(*numbers: int) -> list[str]:
    return [address(n) for n in numbers]


@pytest.fixture
def h(make_harness: Any) -> Harness:
    """A group of eight, four of whom are in a group within it."""
    made: Harness = make_harness(
        tenant(
            person("Jan Jansen"),
            people=PEOPLE,
            groups=[
                {"name": "Verkoop", "members": [*members(0, 1, 2, 3), "Binnendienst"]},
                {"name": "Binnendienst", "members": members(4, 5, 6, 7)},
                {"name": "Inkoop", "members": members(10)},
            ],
            others=[
                {"user_principal_name": "kaal@voorbeeld.example", "state": "no_mailbox"},
                {"user_principal_name": "weg@voorbeeld.example", "state": "disabled"},
            ],
        )
    )
    grant(made)
    put(made)
    return made


def put(h: Harness, **group: Any) -> None:
    """Import the file, with other settings of the group."""
    from sync_lib.store.profiles.importing import import_profiles

    [first] = FILE["groups"]
    text = yaml.safe_dump({**FILE, "groups": [first | group]})
    import_profiles(h.edges.engine, text, now=h.edges.now(), field_profile="extended")


def change(h: Harness, group: str = "Verkoop", **what: Any) -> None:
    h.sim.control("POST", "entra/group", {"group": group, **what})


def night(h: Harness, **options: Any) -> GroupReport:
    """One look at the only group, by a task of its own."""
    edges = h.open()
    try:
        [report] = groups.reconcile(edges, **options)
        return report
    finally:
        edges.close()


def told(*reports: GroupReport) -> tuple[Part, ...]:
    """Return what people hear of a night."""
    news = group_news.of_groups(reports)
    return news.parts if news else ()


def done(report: GroupReport) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for step in report.done:
        found.setdefault(step.kind, []).append(step.mailbox)
    # Who joined in the same millisecond comes by the account's id.
    return {kind: sorted(names) for kind, names in found.items()}


def states(h: Harness) -> dict[str, bool]:
    with read(h.edges.engine) as conn:
        return {each.mailbox: each.enabled for each in profiles.read_profiles(conn, enabled_only=False)}


def edit(h: Harness, number: int, **values: Any) -> None:
    """What a person changes of a profile."""
    with transaction(h.edges.engine) as conn:
        same = t.sync_profile.c.mailbox == address(number)
        conn.execute(t.sync_profile.update().where(same).values(values))


def profile(h: Harness, number: int) -> Any:
    with read(h.edges.engine) as conn:
        every = profiles.read_profiles(conn, enabled_only=False)
    return next(each for each in every if each.mailbox == address(number))


def test_who_joins_gets_a_profile_and_who_leaves_is_switched_off(h):
    first = night(h)
    assert done(first) == {"joins": members(*range(8))}
    found = profile(h, 0)
    assert (found.company_name, found.folder_name, found.language, found.enabled) == (
        COMPANY,
        "Klanten",
        "en",
        True,
    )
    with read(h.edges.engine) as conn:
        [made] = read_changes(conn, found.id, 5)[0]
    assert (made.who, made.is_new) == ("group Verkoop", True)
    assert done(night(h)) == {}, "a second look changes nothing"
    change(h, remove=members(1), add=members(9))
    change(h, "Binnendienst", remove=members(4))
    dry = night(h, dry_run=True)
    assert done(dry) == {"joins": members(9), "leaves": members(1, 4)}
    assert not [each for each, enabled in states(h).items() if not enabled], "a dry run changes nothing"
    assert done(night(h)) == done(dry)
    assert states(h) == {
        **dict.fromkeys(members(0, 2, 3, 5, 6, 7, 9), True),
        **dict.fromkeys(members(1, 4), False),
    }
    assert done(night(h)) == {}
    change(h, add=members(1))
    assert done(night(h)) == {"returns": members(1)}
    assert states(h)[address(1)]
    assert h.full().verdict.ok


def test_what_a_person_made_is_left_alone_whether_its_owner_joins_or_leaves(h):
    h.add_profiles(address(0), folder="Eigen")
    report = night(h)
    assert address(0) not in done(report)["joins"]
    assert [each.why for each in report.left_out] == [
        "has a profile of this company already, which is left alone"
    ]
    change(h, remove=members(0))
    assert done(night(h)) == {}
    assert states(h)[address(0)]


def test_a_setting_that_a_person_changed_stays_and_the_others_follow_the_group(h):
    night(h)
    edit(h, 0, language="nl")
    edit(h, 1, enabled=False)
    put(h, language="de", direction="to_outlook")
    assert done(night(h)) == {"changes": members(*range(8))}
    assert (profile(h, 0).language, profile(h, 0).direction) == ("nl", "to_outlook")
    assert (profile(h, 2).language, profile(h, 1).enabled) == ("de", False)
    assert done(night(h)) == {}
    change(h, remove=members(0, 1))
    assert done(night(h)) == {"leaves": members(0, 1)}
    assert not profile(h, 0).enabled, "nobody touched the switch of this one"
    edit(h, 0, enabled=True)
    assert done(night(h)) == {}
    change(h, add=members(0, 1))
    night(h)
    assert profile(h, 0).enabled
    assert not profile(h, 1).enabled, "a person switched it off before"


def test_a_profile_that_a_person_removed_is_not_made_again(h):
    night(h)
    with transaction(h.edges.engine) as conn:
        remove_profile(conn, profile(h, 2).id)
    assert done(night(h)) == {}
    assert address(2) not in states(h)
    change(h, remove=members(2))
    assert done(night(h)) == {"forgotten": [""]}
    change(h, add=members(2))
    assert done(night(h)) == {"joins": members(2)}, "who comes back comes anew"


def test_unusually_many_leavers_wait_until_a_person_confirms_so_many(h):
    night(h)
    change(h, remove=[*members(0, 1, 2), "Binnendienst"])
    waits = night(h)
    assert (waits.trouble, len(waits.waiting), done(waits)) == ("many_leavers", 7, {})
    assert all(states(h).values())
    assert night(h, confirmed=6).trouble == "many_leavers"
    with read(h.edges.engine) as conn:
        [group] = stored.read_groups(conn)
    assert (group.trouble, group.waiting, group.members) == ("many_leavers", 7, 1)
    change(h, add=members(9))
    assert done(night(h)) == {"joins": members(9)}, "who joins does not wait for them"
    assert sorted(done(night(h, confirmed=7))["leaves"]) == members(0, 1, 2, 4, 5, 6, 7)
    assert states(h) == {
        **dict.fromkeys(members(0, 1, 2, 4, 5, 6, 7), False),
        **dict.fromkeys(members(3, 9), True),
    }
    assert night(h).trouble == ""


def test_a_group_that_is_suddenly_empty_switches_nobody_off(h):
    change(h, members=members(0, 1))
    night(h)
    change(h, members=[])
    report = night(h)
    assert (report.trouble, report.members, len(report.waiting)) == ("emptied", 0, 2)
    assert all(states(h).values())
    assert done(night(h, confirmed=2)) == {"leaves": members(0, 1)}


@pytest.mark.parametrize(
    ("trouble", "spoil"),
    [
        ("group_gone", lambda h: change(h, state="removed")),
        ("no_right", lambda h: grant(h, *(role for role in ROLES if role != people.GROUP_RIGHT))),
        (
            "not_readable",
            lambda h: h.sim.add_fault(name="F9", service="graph", path="transitiveMembers", count=None),
        ),
    ],
)
def test_a_group_that_cannot_be_read_changes_nothing_and_says_so(h, trouble, spoil):
    night(h)
    before = states(h)
    spoil(h)
    report = night(h)
    assert (report.trouble, report.members, done(report), states(h)) == (trouble, None, {}, before)
    assert (
        "Nothing was changed" in groups.lines([report])[-1]
        or "could not be read" in groups.lines([report])[-1]
    )
    assert [(part.kind, part.count) for part in told(report)] == [(Kind.GROUP_TROUBLE, 1)]


def test_a_renamed_group_is_the_same_one_and_a_name_of_two_is_none(h):
    night(h)
    change(h, rename="Sales")
    assert done(night(h)) == {}
    put(h, group="Twee")
    for _ in range(2):
        change(h, "Twee", create=True)
    edges = h.open()
    assert [each.trouble for each in groups.reconcile(edges)] == ["", "group_ambiguous"]


def test_a_page_that_breaks_off_is_no_smaller_group(h):
    night(h)
    h.sim.set(graph_users_page=3)
    h.sim.add_fault(service="graph", path="skiptoken", kind="malformed", variant="truncated", count=None)
    assert (night(h).trouble, all(states(h).values())) == ("not_readable", True)


def test_members_without_a_mailbox_or_an_account_get_none_and_stop_nobody(h):
    change(h, add=["kaal@voorbeeld.example", "weg@voorbeeld.example"])
    h.sim.control("POST", "graph/mailbox", {"mailbox": address(3), "state": "policy_denied"})
    report = night(h)
    assert done(report) == {"joins": members(0, 1, 2, 4, 5, 6, 7)}
    assert {each.mailbox: each.why for each in report.left_out} == {
        "kaal@voorbeeld.example": "the account has no mailbox",
        "weg@voorbeeld.example": "the account is disabled",
        address(
            3
        ): "the app may not open the mailbox: add it to the group of the app's access policy or RBAC scope",
    }
    h.sim.control("POST", "graph/mailbox", {"mailbox": "kaal@voorbeeld.example", "state": "normal"})
    assert done(night(h)) == {"joins": ["kaal@voorbeeld.example"]}


def test_one_bad_member_never_stops_the_others(h, monkeypatch):
    real = groups.add_profile

    def broken(conn: Any, entry: Any, **rest: Any) -> int:
        if entry.mailbox == address(0):
            raise RuntimeError("of the database, with values")
        return real(conn, entry, **rest)

    monkeypatch.setattr(groups, "add_profile", broken)
    report = night(h)
    assert done(report) == {"joins": members(*range(1, 8))}
    assert [(each.mailbox, each.why) for each in report.failed] == [(address(0), "RuntimeError")]
    assert report.trouble == "some_failed"
    monkeypatch.undo()
    assert done(night(h)) == {"joins": members(0)}


def test_codes_come_from_business_central_where_the_filter_asks(h):
    h.edges.business_central_settings = h.open().business_central_settings
    put(h, filter={"Salesperson Code": "%me"})
    h.sim.control(
        "POST",
        "bc/company",
        {"salespeople": [{"code": "V0", "displayName": "Nul", "email": address(0).upper()}]},
    )
    report = night(h)
    assert done(report) == {"joins": members(0)}
    assert profile(h, 0).salesperson_code == "V0"
    assert {each.why for each in report.left_out} == {
        "the filter names %me, and no salesperson alone has this address in BC"
    }
    h.sim.control("POST", "bc/company", {"rights": {"salespeoplePurchasers": 403}})
    change(h, remove=members(0))
    report = night(h)
    assert (report.trouble, done(report)) == ("no_salespeople", {"leaves": members(0)})


def test_who_goes_from_one_group_to_another_of_the_company_keeps_the_profile(h):
    night(h)
    two = [*FILE["groups"], {"group": "Inkoop", "company": COMPANY, "folder": "Leveranciers"}]
    from sync_lib.store.profiles.importing import import_profiles

    text = yaml.safe_dump({"groups": two, "profiles": []})
    import_profiles(h.edges.engine, text, now=h.edges.now(), field_profile="extended")
    change(h, remove=members(0))
    change(h, "Inkoop", add=members(0, 1))
    edges = h.open()
    verkoop, inkoop = groups.reconcile(edges)
    assert (done(verkoop), done(inkoop)) == ({"moves": members(0)}, {"joins": members(10)})
    assert (profile(h, 0).folder_name, profile(h, 0).enabled) == ("Leveranciers", True)
    assert profile(h, 1).folder_name == "Klanten"
    assert [done(each) for each in groups.reconcile(edges)] == [{}, {}]
    change(h, "Inkoop", state="removed")
    change(h, remove=members(2))
    waits, gone = groups.reconcile(h.open())
    assert (waits.trouble, gone.trouble) == ("others_not_read", "group_gone")
    assert states(h)[address(2)], "perhaps that group has them"


@pytest.mark.parametrize(("leavers", "stays"), [("end_keep", True), ("end_remove", False)])
def test_the_profile_of_who_leaves_is_ended_by_the_next_run_as_the_group_says(h, leavers, stays):
    put(h, leavers=leavers)
    night(h)
    assert h.full().errors == []
    assert "Jan Jansen" in h.items(address(0), "Klanten")
    change(h, remove=members(0, 1))
    edit(h, 1, enabled=False)
    dry = night(h, dry_run=True)
    assert not profile(h, 0).ending, "a dry run changes nothing"
    report = night(h)
    assert done(report) == done(dry) == {"leaves": members(0, 1)}
    lines = groups.lines([report])
    assert any(address(0) in line and "whose profile the next run ends" in line for line in lines)
    assert any(address(1) in line and "stays as a person set it" in line for line in lines)
    [left] = told(report)
    assert (left.kind, left.count) == (Kind.GROUP_LEFT, 2)
    becomes = {item.names: item.reason for item in left.items}
    assert becomes == {(address(0),): leavers.removeprefix("end_"), (address(1),): "as_set"}
    change(h, add=members(0))
    assert done(night(h)) == {}, "nobody can take an end back"
    change(h, remove=members(0))
    ran = h.run()
    assert (ran.errors, ran.verdict.ok) == ([], True)
    assert ("Jan Jansen" in h.items(address(0), "Klanten")) == stays
    assert ("Klanten" in {each["name"] for each in h.mailbox(address(0))["folders"]}) == stays
    assert not any(each.get("categories") for each in h.items(address(0), "Klanten").values())
    assert "Jan Jansen" in h.items(address(1), "Klanten"), (
        "a person switched that one off: it goes on as it was"
    )
    assert address(0) not in states(h)
    assert not profile(h, 1).ending
    with read(h.edges.engine) as conn:
        [gone] = profiles.read_ended(conn)
        assert read_author(conn, gone.id, "ending") == "group Verkoop"
    change(h, add=members(0))
    assert done(night(h)) == {"joins": members(0)}, "who comes back gets a new profile"
    assert h.full().errors == []
    assert "Jan Jansen" in h.items(address(0), "Klanten")


def test_who_left_before_the_first_sync_is_switched_off_and_an_ended_profile_is_not_made_again(h):
    put(h, leavers="end_remove")
    night(h)
    change(h, remove=members(0))
    [left] = night(h).done
    assert (left.kind, left.ends, profile(h, 0).ending) == ("leaves", "", "")
    assert groups.said(left) == f"leaves: {address(0)} is switched off"
    assert not states(h)[address(0)]
    h.full()
    with transaction(h.edges.engine) as conn:
        one = profiles.read_profile(conn, profile(h, 2).id)
        endings.ask_end(conn, one, endings.KEEP, Author("anna", h.edges.now()))
    put(h, leavers="end_remove", language="de")
    assert address(2) not in done(night(h))["changes"], "what is about to end is left alone"
    h.run()
    assert done(night(h)) == {}
    assert address(2) not in states(h)
    with read(h.edges.engine) as conn:
        [line] = queries.read_lines(conn)
    assert (line.profiles, line.left) == (6, 1)
    change(h, remove=members(2))
    assert done(night(h)) == {"forgotten": [""]}
    change(h, add=members(2))
    assert done(night(h)) == {"joins": members(2)}


def test_many_leavers_whose_profiles_are_to_be_ended_wait_as_well(h):
    put(h, leavers="end_remove")
    night(h)
    h.full()
    change(h, remove=[*members(0, 1), "Binnendienst"])
    assert night(h).trouble == "many_leavers"
    assert not any(profile(h, n).ending for n in range(8))
    assert len(done(night(h, confirmed=6))["leaves"]) == 6
    assert [n for n in range(8) if profile(h, n).ending == endings.REMOVE] == [0, 1, 4, 5, 6, 7]


def test_a_filter_of_several_groups_counts_for_who_joins_and_a_person_s_own_stays(h):
    two = [{"City": "Delft"}, {"Name": "Jan*"}]
    put(h, filter=two)
    night(h)
    written = ((("City", "Delft"),), (("Name", "Jan*"),))
    assert profile(h, 0).filter == written
    assert done(night(h)) == {}
    assert h.full().errors == []
    assert "Jan Jansen" in h.items(address(0), "Klanten")
    edit(h, 1, filter='[["City", "Gouda"]]')
    put(h, filter=[{"City": "Leiden"}, {"Name": "Piet*"}])
    assert done(night(h)) == {"changes": [address(n) for n in range(8) if n != 1]}
    assert profile(h, 0).filter == ((("City", "Leiden"),), (("Name", "Piet*"),))
    assert profile(h, 1).filter == ((("City", "Gouda"),),)


def test_two_looks_at_once_make_each_profile_once(h):
    edges = h.open()
    plan = groups.reconcile(edges, dry_run=True)[0]
    assert len(plan.done) == 8
    night(h)
    late = GroupReport(plan.group)
    for step in plan.done:
        groups._try(edges, step, late)
    assert (late.failed, len(states(h))) == ([], 8)
    edges.close()


def test_the_check_asks_for_the_right_only_where_there_are_groups(h):
    def found(kind: str) -> list[Any]:
        edges = h.open()
        try:
            return [each for each in check_connections(edges) if each.kind == kind]
        finally:
            edges.close()

    [group], [rights] = found("group"), found("graph_permissions")
    assert (group.ok, group.name, group.detail, rights.ok) == (
        True,
        "group Verkoop",
        "Verkoop has 8 members.",
        True,
    )
    grant(h, "Contacts.ReadWrite", "User.Read.All")
    [group], [rights] = found("group"), found("graph_permissions")
    assert (group.ok, group.detail, rights.ok) == (False, "the app lacks GroupMember.Read.All.", True)
    grant(h, *ROLES)
    change(h, state="removed")
    [group] = found("group")
    assert "no such group" in group.detail
    with transaction(h.edges.engine) as conn:
        stored.remove_group(conn, 1)
    assert found("group") == []
    [rights] = found("graph_permissions")
    assert "more than it needs: GroupMember.Read.All" in rights.detail


@pytest.mark.sockets
def test_the_commands(h, capsys):
    terminal = Terminal(h, capsys)
    shown = terminal("groups", "reconcile", "--dry-run").out
    assert shown.startswith(f"1. Verkoop -> {COMPANY}: 8 members; would be: 8 joins\n")
    assert f"  joins: {address(0)} gets a profile\n" in shown
    assert states(h) == {}
    assert "8 members; 8 joins" in terminal("groups", "reconcile").out
    assert "nothing to do" in terminal("groups", "reconcile", "--group", "verkoop").out
    listed = terminal("groups", "list").out.splitlines()[1].split()
    assert listed[:7] == ["1", "Verkoop", *COMPANY.split(), "Klanten", "8", "8"]
    assert "There is no group 'x'" in terminal("groups", "reconcile", "--group", "x", code=1).err
    change(h, members=[])
    assert "--confirm NUMBER" in terminal("groups", "reconcile").out
    assert "8 leaves" in terminal("groups", "reconcile", "--confirm", "8").out
    change(h, state="removed")
    written = terminal("groups", "reconcile", code=1)
    assert "no such group" in written.out
    assert "see above" in written.err
    assert "Removed Verkoop" in terminal("groups", "remove", "1").out
    assert "There is no group." in terminal("groups", "reconcile").out
    assert len(states(h)) == 8


def test_without_groups_nothing_is_asked(h):
    with transaction(h.edges.engine) as conn:
        stored.remove_group(conn, 1)
        assert conn.scalars(select(t.profile_group_member.c.user_id)).all() == []
    h.sim.reset_counters()
    edges = h.open()
    assert groups.reconcile(edges) == []
    assert h.sim.counters()["app"]["graph"]["requests"] == 0
    assert told() == ()
    edges.close()
