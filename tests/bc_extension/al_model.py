"""What a file of AL declares, as far as this extension needs AL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Label:
    """A text that is shown, and what is said about its translation."""

    text: str
    locked: bool = False
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Permission:
    """A line of a permission set: the kind of object, its name, the rights."""

    kind: str
    name: str
    rights: str


@dataclass(frozen=True, slots=True)
class Member:
    """``Rec.Name``: a name of a record, and which name of it."""

    record: str
    name: str
    called: bool = False


Value = bool | int | Label | tuple[str, ...] | tuple[Permission, ...]


@dataclass(slots=True)
class Code:
    """Names that a body of code uses: members of records, and plain ones that it calls or reads."""

    members: list[Member] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


@dataclass(slots=True)
class PageField:
    """``field(name; source) { ... }``."""

    name: str
    source: Member
    properties: dict[str, Value]
    line: int

    @property
    def editable(self) -> bool:
        """Whether a caller may change it, as far as the field itself says."""
        return self.properties.get("Editable", True) is True


@dataclass(slots=True)
class AlObject:
    """A page or a permission set."""

    kind: str
    id: int
    name: str
    file: str
    properties: dict[str, Value] = field(default_factory=dict)
    fields: list[PageField] = field(default_factory=list)
    labels: dict[str, Label] = field(default_factory=dict)
    routines: dict[str, Code] = field(default_factory=dict)
    uses: frozenset[str] = frozenset()
    namespace: str = ""

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a property that is true or false."""
        value = self.properties.get(name, default)
        return value if isinstance(value, bool) else default

    def text(self, name: str) -> str:
        """Return a property that is a text, or the first of the names that it lists; "" where it is absent."""
        value = self.properties.get(name)
        if isinstance(value, Label):
            return value.text
        return value[0] if isinstance(value, tuple) and value and isinstance(value[0], str) else ""

    def permissions(self) -> list[Permission]:
        """Return the lines of a permission set."""
        value = self.properties.get("Permissions")
        return [each for each in value if isinstance(each, Permission)] if isinstance(value, tuple) else []

    def shown_texts(self) -> Iterator[tuple[str, Label]]:
        """Yield what is translated, under the path that the compiler gives it in a translation file."""
        kind = {"page": "Page", "permissionset": "PermissionSet"}[self.kind]
        for name in ("Caption", "EntityCaption", "EntitySetCaption"):
            if isinstance(label := self.properties.get(name), Label):
                yield f"{kind} {self.name} - Property {name}", label
        for each in self.fields:
            if isinstance(label := each.properties.get("Caption"), Label):
                yield f"{kind} {self.name} - Control {each.name} - Property Caption", label
        for name, label in self.labels.items():
            yield f"{kind} {self.name} - NamedType {name}", label
