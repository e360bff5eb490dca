from __future__ import annotations

import random
import string

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from sync_lib.fields.bc_columns import COLUMN_NAMES
from sync_lib.fields.filters import And, Compare, Everything, Or
from sync_lib.model import BcContact, OutlookContact
from sync_lib.store import bulk
from sync_lib.store import tables as t
from sync_lib.store.engine import read, transaction
from sync_lib.store.snapshots import bc_contacts, outlook_items, writing
from sync_lib.store.snapshots.outlook_items import KnownItem
from sync_lib.store.snapshots.rows import BcRow, OutlookRow
from sync_lib.store.snapshots.writing import drop_overlay

PER_EXAMPLE = settings(max_examples=25)
AT = "2026-03-02T09:00:00.000Z"


def stamp(number: int) -> str:
    return f"2026-01-01T00:00:00.{number:03d}Z"


def bc(
    key: str, at: int = 1, etag: str = "e", fingerprint: int = 0, email: str | None = None, **values
) -> BcRow:
    texts = (
        dict.fromkeys(COLUMN_NAMES, "") | {"type": "Person", "privacy_blocked": "false", "name": key} | values
    )
    address = f"{key}@x.nl" if email is None else email
    return BcRow(BcContact(key, etag, stamp(at), texts), fingerprint, address)


def item(
    key: str, at: int = 1, etag: str = "e", bc_key: str | None = "", fingerprint: int = 0, **record
) -> OutlookRow:
    contact = OutlookContact(key, etag, stamp(at) if at else "", stamp(0), "f", bc_key, {"id": key, **record})
    return OutlookRow(contact, fingerprint, f"{key}@x.nl", key)


def stage(engine, company, rows, generation=1, normaliser=1, **options):
    with transaction(engine) as conn:
        return bc_contacts.stage_business_central(
            conn, company, rows, generation=generation, normaliser=normaliser, **options
        )


def stage_items(engine, profile, rows, normaliser=1, **options):
    with transaction(engine) as conn:
        return outlook_items.stage_outlook(conn, profile, rows, normaliser=normaliser, **options)


def bc_rows(engine, company, **options):
    with read(engine) as conn:
        return {row["id"]: row for row in bc_contacts.read_bc_rows(conn, company, **options)}


def items(engine, profile, overlay=""):
    with read(engine) as conn:
        return outlook_items.read_outlook_records(conn, profile, overlay=overlay)


def call(engine, function, *arguments, **options):
    with transaction(engine) as conn:
        return function(conn, *arguments, **options)


# -- staging BC ------------------------------------------------------------------------------------------------------


def test_new_rows_are_stored_whole(engine, company):
    values = {name: f"value of {name}" for name in COLUMN_NAMES}
    row = BcRow(BcContact("k", 'W/"1"', stamp(1), values), -(2**63), "k@x.nl", "name_missing")
    staged = stage(engine, company, [row], generation=7, normaliser=3)
    assert (staged.changed, staged.unchanged, staged.conflicting) == (1, 0, [])
    [stored] = bc_rows(engine, company).values()
    assert {name: stored[name] for name in COLUMN_NAMES} == values
    others = {
        name: stored[name] for name in ("company", "overlay", "id", "etag", "last_modified", "email_key")
    }
    assert others == {
        "company": company,
        "overlay": "",
        "id": "k",
        "etag": 'W/"1"',
        "last_modified": stamp(1),
        "email_key": "k@x.nl",
    }
    marks = [stored[name] for name in ("problem", "fingerprint", "normaliser", "generation", "gone_since")]
    assert marks == ["name_missing", -(2**63), 3, 7, None]


def test_only_what_changed_gets_the_new_generation(engine, company):
    stage(engine, company, [bc("same"), bc("newer")], generation=1)
    staged = stage(engine, company, [bc("same"), bc("newer", 2, "f", name="N"), bc("new")], generation=2)
    assert (staged.changed, staged.unchanged, staged.conflicting) == (2, 1, [])
    found = bc_rows(engine, company)
    assert {key: row["generation"] for key, row in found.items()} == {"same": 1, "newer": 2, "new": 2}
    assert found["newer"]["name"] == "N"


