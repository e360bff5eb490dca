"""Rules for what lies around the objects: the manifest, the rights, the translations."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from xml.etree import ElementTree

from tests.bc_extension.al_model import AlObject, Label
from tests.bc_extension.app import App, Complaints, tables
from tests.bc_extension.object_rules import NUMBERS

#: Settings of app.json that this extension uses (learn.microsoft.com, .../developer/devenv-json-files). Those that a
#: per-tenant extension may not have (PTE0009) or should not (PTE0012) are not among them.
_SETTINGS = frozenset(
    (
        *("id", "name", "publisher", "version", "brief", "description", "platform", "application", "runtime"),
        *("target", "dependencies", "idRanges", "resourceExposurePolicy", "features"),
    )
)
_VERSION = re.compile(r"\d+\.\d+\.\d+\.\d+")
#: Version 27 made Home Page 255 characters long, which the client counts on.
_FIRST = 27
#: Runtime 16 came with version 27 (.../developer/devenv-choosing-runtime), and so on.
_RUNTIME_BEHIND = 11


def manifest_is_whole(app: App) -> Complaints:
    """Names, versions and switches of app.json are such that a tenant takes the extension."""
    manifest = app.manifest
    found = [f"app.json: {name} is no setting that we use" for name in manifest.keys() - _SETTINGS]
    found += [f"app.json: {name} is missing" for name in _SETTINGS - manifest.keys()]
    if found:
        return found
    found += _identity(manifest) + _versions(manifest)
    if manifest["target"] != "Cloud":
        found.append("app.json: only the target Cloud runs online")
    if manifest["dependencies"]:
        found.append("app.json: the base application is named by 'application', not as a dependency")
    if sorted(manifest["features"]) != ["NoImplicitWith", "TranslationFile"]:
        found.append("app.json: features are TranslationFile and NoImplicitWith")
    return found


def _identity(manifest: dict[str, object]) -> Complaints:
    found = []
    try:
        if str(uuid.UUID(str(manifest["id"]))) != manifest["id"]:
            found.append("app.json: the id is not written as a GUID")
    except ValueError:
        found.append("app.json: the id is no GUID")
    long = [name for name in ("name", "publisher") if not 0 < len(str(manifest[name])) <= 50]
    return found + [f"app.json: {name} has 1 to 50 characters" for name in long]


def _versions(manifest: dict[str, object]) -> Complaints:
    names = ("version", "platform", "application")
    wrong = [
        f"app.json: {name} is no version" for name in names if not _VERSION.fullmatch(str(manifest[name]))
    ]
    runtime = re.fullmatch(r"(\d+)\.\d+", str(manifest["runtime"]))
    if wrong or runtime is None:
        return [*wrong, *([] if runtime else ["app.json: runtime is no version"])]
    application = int(str(manifest["application"]).split(".")[0])
    if manifest["platform"] != manifest["application"] or application < _FIRST:
        wrong.append(f"app.json: platform and application are one version, from {_FIRST} on")
    if int(runtime[1]) + _RUNTIME_BEHIND != application:
        wrong.append("app.json: runtime is not that of the application")
    return wrong


def ranges_are_free(app: App) -> Complaints:
    """The manifest takes no number but those of per-tenant extensions, and each once."""
    found = []
    numbers: list[int] = []
    for each in app.manifest.get("idRanges", []):
        if set(each) != {"from", "to"} or each["from"] > each["to"]:
            found.append(f"app.json: {each} is no range")
            continue
        numbers += range(each["from"], each["to"] + 1)
    if not numbers or not set(numbers) <= set(NUMBERS):
        found.append(f"app.json: numbers are {NUMBERS.start} to {NUMBERS.stop - 1}")
    return found + (["app.json: ranges overlap"] if len(set(numbers)) < len(numbers) else [])


def rights_are_the_least(app: App) -> Complaints:
    """One set that can be assigned: each page, what the pages show and write, nothing that can be deleted."""
    sets = [each for each in app.objects if each.kind == "permissionset"]
    if len(sets) != 1:
        return ["there is one permission set"]
    [one] = sets
    rights = {(line.kind, line.name): line.rights for line in one.permissions()}
    found = [] if one.flag("Assignable", default=False) else ["the permission set cannot be assigned"]
    pages = {page.name for page in app.pages()}
    given = {name for kind, name in rights if kind == "page"}
    found += [f"the permission set does not open {name}" for name in sorted(pages - given)]
    found += [f"the permission set opens {name}, which is not ours" for name in sorted(given - pages)]
    unknown = sorted(name for kind, name in rights if kind == "tabledata" and name not in tables())
    found += [f"nothing is known of table {name}" for name in unknown]
    deletes = sorted(name for (_, name), right in rights.items() if "D" in right.upper())
    found += [f"{name} may be deleted" for name in deletes]
    return found + [wrong for page in app.pages() for wrong in _rights_to_source(page, rights)]


def _rights_to_source(page: AlObject, rights: dict[tuple[str, str], str]) -> Complaints:
    """The rights to a page's own table are direct, and exactly those that the page makes use of."""
    table = page.text("SourceTable")
    needed = "R" + "".join(
        letter
        for letter, name in (("I", "InsertAllowed"), ("M", "ModifyAllowed"))
        if page.flag(name, default=True)
    )
    given = rights.get(("tabledata", table), "")
    return (
        []
        if given == needed
        else [f"{page.name} needs the rights {needed} to {table}, not {given or 'none'}"]
    )


