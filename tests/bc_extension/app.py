"""The extension as it lies in ``bc_extension/``: its manifest, its objects, its translations."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.bc_extension.al_model import AlObject
from tests.bc_extension.al_parser import parse
from tests.bc_extension.al_tokens import AlSyntaxError

FOLDER = Path(__file__).resolve().parents[2] / "bc_extension"

#: What a rule finds wrong with the extension.
Complaints = list[str]


@dataclass(slots=True)
class App:
    """The extension, read; what could not be read is a complaint of its own."""

    manifest: dict[str, Any] = field(default_factory=dict)
    objects: list[AlObject] = field(default_factory=list)
    translations: dict[str, str] = field(default_factory=dict)
    unread: Complaints = field(default_factory=list)

    def pages(self) -> list[AlObject]:
        """Return the pages."""
        return [each for each in self.objects if each.kind == "page"]

    def page(self, entity_set: str) -> AlObject | None:
        """Return the page that serves an entity set."""
        return next((each for each in self.pages() if each.text("EntitySetName") == entity_set), None)


Rule = Callable[[App], Complaints]


def read_files() -> dict[str, str]:
    """Return the files of the extension that are compiled, by their paths in its folder."""
    wanted = {".al", ".json", ".xlf"}
    return {
        path.relative_to(FOLDER).as_posix(): path.read_text()
        for path in sorted(FOLDER.rglob("*"))
        if path.suffix in wanted and not path.relative_to(FOLDER).parts[0].startswith(".")
    }


def load(files: Mapping[str, str]) -> App:
    """Return the extension that these files make."""
    app = App()
    for name, text in files.items():
        try:
            if name.endswith(".al"):
                app.objects += parse(text, name)
            elif name == "app.json":
                app.manifest = json.loads(text)
            elif name.endswith(".xlf"):
                app.translations[name] = text
        except AlSyntaxError as error:
            app.unread.append(f"{name}: {error}")
        except ValueError as error:
            app.unread.append(f"{name}: no JSON: {error}")
    return app


@cache
def tables() -> dict[str, Any]:
    """Return what is known of BC's tables: name -> number, namespace, fields. The file names its sources."""
    text = (Path(__file__).parent / "tables.json").read_text()
    known: dict[str, Any] = json.loads(text)["tables"]
    return known


def fields_of(table: str) -> dict[str, dict[str, Any]]:
    """Return the fields of a table by their names."""
    found: dict[str, dict[str, Any]] = tables().get(table, {}).get("fields", {})
    return found
