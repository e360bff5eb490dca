"""The groups of the tenant, with what lies in them: users and other groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Group:
    """A security group. ``members`` are ids of users and of groups, in the order in which they came.

    ``state`` is ``normal`` or ``removed``.
    """

    id: str
    name: str
    members: list[str] = field(default_factory=list)
    state: str = "normal"


class Directory:
    """All groups by id."""

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {}

    def group(self, name: str) -> Group:
        """Return a group by id or name; KeyError when there is none."""
        found = self.groups.get(name.lower())
        return found or next(iter(self.named(name)), None) or self._missing(name)

    def named(self, name: str) -> list[Group]:
        """Return the groups with a name: it need not be one group's alone."""
        return [each for each in self.groups.values() if each.name.casefold() == name.casefold()]

    def users_of(self, group: Group) -> list[str]:
        """Return the ids of the users in a group and in the groups within it, each once; rings do no harm."""
        return list(dict.fromkeys(self._walk(group, set())))

    def _walk(self, group: Group, seen: set[str]) -> Iterator[str]:
        seen.add(group.id)
        for member in group.members:
            nested = self.groups.get(member)
            if nested is None:
                yield member
            elif nested.id not in seen and nested.state == "normal":
                yield from self._walk(nested, seen)

    @staticmethod
    def _missing(name: str) -> Group:
        raise KeyError(name)
