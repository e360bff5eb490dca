"""How a value is written to either side: cleaned, NFC, otherwise as typed.

Control characters, which neither service can hold, are dropped when written and do not count when compared.
"""

from __future__ import annotations

from sync_lib.fields.table import mapped_fields
from sync_lib.fields.texts import clean_code, clean_line, clean_lines

#: Why a country waits: without BC's own table nobody can say which code or name stands for it (rules 5).
COUNTRIES_NOT_READ = "countries_not_read"

_FORMS = {row.name: row.form for row in mapped_fields("extended")}


def written(field: str, text: str) -> str:
    """Return a value as it is written, with a line break for each line of a street."""
    return "\r\n".join(clean_lines(text)) if _FORMS.get(field) == "lines" else one_line(field, text)


def one_line(field: str, text: str) -> str:
    """Return a value as one line.

    Joiners are spelling, so what nobody sees stays in names and other text; in what a machine reads it is a fault.
    """
    return clean_line(text) if _FORMS.get(field) in ("text", "lines") else clean_code(text)
