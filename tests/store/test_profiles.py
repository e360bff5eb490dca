from __future__ import annotations

import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, insert, select, update

from sync_lib.errors import ConfigError, ProfileError
from sync_lib.model import Company
from sync_lib.store import company_names
from sync_lib.store import tables as t
from sync_lib.store.engine import read, transaction
from sync_lib.store.profiles import file as profile_file
from sync_lib.store.profiles import history as profile_history
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.history import ProfileChange, SettingChange
from sync_lib.store.profiles.importing import export_profiles, import_profiles
from sync_lib.store.profiles.settings import add_profile, correct_profile, remove_profile, rename_folder
from sync_lib.store.profiles.values import WrongValue

NOW = "2026-03-02T09:00:00.000Z"
LATER = "2026-03-02T10:00:00.000Z"
MINIMAL = """
profiles:
  - mailbox: anna@example.com
    company: Cronus
"""
COMPLETE = """
companies:
  - name: Cronus
    phone_region: be
profiles:
  - mailbox: anna@example.com
    company: Cronus
    enabled: false
    folder: Klanten
    filter:
      Name: "A*"
      City: [Delft|Utrecht, "<>Delft"]
      Post Code: 0123
    direction: to_outlook
    salesperson: ab
    language: en
    policies:
      deleted_in_outlook: stay_away
      deleted_in_business_central: keep
      left_scope: keep
      blank_in_business_central: overwrite
"""


def load(engine, text, now=NOW, field_profile="standard"):
    return import_profiles(engine, text, now=now, field_profile=field_profile)


def stored(engine, **options):
    with read(engine) as conn:
        return profiles.read_profiles(conn, **{"enabled_only": False} | options)


def one(**fields) -> str:
    return yaml.safe_dump({"profiles": [{"mailbox": "anna@example.com", "company": "Cronus", **fields}]})


def test_what_the_file_leaves_out_has_its_default(engine):
    report = load(engine, MINIMAL)
    [profile] = stored(engine)
    assert report.added == [profile.id]
    assert str(report) == "Profiles: 1 added, 0 changed, 0 as they were."
    chosen = (
        profile.mailbox,
        profile.company_name,
        profile.enabled,
        profile.folder_name,
        profile.default_folder,
    )
    assert chosen == ("anna@example.com", "Cronus", True, "Business Central", False)
    rules = (profile.filter, profile.direction, profile.salesperson_code, profile.language)
    assert rules == ((), "both", "", "nl")
    policies = (profile.deleted_in_outlook, profile.deleted_in_bc, profile.left_scope, profile.blank_in_bc)
    assert policies == ("recreate", "delete", "delete", "fill")
    bound = (profile.company, profile.graph_user_id, profile.folder_id, profile.folder_made_by_sync)
    assert bound == (None, None, None, False)
    assert (profile.folder_seen, profile.marker_counter, profile.key) == ("", 0, str(profile.id))


def test_every_setting_arrives(engine):
    load(engine, COMPLETE)
    [profile] = stored(engine)
    assert profile.filter == (
        (("Name", "A*"), ("City", "Delft|Utrecht"), ("City", "<>Delft"), ("Post Code", "0123")),
    )
    chosen = (
        profile.enabled,
        profile.folder_name,
        profile.direction,
        profile.salesperson_code,
        profile.language,
    )
    assert chosen == (False, "Klanten", "to_outlook", "AB", "en")
    policies = (profile.deleted_in_outlook, profile.deleted_in_bc, profile.left_scope, profile.blank_in_bc)
    assert policies == ("stay_away", "keep", "keep", "overwrite")


def test_importing_again_changes_nothing_not_even_the_time(engine):
    for text in (MINIMAL, COMPLETE):
        load(engine, text)
        before = stored(engine)
        report = load(engine, text, now=LATER)
        assert (report.added, report.changed) == ([], [])
        assert stored(engine) == before
    with read(engine) as conn:
        assert set(conn.execute(select(t.sync_profile.c.updated_at)).scalars()) == {NOW}