@pytest.mark.parametrize(("at", "etag"), [(4, "f"), (4, "e"), (5, "f")])
def test_older_or_as_new_and_another_version_is_for_a_get_to_decide(engine, company, at, etag):
    stage(engine, company, [bc("k", 5, "e", name="stored")])
    staged = stage(engine, company, [bc("k", at, etag, name="read")])
    assert (staged.changed, staged.unchanged, staged.conflicting) == (0, 0, ["k"])
    assert staged.stored == {"k": (stamp(5), "e")}
    assert bc_rows(engine, company)["k"]["name"] == "stored"
    answer = stage(engine, company, [bc("k", at, etag, name="by GET")], force=staged.stored)
    assert answer.changed == 1
    assert bc_rows(engine, company)["k"]["name"] == "by GET"


def test_a_get_does_not_undo_what_was_staged_while_it_ran(engine, company):
    stage(engine, company, [bc("k", 5, "e")])
    staged = stage(engine, company, [bc("k", 4, "d")])
    stage(engine, company, [bc("k", 6, "written by another worker", name="theirs")])
    answer = stage(engine, company, [bc("k", 4, "d", name="by GET")], force=staged.stored)
    assert (answer.changed, answer.conflicting) == (0, ["k"])
    assert bc_rows(engine, company)["k"]["name"] == "theirs"


def test_force_replaces_whatever_is_stored(engine, company):
    stage(engine, company, [bc("k", 5, "e", name="stored")])
    staged = stage(engine, company, [bc("k", 4, "d", name="forced")], force=True)
    assert (staged.changed, staged.conflicting) == (1, [])
    assert bc_rows(engine, company)["k"]["name"] == "forced"


def test_a_row_that_reappears_is_present_again_and_changed(engine, company):
    stage(engine, company, [bc("k")], generation=1)
    call(engine, bc_contacts.mark_gone_business_central, company, ["k"], at=AT, generation=2)
    assert bc_rows(engine, company)["k"]["gone_since"] == AT
    staged = stage(engine, company, [bc("k")], generation=3)
    assert staged.changed == 1
    row = bc_rows(engine, company)["k"]
    assert (row["gone_since"], row["generation"]) == (None, 3)


def test_another_normaliser_writes_the_same_version_again(engine, company):
    stage(engine, company, [bc("k", fingerprint=1)], normaliser=1)
    assert stage(engine, company, [bc("k", fingerprint=2)], normaliser=2).changed == 1
    row = bc_rows(engine, company)["k"]
    assert (row["fingerprint"], row["normaliser"]) == (2, 2)


def test_companies_and_overlays_do_not_mix(engine, new_company):
    one, other = new_company(), new_company()
    stage(engine, one, [bc("k", name="one")])
    stage(engine, other, [bc("k", name="other")])
    stage(engine, one, [bc("k", 2, name="dry")], overlay="run")
    assert bc_rows(engine, one)["k"]["name"] == "one"
    assert bc_rows(engine, other)["k"]["name"] == "other"
    assert bc_rows(engine, one, overlay="run")["k"]["name"] == "dry"
    assert bc_rows(engine, one, overlay="another run")["k"]["name"] == "one"


@pytest.mark.parametrize("size", [1, 2, 3, 10_000])
def test_a_read_that_holds_a_row_twice_keeps_the_newest(engine, company, monkeypatch, size):
    monkeypatch.setattr(bulk, "PART", size)
    rows = [bc("k", 2, name="new"), bc("other"), bc("k", 1, name="old"), bc("k", 2, name="new")]
    stage(engine, company, rows)
    found = bc_rows(engine, company)
    assert {key: row["name"] for key, row in found.items()} == {"k": "new", "other": "other"}


def test_two_versions_with_one_stamp_in_one_read_are_for_a_get_to_decide(engine, company):
    for rows in ([bc("a", 2, "x"), bc("a", 2, "y")], [bc("b", 2, "y"), bc("b", 2, "x")]):
        staged = stage(engine, company, rows)
        key = rows[0].contact.id
        assert staged.conflicting == [key]
        assert staged.stored == {key: (stamp(2), "y")}
    newer = stage(engine, company, [bc("c", 2, "x"), bc("c", 2, "y"), bc("c", 3, "z")])
    assert newer.conflicting == []


versions = st.tuples(st.sampled_from("abc"), st.integers(1, 4), st.sampled_from("xy"))


