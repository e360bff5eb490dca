"""Nodes of the YAML file of profiles as values, each refused at its own line. Known to ``file`` alone."""

from __future__ import annotations

from typing import Any

import yaml

from sync_lib.store.profiles import values as profile_values
from sync_lib.store.profiles.values import WrongValue
from sync_lib.store.profiles.wording import why_wrong, worded


class WrongNode(Exception):  # noqa: N818 - never leaves this module
    """One field is wrong; the parser notes it and goes on with the next."""

    def __init__(self, node: yaml.Node | None, message: str) -> None:
        super().__init__(message)
        self.line = None if node is None else node.start_mark.line + 1
        self.message = message


def is_blank(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value in ("", "~", "null") and node.style is None


def to_mapping(node: yaml.Node | None, known: tuple[str, ...] | None) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise WrongNode(node, worded("this must be a list of 'name: value' lines."))
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name = to_text(key)
        if known is not None and name not in known:
            raise WrongNode(
                key,
                worded("%(name)r is not known here; there is %(known)s.", name=name, known=", ".join(known)),
            )
        if name in found:
            raise WrongNode(key, worded("%(name)r is here twice: take one out.", name=name))
        found[name] = value
    return found


def to_sequence(node: yaml.Node | None) -> list[yaml.Node]:
    if node is None or is_blank(node):
        return []
    if not isinstance(node, yaml.SequenceNode):
        raise WrongNode(node, worded("this must be a list; begin each of its items with '- '."))
    return list(node.value)


def refuse_no_condition(node: yaml.Node) -> None:
    raise WrongNode(node, worded("there is no condition here. For all persons leave 'filter' out."))


def to_text(node: yaml.Node | None) -> str:
    if node is None or is_blank(node):
        return ""
    if not isinstance(node, yaml.ScalarNode):
        raise WrongNode(node, worded("this must be a single value. Does it need quotes?"))
    try:
        return profile_values.visible(node.value)
    except WrongValue as wrong:
        raise WrongNode(node, why_wrong(wrong)) from wrong


def plain(node: yaml.Node | None) -> str:
    return str(node.value).strip() if isinstance(node, yaml.ScalarNode) else ""


def to_value(column: str, node: yaml.Node | None, row: yaml.Node) -> Any:
    """Return what a column holds for the text of a node; what is missing is reported at the row."""
    text = to_text(node)
    try:
        return profile_values.check(column, text)
    except WrongValue as wrong:
        raise WrongNode(node or row, why_wrong(wrong)) from wrong


def to_categories(node: yaml.Node, field_profile: str) -> tuple[str, ...]:
    """One template, or a list of them; a blank one is none."""
    texts = [to_text(each) for each in (node.value if isinstance(node, yaml.SequenceNode) else [node])]
    try:
        return profile_values.check_categories(filter(None, texts), field_profile=field_profile)
    except WrongValue as wrong:
        raise WrongNode(node, why_wrong(wrong)) from wrong


def to_region(node: yaml.Node) -> str:
    try:
        return profile_values.check_region(plain(node))
    except WrongValue as wrong:
        raise WrongNode(node, why_wrong(wrong)) from wrong