def test_a_changed_line_changes_that_profile_only(engine):
    load(engine, MINIMAL + "  - mailbox: bram@example.com\n    company: Cronus\n")
    report = load(engine, one(language="en"), now=LATER)
    assert (len(report.added), len(report.changed), len(report.unchanged)) == (0, 1, 0)
    assert [(each.mailbox, each.language) for each in stored(engine)] == [
        ("anna@example.com", "en"),
        ("bram@example.com", "nl"),
    ]
    assert len(load(engine, MINIMAL).changed) == 1, "what is left out goes back to its default"
    assert stored(engine)[0].language == "nl"


@pytest.mark.parametrize(
    "change",
    [{"mailbox": "b@example.com"}, {"company": "Other", "folder": "Elders"}, {"default_folder": "true"}],
)
def test_another_mailbox_company_or_folder_is_another_profile(engine, change):
    load(engine, MINIMAL)
    assert len(load(engine, one(**change)).added) == 1
    assert len(stored(engine)) == 2


@pytest.mark.parametrize(
    "change", [{"mailbox": "ANNA@Example.com"}, {"company": "CRONUS "}, {"folder": "business central"}]
)
def test_upper_case_makes_no_other_profile(engine, change):
    load(engine, MINIMAL)
    assert load(engine, one(**change)).added == []
    assert len(stored(engine)) == 1


def test_a_folder_that_a_user_renamed_is_still_the_one_that_the_file_means(engine):
    load(engine, MINIMAL)
    [profile] = stored(engine)
    with transaction(engine) as conn:
        profiles.bind_profile(conn, profile.id, folder_name="Mijn klanten", folder_seen="Mijn klanten")
    assert load(engine, MINIMAL).unchanged == [profile.id]
    assert load(engine, one(language="en")).changed == [profile.id]
    [after] = stored(engine)
    assert (after.folder_name, after.language) == ("Mijn klanten", "en")
    # The file may name both: then the old name is a new profile.
    names = ("Mijn klanten", "Business Central")
    both = [{"mailbox": "anna@example.com", "company": "Cronus", "folder": name} for name in names]
    report = load(engine, yaml.safe_dump({"profiles": both}))
    assert (len(report.added), report.changed) == (1, [profile.id])


def test_the_mailboxes_own_contacts_must_be_chosen(engine):
    load(engine, one(default_folder=True))
    [profile] = stored(engine)
    assert (profile.default_folder, profile.folder_name) == (True, "Contacts")
    with transaction(engine) as conn:
        profiles.bind_profile(conn, profile.id, folder_name="Contactpersonen")
    assert load(engine, one(default_folder=True)).unchanged == [profile.id]
    assert load(engine, export_profiles(engine)).unchanged == [profile.id]
    with pytest.raises(ConfigError, match="leave out 'folder' or 'default_folder'"):
        load(engine, one(default_folder=True, folder="x"))
    other = {"mailbox": "bram@example.com"}
    with pytest.raises(ConfigError, match="for the company Cronus, has the folder 'Contacts'"):
        load(
            engine,
            one(folder="Contacts", **other) + one(default_folder=True, **other).removeprefix("profiles:\n"),
        )