@PER_EXAMPLE
@given(st.lists(st.lists(versions, max_size=6), max_size=6))
def test_staging_equals_a_simple_model(engine, new_company, batches):
    """The model, one row after the other in order of time: newer replaces, everything else is kept apart."""
    company = new_company()
    model: dict[str, tuple[int, str]] = {}
    for batch in batches:
        rows = [bc(key, at, etag, name=f"{at}{etag}") for key, at, etag in batch]
        newest: dict[str, tuple[int, str]] = {}
        for key, at, etag in batch:
            newest[key] = max(newest.get(key, (0, "")), (at, etag))
        changed = [key for key, one in newest.items() if key not in model or one[0] > model[key][0]]
        same = [key for key in newest if key not in changed and newest[key] == model[key]]
        ambiguous = {
            key
            for key, (at, etag) in newest.items()
            if any(b[:2] == (key, at) and b[2] != etag for b in batch)
        }
        expected = (newest.keys() - set(changed) - set(same)) | ambiguous
        staged = stage(engine, company, rows)
        model |= {key: newest[key] for key in changed}
        assert (staged.changed, staged.unchanged) == (len(changed), len(same))
        assert sorted(staged.conflicting) == sorted(expected)
        assert staged.stored.keys() == expected
    found = bc_rows(engine, company)
    assert {key: row["name"] for key, row in found.items()} == {
        k: f"{at}{etag}" for k, (at, etag) in model.items()
    }


@PER_EXAMPLE
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 6)), max_size=12),
    st.randoms(use_true_random=False),
    st.integers(1, 5),
)
def test_the_order_of_reads_changes_nothing(engine, new_company, versions, chance, size):
    """Each version has its own stamp and content, as from one service; whatever comes first, the newest stays."""
    results = []
    for _ in range(2):
        company = new_company()
        shuffled = [bc(key, at, f"e{at}", name=f"{key}{at}") for key, at in versions]
        chance.shuffle(shuffled)
        for start in range(0, len(shuffled), size):
            stage(engine, company, shuffled[start : start + size])
        results.append({key: row["name"] for key, row in bc_rows(engine, company).items()})
    newest = {key: f"{key}{max(at for k, at in versions if k == key)}" for key, _ in versions}
    assert results == [newest, newest]


any_text = st.text(
    st.characters(codec="utf-8") | st.sampled_from("\x00\ud83d\udc00\x1e\x1f\x0b\\\t\n\r,;\"'%_"), max_size=12
)


def storable(text: str) -> str:
    return text.replace("\x00", "").encode(errors="ignore").decode()


@PER_EXAMPLE
@given(any_text, any_text, st.text(string.printable, max_size=30))
def test_any_text_comes_back_as_it_was(engine, new_company, new_profile, name, city, note):
    """But for NUL and halves of surrogate pairs, which PostgreSQL refuses."""
    company, profile = new_company(), new_profile()
    stage(engine, company, [bc("k", name=name, city=city, address=note), bc("l", name=city)])
    row = bc_rows(engine, company)["k"]
    assert (row["name"], row["city"], row["address"]) == (storable(name), storable(city), note)
    with read(engine) as conn:
        frame = bc_contacts.read_scope(conn, company).set_index("id")
    assert frame.loc["k", "name"] == storable(name)
    assert frame.loc["l", "name"] == storable(city)
    stage_items(engine, profile, [item("k", displayName=name, notes=[city, {"note": note}])])
    assert items(engine, profile)["k"]["record"] == {
        "id": "k",
        "displayName": name,
        "notes": [city, {"note": note}],
    }


def test_many_rows_go_through_in_parts(engine, company, monkeypatch):
    monkeypatch.setattr(bulk, "PART", 100)
    monkeypatch.setattr(writing, "_MANY", 50)
    rows = [bc(f"k{number}") for number in range(1050)]
    assert stage(engine, company, iter(rows)).changed == 1050
    assert stage(engine, company, iter(rows)).unchanged == 1050
    assert stage(engine, company, [bc(f"k{number}", 2) for number in range(0, 1050, 2)]).changed == 525
    with read(engine) as conn:
        assert bc_contacts.count_present(conn, company) == 1050
        assert len(bc_contacts.read_bc_rows(conn, company, ids=[row.contact.id for row in rows])) == 1050


def test_staging_is_part_of_the_callers_transaction(engine, company):
    class InterruptedByTestError(Exception):
        pass

    def stage_and_fail() -> None:
        with transaction(engine) as conn:
            bc_contacts.stage_business_central(
                conn, company, [bc("b"), bc("a", 2)], generation=2, normaliser=1
            )
            raise InterruptedByTestError

    stage(engine, company, [bc("a")])
    with pytest.raises(InterruptedByTestError):
        stage_and_fail()
    assert {key: row["last_modified"] for key, row in bc_rows(engine, company).items()} == {"a": stamp(1)}