def name_hash(name: str) -> int:
    """Return the number that the compiler gives a name in the id of a translation: FNV-1a over UTF-16."""
    value = 2166136261
    for byte in name.encode("utf-16-le"):
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return (value - (1 << 32) if value >= 1 << 31 else value) + 2147483647


def translation_id(path: str) -> str:
    """Return the id of a text: ``Page X - Property Caption`` -> ``Page 1 - Property 2``."""
    steps = [step.split(" ", 1) for step in path.split(" - ")]
    return " - ".join(f"{kind} {name_hash(name)}" for kind, name in steps)


_XLIFF = "{urn:oasis:names:tc:xliff:document:1.2}"
#: Texts that are the same word in Dutch.
_SAME = frozenset(("Code", "Contact", "Id", "Type"))


def texts_are_translated(app: App) -> Complaints:
    """There is one Dutch file, with every text under the compiler's id, and none that is gone."""
    if list(app.translations) != ["Translations/Outlook Contact Sync.nl-NL.xlf"]:
        return [f"translations: {sorted(app.translations)}"]
    [text] = app.translations.values()
    try:
        [file] = ElementTree.fromstring(text).findall(f"{_XLIFF}file")
    except (ElementTree.ParseError, ValueError):
        return ["the translation is no XLIFF with one file"]
    facts = (file.get("original"), file.get("source-language"), file.get("target-language"))
    found = (
        [] if facts == (app.manifest.get("name"), "en-US", "nl-NL") else [f"the translation is of {facts}"]
    )
    units = list(file.iter(f"{_XLIFF}trans-unit"))
    counted = Counter(unit.get("id", "") for unit in units)
    found += [f"{one} is translated twice" for one, n in counted.items() if n > 1]
    wanted = {translation_id(path): (path, label) for path, label in _texts(app) if not label.locked}
    found += [f"{wanted[one][0]} is not translated" for one in sorted(wanted.keys() - counted.keys())]
    found += [f"{one} is translated, and nowhere shown" for one in sorted(counted.keys() - wanted.keys())]
    return found + [
        wrong for u in units if u.get("id") in wanted for wrong in _unit(u, *wanted[u.get("id", "")])
    ]


def _texts(app: App) -> list[tuple[str, Label]]:
    return [pair for each in app.objects for pair in each.shown_texts()]


def _unit(unit: ElementTree.Element, path: str, label: Label) -> Complaints:
    source, target = (unit.findtext(f"{_XLIFF}{name}") or "" for name in ("source", "target"))
    found = [] if source == label.text else [f"{path}: the source is {source!r}, not {label.text!r}"]
    if not target.strip():
        found.append(f"{path}: no translation")
    elif target == source and source not in _SAME:
        found.append(f"{path}: {source!r} is left in English")
    if label.most is not None and len(target) > label.most:
        found.append(f"{path}: the translation is longer than {label.most} characters")
    notes = [note.text for note in unit.findall(f"{_XLIFF}note") if note.get("from") == "Xliff Generator"]
    return found + ([] if notes == [path] else [f"{path}: the note says {notes}"])