WRONG = [
    ("", "must be a list of 'name: value' lines"),
    ("[1, 2]", "must be a list of 'name: value' lines"),
    ("profiles: [", "not YAML"),
    ("companies: []", "no list 'profiles:'"),
    ("profiles: anna", "must be a list"),
    ("profiles: [anna]", "Profile 1 (line 1): this must be a list of 'name: value' lines"),
    ("profiles: []\nusers: []", "'users' is not known here"),
    (one(folders="x"), "'folders' is not known here; there is mailbox, company"),
    (one(mailbox=""), "Profile 1 (without a mailbox), mailbox (line 3): the mailbox is missing"),
    (one(mailbox="anna"), "'anna' is not a user principal name"),
    (one(mailbox="Anna <anna@example.com>"), "is not a user principal name"),
    ("profiles:\n- company: Cronus\n", "Profile 1 (without a mailbox), mailbox (line 2): the mailbox is missing"),
    ("profiles:\n- mailbox: a@b.nl\n", "Profile 1 (a@b.nl), company (line 2): the company is missing"),
    (one(enabled="maybe"), "'maybe' is not true or false"),
    (one(folder=""), "the folder needs a name"),
    (one(folder="x" * 256), "longer than 255"),
    (one(folder="a\u202eb"), "a character that cannot be seen"),
    (one(direction="outlook"), "'outlook' is not one of these: both, to_outlook, to_business_central"),
    (one(salesperson="x" * 21), "at most 20"),
    (one(language="Nederlands"), "is not a language code"),
    (one(language="zz"), "language (line 3): there is no language 'zz'; there is nl, en, de, fr, and any other by"),
    (one(language=["nl"]), "must be a single value"),
    (one(policies={"left_scope": "remove"}), "left_scope (line 5): 'remove' is not one of these: delete, keep"),
    (one(policies={"deleted": "keep"}), "'deleted' is not known here; there is deleted_in_outlook"),
    (one(policies="keep"), "policies (line 4): this must be a list of 'name: value' lines"),
    (one(filter={"City": "A|"}), "filter (line 4)"),
    (one(filter={"Shoe Size": "44"}), "The filter on 'Shoe Size' is not understood"),
    (one(filter={"Salesperson Code": "AB"}), "needs 'extended'"),
    (one(filter=["City"]), "must be a list of 'name: value' lines"),
    ("profiles:\n- {mailbox: a@b.nl, company: C, company: D}", "'company' is here twice"),
    (MINIMAL + "  - mailbox: ANNA@example.com\n    company: cronus\n", "is in the file twice"),
    ("companies: [{name: Cronus, phone_region: NLD}]" + MINIMAL, "'NLD' is not a country code"),
    ("companies: [{name: Cronus}]" + MINIMAL, "Company 1, phone_region (line 1)"),
    ("companies: [{phone_region: NL}]" + MINIMAL, "Company 1, name (line 1): the company is missing"),
    ("companies: [{name: Cronus, phone_region: NL}, {name: CRONUS, phone_region: BE}]" + MINIMAL, "twice"),
    ("companies: [{name: Contoso, phone_region: NL}]" + MINIMAL, "No profile has the company 'Contoso'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_a_wrong_file_is_refused_with_place_and_remedy(engine, text, message):
    load(engine, one(mailbox="before@example.com"))
    before = stored(engine)
    with pytest.raises(ConfigError) as caught:
        load(engine, text, now=LATER)
    assert message in str(caught.value)
    assert stored(engine) == before


def test_all_that_is_wrong_is_named_at_once(engine):
    text = """
profiles:
  - mailbox: good@example.com
    company: Cronus
  - mailbox: bad
    company: Cronus
    direction: sideways
    filter: {City: "(", Name: "A*"}
  - mailbox: ugly@example.com
    company: Cronus
    policies: {left_scope: ignore}
"""
    with pytest.raises(ConfigError) as caught:
        load(engine, text)
    lines = str(caught.value).splitlines()
    assert lines[0] == "Nothing was changed."
    places = [line.split(": ")[0] for line in lines[1:]]
    assert places == [
        "Profile 2 (bad), mailbox (line 5)",
        "Profile 2 (bad), filter (line 8)",
        "Profile 2 (bad), direction (line 7)",
        "Profile 3 (ugly@example.com), policies, left_scope (line 11)",
    ]
    assert stored(engine) == []


def test_no_is_norway_and_zeros_stay(engine):
    text = MINIMAL + "    filter: {Post Code: 0123}\n"
    load(engine, "companies: [{name: Cronus, phone_region: NO}]\n" + text)
    with read(engine) as conn:
        assert conn.execute(select(t.company_setting.c.phone_region)).scalars().all() == ["NO"]
    assert stored(engine)[0].filter == ((("Post Code", "0123"),),)


def test_extended_fields_need_the_extended_profile(engine):
    load(engine, one(filter={"Salesperson Code": "%me"}), field_profile="extended")
    assert stored(engine)[0].filter == ((("Salesperson Code", "%me"),),)


def test_a_company_gets_the_region_that_its_profiles_name(engine):
    load(engine, COMPLETE)
    [profile] = stored(engine)
    with transaction(engine) as conn:
        company = conn.execute(
            insert(t.company)
            .values(tenant_id="t", environment="e", company_id="c", name="CRONUS International")
            .returning(t.company.c.id)
        ).scalar_one()
        profiles.bind_profile(conn, profile.id, company=company)
    region = select(t.company.c.phone_region)
    with read(engine) as conn:
        assert conn.execute(region).scalar_one() == "BE"
    load(engine, COMPLETE.replace("be", "DE").replace("name: Cronus", "name: CRONUS"))
    with read(engine) as conn:
        assert conn.execute(region).scalar_one() == "DE"
        assert conn.execute(select(func.count()).select_from(t.company_setting)).scalar_one() == 1


def test_the_export_of_everything_can_be_imported_anywhere(engine):
    load(engine, COMPLETE + "  - {mailbox: bram@example.com, company: Cronus, default_folder: yes}\n")
    text = export_profiles(engine)
    before = stored(engine)
    with transaction(engine) as conn:
        for table in (t.profile_change, t.sync_profile, t.company_setting):
            conn.execute(delete(table))
    load(engine, text)
    settings_of = [[getattr(each, name) for name in profile_file.ProfileEntry.__slots__] for each in before]
    assert [
        [getattr(each, name) for name in profile_file.ProfileEntry.__slots__] for each in stored(engine)
    ] == settings_of
    assert export_profiles(engine) == text


visible = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20).map(
    lambda text: unicodedata.normalize("NFC", text)
)
entries = st.builds(
    profile_file.ProfileEntry,
    mailbox=st.from_regex(r"[a-z]{1,8}@[a-z]{1,8}\.nl", fullmatch=True),
    company_name=visible,
    enabled=st.booleans(),
    folder_name=visible
    | st.sampled_from(["yes", "null", "~", "1", "no", "[x]", "- a", "# b", "a: b", "'", '"']),
    filter=st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["City", "Name", "No."]),
                st.sampled_from(["A*", "<>''", "1..2", "@x", "true", "0"]),
            ),
            min_size=1,
            max_size=4,
        ),
        max_size=3,
    ).map(profile_file.in_file_order),
    direction=st.sampled_from(["both", "to_outlook", "to_business_central"]),
    salesperson_code=st.sampled_from(["", "AB", "NO", "1E3"]),
    language=st.sampled_from(["nl", "en", "no"]),
    deleted_in_outlook=st.sampled_from(["recreate", "stay_away"]),
    deleted_in_bc=st.sampled_from(["delete", "keep"]),
    left_scope=st.sampled_from(["delete", "keep"]),
    blank_in_bc=st.sampled_from(["fill", "overwrite"]),
)