def test_generations_count_up_per_company(engine, new_company):
    one, other = new_company(), new_company()
    assert [call(engine, bc_contacts.next_generation, one) for _ in range(3)] == [1, 2, 3]
    assert call(engine, bc_contacts.next_generation, other) == 1


# -- reading BC ------------------------------------------------------------------------------------------------------


def test_known_and_counted_are_the_present_ones(engine, company):
    stage(engine, company, [bc("a", 1, "x"), bc("b", 2, "y", type="Company"), bc("c")])
    gone = call(
        engine, bc_contacts.mark_gone_business_central, company, ["c", "never seen"], at=AT, generation=2
    )
    assert gone == 1
    again = call(engine, bc_contacts.mark_gone_business_central, company, ["c"], at=stamp(9), generation=3)
    assert (again, bc_rows(engine, company)["c"]["gone_since"]) == (0, AT)
    with read(engine) as conn:
        assert bc_contacts.read_stamps(conn, company) == {"a": stamp(1), "b": stamp(2)}
        known = bc_contacts.known_bc(conn, company, ["b", "c"])
        assert {key: row[:2] for key, row in known.items()} == {"b": (stamp(2), "y")}
        assert bc_contacts.count_present(conn, company) == 2


def test_the_scope_holds_present_persons_that_are_not_blocked(engine, company):
    stage(
        engine,
        company,
        [
            bc("person"),
            bc("nobody", email=""),
            bc("firm", type="Company"),
            bc("blocked", privacy_blocked="true"),
            bc("gone"),
        ],
    )
    call(engine, bc_contacts.mark_gone_business_central, company, ["gone"], at=AT, generation=2)
    with read(engine) as conn:
        assert sorted(bc_contacts.read_scope(conn, company)["id"]) == ["nobody", "person"]


def test_a_scope_has_its_columns_and_types_even_when_it_is_empty(engine, company):
    stage(engine, company, [bc("k", fingerprint=-5, name="Ærø")])
    with read(engine) as conn:
        full = bc_contacts.read_scope(conn, company)
        empty = bc_contacts.read_scope(conn, company, condition=Or(()))
        light = bc_contacts.read_scope(conn, company, columns=("row_id", "city"))
    assert list(full.columns) == list(empty.columns)
    assert set(COLUMN_NAMES) <= set(full.columns)
    assert list(light.columns) == ["row_id", "city"]
    for frame in (full, empty):
        kinds = frame.dtypes
        assert (kinds["row_id"], kinds["fingerprint"]) == ("int64", "int64")
        texts = kinds.drop(["row_id", "fingerprint"])
        assert all(isinstance(kind, pd.StringDtype) for kind in texts)
        assert frame["id"].dtype == pd.Series(["x"]).dtype
    assert full.loc[0, "fingerprint"] == -5
    assert full.loc[0, "city"] == ""
    assert (len(full), len(empty)) == (1, 0)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (None, "abcde"),
        (Everything(), "abcde"),
        (Compare("city", "=", "Delft"), "a"),
        (Compare("city", "<>", "Delft"), "bcde"),
        (Compare("last_interaction", ">=", "2026-02-01"), "bc"),
        (Compare("last_interaction", "<", "2026-02-01"), "ade"),
        (Compare("city", "like", "%\\_%"), "d"),
        (Compare("city", "like", "100\\%"), "e"),
        (Compare("city", "like", "De_ft"), "a"),
        (And(()), "abcde"),
        (Or(()), ""),
        (And((Compare("city", "=", "Delft"), Compare("name", "=", "b"))), ""),
        (Or((Compare("city", "=", "Delft"), Compare("name", "=", "b"))), "ab"),
        (Or((And((Compare("city", "=", "Delft"), Everything())), Or(()))), "a"),
        (Compare("city", "=", "'; DROP TABLE bc_contact; --"), ""),
    ],
)
def test_conditions_of_filters_are_pushed_down(engine, company, condition, expected):
    stage(
        engine,
        company,
        [
            bc("a", city="Delft", last_interaction="2026-01-31"),
            bc("b", city="Utrecht", last_interaction="2026-02-01"),
            bc("c", city="", last_interaction="2026-12-31"),
            bc("d", city="a_b"),
            bc("e", city="100%"),
        ],
    )
    with read(engine) as conn:
        assert "".join(sorted(bc_contacts.read_scope(conn, company, condition=condition)["id"])) == expected


