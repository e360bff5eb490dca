"""A text that is searched for is found in any case, alike on both databases, whatever it holds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, literal, select

from sync_lib.store.queries import search

#: Letters whose other case is one letter too, signs that patterns give a meaning, and some others.
LETTERS = st.sampled_from([*"abzABZ09éÉñÑжЖøØß *?[]^-\\%_'\".()|+/@{}$#,;:", "漢", "😀"])
TEXTS = st.text(LETTERS, max_size=12)


def found(engine: Engine, text: str, held: str) -> bool:
    rows = select(literal(held).label("held")).subquery()
    with engine.connect() as conn:
        return conn.scalar(select(rows.c.held).where(search.holds(text, rows.c.held))) is not None


@settings(max_examples=150)
@given(before=TEXTS, text=TEXTS.filter(bool), after=TEXTS, upper=st.booleans())
def test_a_text_is_found_in_any_case(engine: Engine, before: str, text: str, after: str, upper: bool) -> None:
    plain = text.replace("ß", "s")
    asked = plain.upper() if upper else plain.lower()
    assert found(engine, asked, before + plain + after)


@settings(max_examples=150)
@given(text=TEXTS.filter(bool), held=TEXTS)
def test_what_is_not_there_is_not_found(engine: Engine, text: str, held: str) -> None:
    assert found(engine, text, held) == (text.lower() in held.lower())


@settings(max_examples=150)
@given(text=TEXTS.filter(bool), held=TEXTS, same=st.booleans())
def test_the_whole_of_a_text_is_found_in_any_case(engine: Engine, text: str, held: str, same: bool) -> None:
    held = text.replace("ß", "s").swapcase() if same else held
    rows = select(literal(held).label("held")).subquery()
    with engine.connect() as conn:
        found = conn.scalar(select(rows.c.held).where(search.is_whole(text.replace("ß", "s"), rows.c.held)))
    assert (found is not None) == (text.replace("ß", "s").lower() == held.lower())


@pytest.mark.parametrize(("held", "is_found"), [("+31 (0)6-1234 56.78", True), ("06 1234 5x678", False)])
def test_a_number_is_found_however_it_is_written(engine: Engine, held: str, is_found: bool) -> None:
    rows = select(literal(held).label("held")).subquery()
    with engine.connect() as conn:
        query = select(rows.c.held).where(search.holds_number(search.as_number("0612345678"), rows.c.held))
        assert bool(list(conn.scalars(query))) == is_found