@settings(max_examples=60)
@given(st.lists(entries, max_size=4, unique_by=lambda entry: entry.identity))
def test_what_is_exported_reads_back_as_it_was(chosen):
    content = profile_file.ProfileFile(tuple(chosen), {"NO": "NO", "Ærø & co: 1": "DK"})
    assert profile_file.parse(profile_file.dump(content), field_profile="standard") == content


def test_profiles_are_chosen_by_key_and_state(engine):
    load(engine, MINIMAL + "  - {mailbox: b@example.com, company: Cronus, enabled: no}\n")
    first, second = stored(engine)
    assert stored(engine, enabled_only=True) == [first]
    assert stored(engine, keys=[second.key]) == [second]
    assert stored(engine, keys=[]) == []
    with read(engine) as conn:
        assert profiles.read_profile(conn, second.id) == second
        with pytest.raises(ConfigError, match="no profile 4711"):
            profiles.read_profile(conn, 4711)


def test_what_a_file_changes_is_written_down_with_it(engine):
    def history(profile):
        with read(engine) as conn:
            return profile_history.read_changes(conn, profile, 10)

    load(engine, MINIMAL)
    load(engine, MINIMAL)
    load(engine, one(language="en"), now=LATER)
    [profile] = stored(engine)
    changes, total = history(profile.id)
    assert total == 2
    assert changes == [
        ProfileChange(LATER, "contact-sync", False, [SettingChange("language", "nl", "en")]),
        ProfileChange(NOW, "contact-sync", True, []),
    ]
    # All or nothing: the second profile of this file cannot be stored, and so the first one is not changed.
    taken = [
        {"mailbox": "anna@example.com", "company": "Cronus", "language": "de"},
        {"mailbox": "bram@example.com", "company": "Cronus", "default_folder": True},
        {"mailbox": "bram@example.com", "company": "Cronus", "folder": "Contacts"},
    ]
    with pytest.raises(ConfigError, match="Contacts"):
        load(engine, yaml.safe_dump({"profiles": taken}))
    assert history(profile.id) == (changes, total)
    rename_folder(engine, profile.id, "Klanten", now="2026-03-02T11:00:00.000Z")
    [newest, *_], _ = history(profile.id)
    assert newest.settings == [SettingChange("folder_name", "Business Central", "Klanten")]