def test_rows_are_found_by_keys_ids_and_addresses(engine, company):
    stage(engine, company, [bc("a"), bc("b", type="Company"), bc("c", email="a@x.nl"), bc("d")])
    call(engine, bc_contacts.mark_gone_business_central, company, ["c"], at=AT, generation=2)
    everything = bc_rows(engine, company)
    assert sorted(everything) == ["a", "b", "c", "d"]
    assert sorted(bc_rows(engine, company, ids=["a", "c", "zz"])) == ["a", "c"]
    keys = [everything["b"]["row_id"], everything["c"]["row_id"], 10**15]
    assert sorted(bc_rows(engine, company, row_ids=keys)) == ["b", "c"]
    assert bc_rows(engine, company, ids=[]) == {}
    with read(engine) as conn:
        found = bc_contacts.read_bc_by_email(conn, company, ["a@x.nl", "b@x.nl", "", "x' OR 1=1 --"])
        assert sorted(row["id"] for row in found) == ["a", "b"]
        assert bc_contacts.read_bc_by_email(conn, company, []) == []


def test_company_numbers_go_by_exact_name_in_any_case(engine, company):
    firms = [
        ("1", "Bäckerei Straße"), ("2", "Jansen"), ("3", "JANSEN "), ("4", "İstanbul"), ("5", "Alleen"), ("6", "Weg"),
    ]  # fmt: skip
    stage(engine, company, [bc(number, type="Company", name=name, number=number) for number, name in firms])
    stage(engine, company, [bc("p", name="Alleen", number="7"), bc("b", name="", type="Company", number="8")])
    call(engine, bc_contacts.mark_gone_business_central, company, ["6"], at=AT, generation=2)
    asked = [
        "bäckerei strasse",
        "ba\u0308ckerei STRASSE",
        "jansen",
        "İSTANBUL",
        "alleen",
        "weg",
        "jan",
        "",
        "%",
    ]
    with read(engine) as conn:
        found = bc_contacts.read_company_numbers(conn, company, asked)
    assert found == {
        "bäckerei strasse": "1",
        "ba\u0308ckerei STRASSE": "1",
        "jansen": None,
        "İSTANBUL": "4",
        "alleen": "5",
    }


# -- Outlook ---------------------------------------------------------------------------------------------------------


def test_items_are_stored_whole(engine, profile):
    stage_items(
        engine,
        profile,
        [item("k", 2, "v", bc_key="t/e/c/1", fingerprint=9, displayName="Anna")],
        normaliser=4,
    )
    [row] = items(engine, profile).values()
    names = (
        "id",
        "etag",
        "last_modified",
        "created",
        "bc_key",
        "email_key",
        "name",
        "fingerprint",
        "normaliser",
    )
    assert [row[name] for name in names] == ["k", "v", stamp(2), stamp(0), "t/e/c/1", "k@x.nl", "k", 9, 4]
    assert row["record"] == {"id": "k", "displayName": "Anna"}
    with read(engine) as conn:
        assert outlook_items.outlook_row_ids(conn, profile, ["k", "l"]) == {"k": row["row_id"]}
        assert outlook_items.known_outlook(conn, profile) == {
            "k": KnownItem(row["row_id"], "v", stamp(2), "t/e/c/1", gone=False)
        }


def test_a_key_that_was_not_read_keeps_its_stored_value(engine, profile):
    stage_items(engine, profile, [item("a", bc_key="key"), item("b", bc_key=None)])
    assert items(engine, profile)["b"]["bc_key"] is None
    stage_items(engine, profile, [item("a", 2, bc_key=None), item("b", 2, bc_key="")])
    found = items(engine, profile)
    assert (found["a"]["bc_key"], found["a"]["last_modified"]) == ("key", stamp(2))
    assert found["b"]["bc_key"] == ""


def test_a_key_is_taken_over_from_a_read_of_the_same_version(engine, profile):
    stage_items(engine, profile, [item("a", bc_key=None), item("b", bc_key="key")])
    staged = stage_items(engine, profile, [item("a", bc_key="key"), item("b", bc_key="key")])
    assert (staged.changed, staged.unchanged) == (1, 1)
    assert items(engine, profile)["a"]["bc_key"] == "key"


