"""The file of filters that colleagues may choose from on the page of their own. Text in, values out.

::

    Mijn klanten:                   # what the colleague reads
      Salesperson Code: "%me"       # field: expression, or a list of expressions that must all hold
    Utrecht en Zeist:               # or a list of such groups, one of which must hold
      - City: Utrecht
      - City: Zeist
    Alle contacten: {}              # no filter
"""

from __future__ import annotations

from typing import Any

import yaml

from sync_lib.errors import ConfigError, FilterSyntaxError
from sync_lib.fields.filters import Groups, Pair, check_length
from sync_lib.store.profiles.values import WrongValue, check_condition, visible

#: Of the name of a filter.
MOST_CHARACTERS = 100


def parse_named_filters(text: str, *, field_profile: str) -> dict[str, Groups]:
    """Return the filters of a file by name, in its order.

    Args:
        text: The file.
        field_profile: ``standard`` or ``extended``: the fields that filters may name.

    Raises:
        ConfigError: Something is wrong; the message names the filter.
    """
    try:
        # Every value is text, so that NO is Norway and 0123 keeps its zero.
        content = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - it makes texts, lists and mappings only
    except yaml.YAMLError as error:
        raise ConfigError(f"The file of filters is not YAML: {error}") from error
    if not isinstance(content, dict) or not content:
        raise ConfigError("The file of filters is not a list of 'name:' with conditions below each.")
    return {_name(name): _groups(str(name), value, field_profile) for name, value in content.items()}


def _name(name: Any) -> str:
    try:
        shown = visible(str(name))
    except WrongValue as wrong:
        raise ConfigError(f"Filter {name!r}: {wrong}") from wrong
    if not 0 < len(shown) <= MOST_CHARACTERS:
        raise ConfigError(f"Filter {name!r}: its name needs 1 to {MOST_CHARACTERS} characters.")
    return shown


def _groups(name: str, value: Any, field_profile: str) -> Groups:
    groups = [_group(name, each, field_profile) for each in (value if isinstance(value, list) else [value])]
    if len(groups) > 1 and not all(groups):
        raise ConfigError(f"Filter {name!r}: one of its groups has no condition. All contacts are: {{}}")
    try:
        check_length(groups)
    except FilterSyntaxError as error:
        raise ConfigError(f"Filter {name!r}: {error}") from error
    return tuple(group for group in groups if group)


def _group(name: str, value: Any, field_profile: str) -> tuple[Pair, ...]:
    if not isinstance(value, dict):
        raise ConfigError(f"Filter {name!r}: it takes 'field: expression' lines, or {{}} for all contacts.")
    pairs: list[Pair] = []
    for field, many in value.items():
        for expression in many if isinstance(many, list) else [many]:
            if not isinstance(expression, str) or not expression.strip():
                raise ConfigError(f"Filter {name!r}, {field}: the condition is not a text.")
            try:
                pairs.append(check_condition(str(field), expression, field_profile=field_profile))
            except (FilterSyntaxError, WrongValue) as error:
                raise ConfigError(f"Filter {name!r}: {error}") from error
    return tuple(pairs)
