"""English and Dutch: who gets which, and that nothing is left untranslated or unexplained."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from sync_lib.web import messages, words
from sync_lib.web.language import COOKIE, translations
from tests.test_docs import reasons_of_the_code

Make = Callable[..., TestClient]
_PLACE = re.compile(r"%\((\w+)\)")


@pytest.mark.parametrize(
    ("asked", "cookie", "language"),
    [
        ("nl-NL,nl;q=0.9,en;q=0.8", None, "nl"),
        ("en-GB,en;q=0.9,nl;q=0.8", None, "en"),
        ("en;q=0.3,nl;q=0.8", None, "nl"),
        ("fr-FR,nl-BE;q=0.5", None, "nl"),
        ("fr", None, "en"),
        ("", None, "en"),
        (";;q=x,,q=,\x7f", None, "en"),
        ("nl", "en", "en"),
        ("en", "nl", "nl"),
        ("en", "../../etc", "en"),
    ],
)
def test_the_cookie_decides_and_then_the_browser(
    visit: Make, asked: str, cookie: str | None, language: str
) -> None:
    client = visit(language=asked)
    if cookie:
        client.cookies.set(COOKIE, cookie)
    assert f'<html lang="{language}">' in client.get("/").text


@pytest.mark.parametrize("name", messages.collected())
def test_every_text_has_a_dutch_translation_with_the_same_places(name: str) -> None:
    known = {message.id: message.string for message in messages.read_catalogue("nl", name) if message.id}
    texts = [message.id for message in messages.collected()[name] if message.id]
    assert texts
    remedy = "run python -m sync_lib.web.messages, then translate what is empty in locale/nl"
    missing = [text for text in texts if not known.get(text) or not all(known[text])]
    assert missing == [], remedy
    assert sorted(known, key=str) == sorted(texts, key=str), remedy
    for text in texts:
        english, dutch = (each if isinstance(each, tuple) else (each,) for each in (text, known[text]))
        for said in dutch:
            assert set(_PLACE.findall(said)) <= set(_PLACE.findall(english[-1])), text


def test_dutch_is_dutch() -> None:
    gettext = translations("nl").gettext
    assert gettext("The contact has no e-mail address") == "Het contact heeft geen e-mailadres"
    assert (
        translations("en").gettext("The contact has no e-mail address") == "The contact has no e-mail address"
    )


def test_every_reason_of_the_code_has_plain_words() -> None:
    reasons = reasons_of_the_code()
    assert len(reasons) > 40
    assert reasons <= set(words.REASONS)


def test_a_services_own_code_is_shown_as_it_is() -> None:
    assert words.reason_of("Application_DialogException").means == "Application_DialogException"
    assert "own code" in words.reason_of("Application_DialogException").remedy


def test_plain_words_are_sentences_without_codes() -> None:
    for code, reason in words.REASONS.items():
        assert reason.means[0].isupper(), code
        assert not reason.means.endswith("."), code
        assert reason.remedy.endswith("."), code
        assert "_" not in (reason.means + reason.remedy).replace("extract_business_central", ""), code