def test_what_a_delta_left_out_is_no_other_version(engine, profile):
    stage_items(engine, profile, [item("k", 5, "e")])
    assert stage_items(engine, profile, [item("k", 5, "")]).unchanged == 1
    assert stage_items(engine, profile, [item("k", 0, "e")]).unchanged == 1
    assert stage_items(engine, profile, [item("k", 0, "")]).conflicting == ["k"]
    assert stage_items(engine, profile, [item("k", 0, "other")]).conflicting == ["k"]
    stage_items(engine, profile, [item("k", 0, "forced")], force=True)
    row = items(engine, profile)["k"]
    assert (row["etag"], row["last_modified"]) == ("forced", stamp(5))


def test_older_items_never_replace_newer_ones(engine, profile):
    stage_items(engine, profile, [item("k", 5, "e", displayName="stored")])
    staged = stage_items(engine, profile, [item("k", 4, "d", displayName="read")])
    assert (staged.conflicting, staged.stored) == (["k"], {"k": (stamp(5), "e")})
    assert items(engine, profile)["k"]["record"]["displayName"] == "stored"


def test_gone_items_are_kept_with_their_reason_until_they_return(engine, profile):
    stage_items(engine, profile, [item("a"), item("b")])
    gone = call(engine, outlook_items.mark_gone_outlook, profile, ["a"], at=AT, reason="moved")
    assert gone == 1
    assert (items(engine, profile)["a"]["gone_since"], items(engine, profile)["a"]["gone_reason"]) == (
        AT,
        "moved",
    )
    with read(engine) as conn:
        assert list(outlook_items.read_outlook(conn, profile)["id"]) == ["b"]
        assert outlook_items.known_outlook(conn, profile)["a"].gone
    assert stage_items(engine, profile, [item("a")]).changed == 1
    row = items(engine, profile)["a"]
    assert (row["gone_since"], row["gone_reason"]) == (None, "")


def test_all_items_can_be_marked_gone(engine, new_profile):
    one, other = new_profile(), new_profile()
    stage_items(engine, one, [item("a"), item("b")])
    stage_items(engine, other, [item("a")])
    assert call(engine, outlook_items.mark_all_gone_outlook, one, at=AT, reason="absent", but=["b"]) == 1
    assert call(engine, outlook_items.mark_all_gone_outlook, one, at=AT, reason="absent") == 1
    with read(engine) as conn:
        assert len(outlook_items.read_outlook(conn, one)) == 0
        assert len(outlook_items.read_outlook(conn, other)) == 1


def test_a_folder_as_a_frame_has_no_missing_values(engine, profile):
    stage_items(engine, profile, [item("a", bc_key=None, fingerprint=2**62), item("b", bc_key="key")])
    with read(engine) as conn:
        frame = outlook_items.read_outlook(conn, profile).set_index("id")
    assert list(frame.columns) == ["row_id", "etag", "created", "bc_key", "email_key", "fingerprint"]
    assert (frame.loc["a", "bc_key"], frame.loc["b", "bc_key"]) == ("", "key")
    assert frame.loc["a", "fingerprint"] == 2**62
    assert not frame.isna().any().any()


# -- overlays --------------------------------------------------------------------------------------------------------


def test_an_overlay_shadows_adds_and_deletes_without_touching_the_snapshot(engine, company):
    stage(engine, company, [bc("same"), bc("changed"), bc("gone"), bc("gone too")])
    before = bc_rows(engine, company)
    staged = stage(
        engine,
        company,
        [bc("same"), bc("changed", 2, name="dry"), bc("new"), bc("gone too", 2)],
        generation=0,
        overlay="r",
    )
    assert (staged.changed, staged.unchanged, staged.conflicting) == (3, 1, [])
    gone = call(
        engine,
        bc_contacts.mark_gone_business_central,
        company,
        ["gone", "gone too", "never"],
        at=AT,
        generation=0,
        overlay="r",
    )
    assert gone == 2
    assert bc_rows(engine, company) == before
    seen = bc_rows(engine, company, overlay="r")
    present = {key: row["name"] for key, row in seen.items() if row["gone_since"] is None}
    assert present == {"same": "same", "changed": "dry", "new": "new"}
    assert {key for key, row in seen.items() if row["gone_since"] == AT} == {"gone", "gone too"}
    for key in ("same", "changed", "gone", "gone too"):
        assert seen[key]["row_id"] == before[key]["row_id"], "couplings name the real row"
    assert seen["new"]["row_id"] < 0
    with read(engine) as conn:
        assert set(bc_contacts.read_stamps(conn, company, overlay="r")) == {"same", "changed", "new"}
        assert bc_contacts.count_present(conn, company, overlay="r") == 3
        frame = bc_contacts.read_scope(conn, company, overlay="r")
        assert dict(zip(frame["id"], frame["row_id"], strict=True)) == {
            key: seen[key]["row_id"] for key in ("same", "changed", "new")
        }
        found = bc_contacts.read_bc_by_email(conn, company, ["changed@x.nl", "gone@x.nl"], overlay="r")
        assert [row["name"] for row in found] == ["dry"]
    keys = [before["changed"]["row_id"], seen["new"]["row_id"]]
    assert {row["name"] for row in bc_rows(engine, company, row_ids=keys, overlay="r").values()} == {
        "dry",
        "new",
    }