TWIN = "  - {mailbox: Anna@example.com, company: Other, folder: business central}\n"


@pytest.mark.parametrize("is_stored", [True, False], ids=["stored", "in the file"])
def test_a_folder_of_a_mailbox_is_named_by_one_profile(engine, is_stored):
    """Whatever its company: a file that names it twice is refused before any sync meets the folder."""
    if is_stored:
        load(engine, MINIMAL)
    before = stored(engine)
    with pytest.raises(ConfigError) as caught:
        load(engine, MINIMAL + TWIN, now=LATER)
    assert str(caught.value) == (
        "Nothing was changed. Anna@example.com: another profile of this mailbox, for the company Cronus, has the "
        "folder 'Business Central': choose another name."
    )
    assert stored(engine) == before


def test_a_folder_belongs_to_one_profile(engine):
    load(engine, MINIMAL + "  - {mailbox: anna@example.com, company: Other, folder: Elders}\n")
    first, second = stored(engine)
    bound = {"graph_user_id": "u", "folder_id": "f", "folder_made_by_sync": True, "marker_counter": 3}
    with transaction(engine) as conn:
        profiles.bind_profile(conn, first.id, **bound)
    with read(engine) as conn:
        after = profiles.read_profile(conn, first.id)
        assert {name: getattr(after, name) for name in bound} == bound
        assert profiles.read_taken_folders(conn, second.id, "u") == {"f"}
        assert profiles.read_taken_folders(conn, second.id, "v") == frozenset()
        assert profiles.read_taken_folders(conn, first.id, "u") == frozenset()
    with pytest.raises(ProfileError) as caught, transaction(engine) as conn:
        profiles.bind_profile(conn, second.id, **bound)
    assert caught.value.reason == "folder_taken"


def test_a_sync_may_not_change_what_people_set(engine):
    load(engine, MINIMAL)
    with pytest.raises(ValueError, match="enabled"), transaction(engine) as conn:
        profiles.bind_profile(conn, stored(engine)[0].id, enabled=False)


def test_two_imports_at_once_add_a_profile_once(engine):
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: load(engine, MINIMAL), range(4)))
    assert sorted(len(report.added) for report in reports) == [0, 0, 0, 1]
    assert len(stored(engine)) == 1


def test_a_stored_filter_in_any_order_is_the_same_filter(engine):
    """The web page keeps the order in which a person added the lines."""
    load(engine, one(filter={"City": ["A*", "<>Aa"], "Name": "B*"}))
    with transaction(engine) as conn:
        mixed = '[["City", "A*"], ["Name", "B*"], ["City", "<>Aa"]]'
        conn.execute(update(t.sync_profile).values(filter=mixed))
    assert len(load(engine, export_profiles(engine)).unchanged) == 1


# -- another name for a folder, or another profile (P4) --------------------------------------------------------------


