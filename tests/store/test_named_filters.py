"""The file of filters that colleagues choose from."""

from __future__ import annotations

import pytest

from sync_lib.errors import ConfigError
from sync_lib.store.profiles.named_filters import parse_named_filters

FILE = """
Mijn klanten:
  Salesperson Code: "%me"
Utrecht en Zeist:
  - City: Utrecht
    Job Title: ["<>''", "<>Stagiair"]
  - City: Zeist
Noorwegen:
  Country/Region Code: NO
Alle contacten: {}
"""


def test_a_filter_is_conditions_or_groups_of_them() -> None:
    assert parse_named_filters(FILE, field_profile="extended") == {
        "Mijn klanten": ((("Salesperson Code", "%me"),),),
        "Utrecht en Zeist": (
            (("City", "Utrecht"), ("Job Title", "<>''"), ("Job Title", "<>Stagiair")),
            (("City", "Zeist"),),
        ),
        "Noorwegen": ((("Country/Region Code", "NO"),),),
        "Alle contacten": (),
    }


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "not a list of"),
        ("- City: Utrecht", "not a list of"),
        ("a: [", "not YAML"),
        ("Zuid:\n  Regio: Zuid", "Filter 'Zuid': .*a field of the contact"),
        ("Mijn:\n  Salesperson Code: '%me'", "Filter 'Mijn': .*extended"),
        ("Zuid: Utrecht", "'field: expression' lines"),
        ("Zuid:\n  City: '((('", "Filter 'Zuid'"),
        ("Zuid:\n  City: ''", "not a text"),
        ("Zuid:\n  City: {a: b}", "not a text"),
        ("Zuid:\n  - City: Utrecht\n  - {}", "no condition"),
        (f"{'x' * 101}: {{}}", "1 to 100 characters"),
        (f"Zuid:\n  City: {'x' * 9000}", "Filter 'Zuid'"),
        ("Zuid: &a\n  City: *a", "Filter 'Zuid'|not YAML"),
    ],
)
def test_what_is_wrong_is_named(text: str, wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        parse_named_filters(text, field_profile="standard")