def test_an_overlay_stages_by_the_same_rules_as_the_real_run(engine, company):
    """So that the real run after a dry one plans the same (rules 8.2)."""
    stage(engine, company, [bc("newer", 5), bc("k")])
    staged = stage(engine, company, [bc("newer", 4, "older")], overlay="r")
    assert (staged.conflicting, staged.stored) == (["newer"], {"newer": (stamp(5), "e")})
    assert stage(
        engine, company, [bc("newer", 4, "older", name="by GET")], overlay="r", force=staged.stored
    ).changed
    assert bc_rows(engine, company, overlay="r")["newer"]["name"] == "by GET"
    assert stage(engine, company, [bc("k")], overlay="r").unchanged == 1
    assert stage(engine, company, [bc("k", 2, name="dry")], overlay="r").changed == 1
    assert stage(engine, company, [bc("k", 2, name="dry")], overlay="r").unchanged == 1
    assert stage(engine, company, [bc("k")], overlay="r").conflicting == ["k"]


def test_overlays_of_items_work_alike(engine, profile):
    stage_items(engine, profile, [item("a", bc_key="key"), item("b")])
    stage_items(engine, profile, [item("a", 2, bc_key=None, displayName="dry"), item("c")], overlay="r")
    call(engine, outlook_items.mark_gone_outlook, profile, ["b"], at=AT, reason="deleted", overlay="r")
    real, seen = items(engine, profile), items(engine, profile, "r")
    assert sorted(real) == ["a", "b"]
    assert all(row["gone_since"] is None for row in real.values())
    assert seen["a"]["record"]["displayName"] == "dry"
    assert seen["a"]["bc_key"] == "key", "a key that was not read comes from the real row"
    assert (seen["b"]["gone_reason"], seen["b"]["record"]) == ("deleted", {"id": "b"})
    with read(engine) as conn:
        assert sorted(outlook_items.read_outlook(conn, profile, overlay="r")["id"]) == ["a", "c"]
        known = outlook_items.known_outlook(conn, profile, overlay="r")
        assert (known["b"].gone, known["a"].row_id, known["c"].row_id < 0) == (
            True,
            real["a"]["row_id"],
            True,
        )
        assert outlook_items.outlook_row_ids(conn, profile, ["a"], overlay="r") == {"a": real["a"]["row_id"]}
    assert (
        call(engine, outlook_items.mark_all_gone_outlook, profile, at=AT, reason="deleted", overlay="r") == 2
    )
    assert all(row["gone_since"] is None for row in items(engine, profile).values())


def test_dropping_an_overlay_leaves_the_snapshot_and_other_overlays(engine, company, profile):
    for overlay in ("", "r", "other"):
        stage(engine, company, [bc("k", 2 if overlay else 1)], overlay=overlay)
        stage_items(engine, profile, [item("k", 2 if overlay else 1)], overlay=overlay)
    call(engine, drop_overlay, "r")
    for table in (t.bc_contact, t.outlook_contact):
        with read(engine) as conn:
            assert sorted(conn.execute(select(table.c.overlay)).scalars()) == ["", "other"]
    with pytest.raises(ValueError, match="not an overlay"):
        call(engine, drop_overlay, "")


steps = st.lists(
    st.tuples(st.sampled_from(["stage", "gone"]), st.sampled_from("abc"), st.integers(1, 5), st.booleans()),
    max_size=15,
)