def file_of(*folders, **more):
    """Rows of Anna's profiles for Cronus, by folder; ``more``: folder -> what the row says beside it."""
    rows = (
        {"mailbox": "anna@example.com", "company": "Cronus", "folder": f, **more.get(f, {})} for f in folders
    )
    return yaml.safe_dump({"profiles": list(rows)})


def by_folder(engine):
    return {each.folder_name: each.id for each in stored(engine)}


def bind(engine, key, **values):
    with transaction(engine) as conn:
        profiles.bind_profile(conn, key, graph_user_id="u", folder_id=f"f{key}", **values)


def test_another_folder_of_the_only_profile_is_another_name(engine):
    """P4: said before it is carried out; the profile stays the one that it is."""
    load(engine, file_of("Klanten"))
    bind(engine, 1, folder_seen="Klanten")
    said = []

    def announce(text):
        said.append((text, by_folder(engine)))

    report = import_profiles(
        engine, file_of("Relaties"), now=LATER, field_profile="standard", announce=announce
    )
    assert said == [("anna@example.com, Cronus: the folder 'Klanten' becomes 'Relaties'.", {"Klanten": 1})]
    assert (report.changed, by_folder(engine)) == ([1], {"Relaties": 1})
    assert load(engine, file_of("Relaties")).unchanged == [1]


@pytest.mark.parametrize(
    ("known", "file"), [(["A"], ["C", "D"]), (["A", "B"], ["C"]), (["A", "B"], ["A", "C"])], ids=str
)
def test_a_row_that_could_be_either_is_refused(engine, known, file):
    """P4: with a hint, and nothing changes."""
    load(engine, file_of(*known))
    before = stored(engine)
    with pytest.raises(ConfigError, match="folder_was"):
        load(engine, file_of(*file))
    assert stored(engine) == before


def test_a_folder_beside_all_that_are_known_is_a_new_profile(engine):
    """P4: the file names them all, so it can be no other name."""
    load(engine, file_of("A"))
    assert load(engine, file_of("A", "B")).added == [2]


def test_the_file_says_what_a_folder_was(engine):
    """P4: also round about, and again without effect."""
    load(engine, file_of("A", "B", "C"))
    renamed = file_of("D", "A", "C", D={"folder_was": "B"})
    assert load(engine, renamed).changed == [2]
    assert by_folder(engine) == {"A": 1, "D": 2, "C": 3}
    assert load(engine, renamed).changed == []
    chain = file_of("A", "E", "D", E={"folder_was": "C"}, D={"folder_was": "E"})
    assert load(engine, chain).changed == [3]
    assert by_folder(engine) == {"A": 1, "D": 2, "E": 3}


def test_what_a_folder_was_is_ignored_in_an_empty_database(engine):
    """P4: a file that was kept makes the profiles as it names them."""
    assert len(load(engine, file_of("A", "B", B={"folder_was": "C"})).added) == 2


def test_one_wrong_row_changes_nothing_and_all_wrong_rows_are_named(engine):
    """P4: everything is looked at first."""
    load(engine, file_of("A", "B"))
    before = stored(engine)
    rows = yaml.safe_load(file_of("A", "X"))["profiles"]
    rows += [{"mailbox": "bob@example.com", "company": name, "folder": "Z"} for name in ("Cronus", "Other")]
    with pytest.raises(ConfigError) as caught:
        load(engine, yaml.safe_dump({"profiles": rows}))
    assert "'X'" in str(caught.value)
    assert "bob@example.com" in str(caught.value)
    assert stored(engine) == before


# -- a profile that has never synced (P3) ----------------------------------------------------------------------------


def test_a_profile_that_has_never_synced_is_corrected_by_the_file(engine):
    """P3: ignored once it is so; one that has synced is another profile."""
    load(engine, MINIMAL)
    row = {"mailbox": "anne@example.com", "company": "Cronus BV", "mailbox_was": "anna@example.com"}
    corrected = yaml.safe_dump({"profiles": [row | {"company_was": "Cronus"}]})
    assert load(engine, corrected).changed == [1]
    assert load(engine, corrected).changed == []
    assert [(each.id, each.mailbox, each.company_name) for each in stored(engine)] == [
        (1, "anne@example.com", "Cronus BV")
    ]
    bind(engine, 1)
    row = {"mailbox": "bob@example.com", "company": "Cronus BV", "mailbox_was": "anne@example.com"}
    with pytest.raises(ConfigError, match="has synced"):
        load(engine, yaml.safe_dump({"profiles": [row]}))


