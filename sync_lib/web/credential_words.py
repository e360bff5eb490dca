"""Plain words for a credential of the app that ends: for the top of every page, and for messages."""

from __future__ import annotations

from collections.abc import Callable

from babel.dates import format_date

from sync_lib.operate.credentials import Ending
from sync_lib.web.language import msg

REMEDY = msg("Make a new one in Entra ID and put it into the Connection, with its end date.")


def sentence(ending: Ending, language: str, text: Callable[..., str]) -> str:
    """Return which credential ends, or has ended, and when.

    Args:
        ending: The credential; it holds no secret.
        language: Of the date.
        text: Says a marked text, with its values, in that language.
    """
    what = msg("certificate") if ending.certificate else msg("client secret")
    said = msg("The %(what)s of the Connection %(connection)s ends on %(day)s.")
    if ending.days < 0:
        said = msg("The %(what)s of the Connection %(connection)s ended on %(day)s.")
    day = format_date(ending.on, "d MMMM y", locale=language)
    return text(said, what=text(what), connection=ending.connection, day=day)