@PER_EXAMPLE
@given(steps)
def test_overlay_and_snapshot_equal_two_dictionaries(engine, new_company, steps):
    """The model of an overlay: a dictionary that hides the one below it."""
    company = new_company()
    real: dict[str, tuple[int, bool]] = {}
    dry: dict[str, tuple[int, bool]] = {}
    for kind, key, at, in_overlay in steps:
        layer = dry if in_overlay else real
        overlay = "r" if in_overlay else ""
        stored = layer.get(key) or (real.get(key) if in_overlay else None)
        if kind == "stage":
            stage(engine, company, [bc(key, at, f"e{at}")], overlay=overlay)
            if stored is None or at > stored[0] or (at == stored[0] and stored[1]):
                layer[key] = (at, False)
        elif stored is not None:
            call(
                engine,
                bc_contacts.mark_gone_business_central,
                company,
                [key],
                at=AT,
                generation=1,
                overlay=overlay,
            )
            if not stored[1]:
                layer[key] = (stored[0], True)
    for overlay, expected in (("", real), ("r", real | dry)):
        found = {
            key: (int(row["last_modified"][20:23]), row["gone_since"] is not None)
            for key, row in bc_rows(engine, company, overlay=overlay).items()
        }
        assert found == expected


# -- bulk ------------------------------------------------------------------------------------------------------------


@PER_EXAMPLE
@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.text(max_size=5), max_size=30), st.data()
)
def test_bulk_writes_equal_a_dictionary(engine, rows, data):
    rows = {key: storable(value) for key, value in rows.items()}
    with transaction(engine) as conn:
        conn.execute(t.company.delete())
        names = ("tenant_id", "environment", "company_id", "name")
        bulk.insert_rows(conn, t.company, names, [("t", "e", key, value) for key, value in rows.items()])
        keys = dict(bulk.read_tuples(conn, select(t.company.c.company_id, t.company.c.id)))
        chosen = data.draw(st.lists(st.sampled_from(sorted(rows)), unique=True)) if rows else []
        bulk.update_rows(conn, t.company, ("name",), [(f"new {key}", keys[key]) for key in chosen])
        bulk.update_rows(conn, t.company, ("name",), [])
        among = bulk.among(conn, t.company.c.company_id, list(rows))
        wanted = select(t.company.c.company_id, t.company.c.name).where(among)
        assert dict(bulk.read_tuples(conn, wanted)) == rows | {key: f"new {key}" for key in chosen}


def test_two_bulk_updates_in_one_transaction_do_not_mix(engine, company):
    with transaction(engine) as conn:
        for name in ("first", "second"):
            bulk.update_rows(conn, t.company, ("name",), [(name, company)])
        assert conn.execute(select(t.company.c.name)).scalar_one() == "second"
    with transaction(engine) as conn:
        bulk.update_rows(conn, t.company, ("name",), [("third", company)])
        assert conn.execute(select(t.company.c.name)).scalar_one() == "third"


def test_a_frame_survives_every_separator(engine, company):
    """Whatever control characters the fast way uses between values, text may hold them too."""
    odd = ["\x1e", "\x1f", "a\x1fb", "\x1e\x1f", "", "\\N", "\\", "\t", "\n", "\r\n", "NULL", "nan"]
    stage(engine, company, [bc(f"k{number:02d}", name=name, city="") for number, name in enumerate(odd)])
    with read(engine) as conn:
        frame = bc_contacts.read_scope(conn, company).sort_values("id")
    assert list(frame["name"]) == odd
    assert list(frame["city"]) == [""] * len(odd)


def test_random_rows_come_back_as_a_frame_in_step(engine, company):
    """Every column belongs to its own row."""
    chance = random.Random(1)
    rows = [bc(f"k{n}", name=f"name k{n}", city=chance.choice(["", f"city k{n}"])) for n in range(500)]
    stage(engine, company, rows)
    with read(engine) as conn:
        frame = bc_contacts.read_scope(conn, company)
    assert (frame["name"] == "name " + frame["id"]).all()
    assert frame["city"].isin(["", *("city " + frame["id"])]).all()
    assert (frame["email_key"] == frame["id"] + "@x.nl").all()


def test_an_update_of_the_table_is_seen_by_later_sessions(engine, company):
    stage(engine, company, [bc("k")])
    with transaction(engine) as conn:
        conn.execute(update(t.bc_contact).values(name="by hand"))
    assert bc_rows(engine, company)["k"]["name"] == "by hand"