def test_a_corrected_company_is_found_anew(engine, new_company):
    """P3: the one that a run had found meanwhile is not it."""
    load(engine, MINIMAL)
    company = new_company()
    with transaction(engine) as conn:
        profiles.bind_profile(conn, 1, company=company)
    correct_profile(engine, 1, company="Andere BV", now=LATER)
    assert [(each.company_name, each.company) for each in stored(engine)] == [("Andere BV", None)]


def test_a_profile_that_has_never_synced_reserves_no_folder(engine):
    """P3: a mistyped company does not block the right one."""
    load(engine, MINIMAL)
    load(engine, one(company="Cronus BV"))
    assert len(stored(engine)) == 2
    bind(engine, 1)
    with pytest.raises(ConfigError, match="has the folder"):
        load(engine, one(company="Cronus Group"))


def test_a_profile_that_has_never_synced_is_removed_with_all_that_was_written_about_it(engine):
    """P3: runs that failed, checks and plans of dry runs."""
    load(engine, MINIMAL)
    load(engine, one(mailbox="bob@example.com"))
    with transaction(engine) as conn:
        conn.execute(insert(t.sync_run).values(id="r", mode="full", state="failed", started_at=LATER))
        for key in (1, 2):
            conn.execute(insert(t.run_profile).values(run="r", profile=key, chunk="1", state="failed"))
            plan = {
                "run": "r",
                "profile": key,
                "mode": "full",
                "dry_run": True,
                "fencing": 1,
                "created_at": LATER,
            }
            made = conn.execute(insert(t.plan).values(plan).returning(t.plan.c.id)).scalar_one()
            conn.execute(
                insert(t.change).values(plan=made, n=1, profile=key, action="couple", cause="", state="done")
            )
            row = {"profile": key, "run": "r", "at": LATER, "lines": "[]"}
            conn.execute(insert(t.profile_check).values(row))
    with transaction(engine) as conn:
        remove_profile(conn, 1)
    assert [each.id for each in stored(engine)] == [2]
    with read(engine) as conn:
        left = [
            conn.scalar(select(func.count()).select_from(each)) for each in (t.run_profile, t.plan, t.change)
        ]
    assert left == [1, 1, 1]
    bind(engine, 2)
    with pytest.raises(ConfigError, match="has synced"), transaction(engine) as conn:
        remove_profile(conn, 2)


def test_names_that_folders_swapped_are_stored_at_once(engine):
    """I9: no two profiles may have one name in between either."""
    load(engine, file_of("A", "B", "C"))
    with transaction(engine) as conn:
        profiles.rename_followed(conn, {1: "B", 2: "C", 3: "A"})
    assert by_folder(engine) == {"B": 1, "C": 2, "A": 3}


# -- one company, whatever it is called ------------------------------------------------------------------------------

CRONUS = "3f0c2f4e-1111-4222-8333-444455556666"


@pytest.fixture
def cronus(engine):
    """A company that profiles are bound to, which was called Fabrikam before."""
    values = {"tenant_id": "t", "environment": "Production", "company_id": CRONUS, "name": "Cronus"}
    with engine.begin() as conn:
        key = conn.execute(insert(t.company).values(values).returning(t.company.c.id)).scalar_one()
        conn.execute(insert(t.former_company_name).values(company=key, name="Fabrikam", until=NOW))
    return key


def bind_to(engine, company):
    with engine.begin() as conn:
        conn.execute(update(t.sync_profile).values(company=company, graph_user_id="u", folder_id="f"))


SPELLINGS = ("Cronus", "CRONUS", CRONUS, CRONUS.upper(), "Fabrikam")


@pytest.mark.parametrize("is_bound", [True, False])
@pytest.mark.parametrize("before", SPELLINGS)
def test_a_company_by_id_or_by_any_of_its_names_is_the_same_profile(engine, cronus, before, is_bound):
    """P4, rules 1: and the profile keeps how it calls its company."""
    load(engine, one(company=before))
    if is_bound:
        bind_to(engine, cronus)
    for after in SPELLINGS:
        report = load(engine, one(company=after, salesperson="ab"))
        assert report.added == [], after
    [profile] = stored(engine)
    assert (profile.company_name.casefold(), profile.salesperson_code) == (before.casefold(), "AB")
    assert str(load(engine, one(company=CRONUS, salesperson="ab"))).endswith("1 as they were.")


def test_a_company_that_is_only_listed_is_known_by_its_id_too(engine):
    """P4: no profile is bound to it yet."""
    with engine.begin() as conn:
        company_names.write_listed(conn, [Company(CRONUS, "Cronus"), Company("other", "Andere")], now=NOW)
    load(engine, one())
    assert load(engine, one(company=CRONUS)).added == []
    assert load(engine, one(company="other", folder="B")).added != []


def test_another_folder_of_a_company_that_is_called_otherwise_is_another_name(engine, cronus):
    """P4: the only profile of mailbox and company, whatever the company is called in the file."""
    load(engine, one())
    bind_to(engine, cronus)
    report = load(engine, one(company=CRONUS, folder="Klanten"))
    assert (report.added, len(report.changed)) == ([], 1)
    [profile] = stored(engine)
    assert (profile.folder_name, profile.company_name) == ("Klanten", "Cronus")


def test_profiles_of_a_mailbox_that_call_one_company_differently_are_kept_apart_by_folder(engine, cronus):
    """P4: each row means the profile with its folder."""
    rows = [
        {"mailbox": "anna@example.com", "company": company, "folder": folder}
        for company, folder in (("Cronus", "A"), (CRONUS, "B"))
    ]
    load(engine, yaml.safe_dump({"profiles": rows}))
    swapped = [row | {"company": CRONUS if row["company"] == "Cronus" else "Fabrikam"} for row in rows]
    assert str(load(engine, yaml.safe_dump({"profiles": swapped}))).endswith("2 as they were.")
    with pytest.raises(ConfigError, match="Two rows mean one profile"):
        load(engine, yaml.safe_dump({"profiles": [rows[0], rows[0] | {"company": CRONUS}]}))


def test_a_region_may_name_its_company_otherwise_than_the_profiles_do(engine, cronus):
    """P4: by id where they name it, and the other way round."""
    for named, listed in (("Cronus", CRONUS), (CRONUS, "Cronus"), (CRONUS, "Fabrikam")):
        text = yaml.safe_load(one(company=named)) | {"companies": [{"name": listed, "phone_region": "BE"}]}
        load(engine, yaml.safe_dump(text))
    with read(engine) as conn:
        assert len(conn.execute(select(t.company_setting)).all()) == 1


def test_two_companies_of_one_name_are_no_company_by_that_name(engine, cronus):
    """P4: which of them a name means, nobody can say; an id can."""
    with engine.begin() as conn:
        company_names.write_listed(conn, [Company("other", "Cronus")], now=NOW)
    load(engine, one(company=CRONUS))
    assert load(engine, one(folder="B")).added != []


def test_what_a_company_was_may_be_an_id(engine, cronus):
    """P4: of a profile that has never synced."""
    load(engine, one())
    report = load(engine, one(company="Contoso", company_was=CRONUS))
    assert (report.added, [each.company_name for each in stored(engine)]) == ([], ["Contoso"])


def test_a_page_makes_no_second_profile_of_a_company_by_its_id(engine, cronus):
    """P4's sibling: the import is not the only way to a second one."""
    load(engine, one())
    twin = profile_file.ProfileEntry("anna@example.com", CRONUS)
    with transaction(engine) as conn, pytest.raises(WrongValue, match="another profile has this mailbox"):
        add_profile(conn, twin, by=profile_history.Author("eva", NOW))
