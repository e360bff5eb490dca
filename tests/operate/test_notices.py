"""What people hear of a run: what is new, once, and by night all that is still wrong."""

from __future__ import annotations

import json

import pytest

from sync_lib.model import Before, CompanyResult, ProfileResult, Run
from sync_lib.operate import notices
from sync_lib.operate.notices import Kind, Known, Notice
from sync_lib.run.report import make_report
from sync_lib.store.heard import NewRejects

AT = "2026-03-02T09:00:00.000Z"
EARLIER = "2026-03-02T08:45:00.000Z"
LINK = "https://airflow.example/dags/contact_sync/runs/r"


def profile(key=1, state="done", reason="", good="2026-03-02T08:59:00.000Z", **outcomes):
    return ProfileResult(
        key, f"m{key}@example.nl", "Cronus", state, reason, "text", {"outcomes": outcomes}, good
    )


def notice_of(*profiles, mode="incremental", dry_run=False, **known):
    run = Run("r", mode, dry_run, "scheduled", "running", "", AT)
    return notices.of_run(make_report(run, [], profiles, AT), Known(**known))


def lines(news):
    """What the news hold, in codes."""
    return [" ".join(filter(None, _of(item))) for part in news.parts for item in part.items]


def _of(item):
    count = f"{item.count} changes" if item.count else ""
    return (item.reason, ", ".join(item.names), count, item.since, item.text)


def kinds(news):
    return {part.kind: part.count for part in news.parts}


def failed(key=1, reason="mailbox_not_found", **values):
    return profile(key, "failed", reason, **values)


def test_nothing_bad_nothing_reported():
    assert notice_of(profile(), profile(2, "skipped", "busy"), profile(3, "held", "x", held=2)) is None


def test_a_profile_that_fails_is_reported_once():
    assert lines(notice_of(failed())) == ["mailbox_not_found m1@example.nl"]
    assert notice_of(failed(), heard={1: "mailbox_not_found"}) is None
    assert notice_of(failed(), heard={1: "folder_taken"}) is not None
    assert notice_of(profile(1, "running")) is not None
    assert notice_of(failed(), heard={2: "mailbox_not_found"}) is not None


def test_what_a_company_could_not_be_read_for_is_what_its_profiles_fail_for():
    run = Run("r", "incremental", False, "scheduled", "running", "", AT)
    companies = [CompanyResult(1, "Cronus", "failed", "AuthError", "text", {})]
    not_read = [failed(key, "company_not_read") for key in (1, 2)]
    news = notices.of_run(make_report(run, companies, not_read, AT), Known())
    assert lines(news) == ["AuthError m1@example.nl, m2@example.nl"]
    assert lines(notice_of(*not_read)) == ["company_not_read m1@example.nl, m2@example.nl"]


def test_who_failed_and_works_again_is_reported_once():
    news = notice_of(
        profile(), profile(2, "skipped", "busy"), heard={1: "mailbox_not_found", 2: "folder_taken"}
    )
    assert kinds(news) == {Kind.WORKS_AGAIN: 1}
    assert lines(news) == ["m1@example.nl"]
    assert kinds(notice_of(profile(), heard={0: "run_failed"})) == {Kind.RUN_WORKS_AGAIN: 1}


def test_what_is_heard_of_is_what_fails_still():
    run = Run("r", "incremental", False, "scheduled", "running", "", AT)
    profiles = [profile(), failed(2), profile(3, "skipped", "busy"), profile(5, "quiet")]
    heard = {0: "run_failed", 1: "a", 2: "b", 3: "c", 4: "d", 5: "e"}
    left = notices.heard_after(make_report(run, [], profiles, AT), Known(heard=heard))
    assert left == {2: "mailbox_not_found", 3: "c", 4: "d"}, "4 was no part of this run"


def test_whoever_gets_messages_from_now_on_hears_all_that_is_wrong():
    held = profile(2, "held", "too_many_deletes", held=12)
    assert kinds(notice_of(failed(), held, first=True)) == {Kind.FAILED: 1, Kind.HELD: 1}


def test_contacts_that_newly_do_not_sync_are_reported_by_owner():
    news = notice_of(profile(), rejects=(NewRejects("AB", "email_missing", 3), NewRejects("AB", "x", 1)))
    assert kinds(news) == {Kind.NOT_SYNCED: 4}
    assert [(item.names, item.reason, item.count) for item in news.parts[0].items] == [
        (("AB",), "email_missing", 3),
        (("AB",), "x", 1),
    ]


def test_a_full_run_reports_all_that_is_wrong():
    heard = {1: "mailbox_not_found"}
    assert lines(notice_of(failed(), mode="full", heard=heard)) == ["mailbox_not_found m1@example.nl"]
    held = profile(2, "held", "too_many_deletes", held=12)
    assert lines(notice_of(held, mode="full")) == ["too_many_deletes m2@example.nl 12 changes"]


def test_failures_are_listed_by_reason():
    many = [failed(key, "company_not_read") for key in range(1, 31)]
    news = notice_of(*many, profile(40, "running"))
    assert kinds(news) == {Kind.FAILED: 31}
    first, second = news.parts[0].items
    assert (first.reason, len(first.names), first.profile) == ("company_not_read", 30, None)
    assert (second.reason, second.names, second.profile) == ("no_outcome", ("m40@example.nl",), 40)


def test_what_waits_is_reported_when_its_hold_is_opened():
    held = profile(1, "held", "too_many_deletes", held=12)
    assert notice_of(held) is None
    notice = notice_of(held, opened={1})
    assert lines(notice) == ["too_many_deletes m1@example.nl 12 changes"]
    assert kinds(notice) == {Kind.HELD: 1}


def test_a_company_that_waits_is_reported_once_and_not_for_each_of_its_profiles():
    company = CompanyResult(7, "Cronus", "held", "bc_count_dropped", "text")
    profiles = [ProfileResult(key, "m@example.nl", "Cronus", "held", "x", "", {}, AT) for key in (1, 2)]

    def heard(mode, **known):
        run = Run("r", mode, False, "scheduled", "running", "", AT)
        return notices.of_run(make_report(run, [company], profiles, AT), Known(**known))

    assert heard("incremental") is None
    for notice in (heard("incremental", companies={7}), heard("full")):
        assert lines(notice) == ["bc_count_dropped Cronus"]


def test_a_profile_without_a_good_sync_is_reported_when_the_hours_are_over():
    old = profile(1, "skipped", "busy", good="2026-03-01T08:50:00.000Z")
    assert lines(notice_of(old, before={1: Before("skipped", "busy", EARLIER)})) == [
        "m1@example.nl 2026-03-01T08:50:00.000Z"
    ]
    later = {1: Before("skipped", "busy", "2026-03-02T08:55:00.000Z")}
    assert notice_of(old, before=later) is None, "the run before has reported it"
    assert notice_of(old, mode="full", before=later) is not None
    assert notice_of(old, stale_after=25.0) is None
    assert notice_of(profile(1, good=None)) is None, (
        "it has never synced: it fails, or waits for its first run"
    )


def test_a_dry_run_says_nothing():
    assert notice_of(failed(), dry_run=True) is None


NOTICE = Notice("Contact sync: 1 failed", (("1 failed", ("mailbox_not_found: <b>m_1_@example.nl</b>",)),))


def test_the_text_form():
    assert notices.to_text(NOTICE, LINK) == {
        "text": f"Contact sync: 1 failed\n\n1 failed\n• mailbox_not_found: <b>m_1_@example.nl</b>\n\n{LINK}"
    }


def test_the_form_of_teams():
    body = notices.to_card(NOTICE, LINK)
    [attachment] = body["attachments"]
    card = attachment["content"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}, "no text is read as Markdown"
    assert "m_1_@example.nl" in json.dumps(body)
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": "Open the run", "url": LINK}]


def test_the_form_of_a_mail():
    page = notices.to_html(NOTICE, f"{LINK}?a=1&b=2")
    assert "&lt;b&gt;m_1_@example.nl" in page
    assert "a=1&amp;b=2" in page


@pytest.mark.parametrize("form", [notices.to_text, notices.to_card, notices.to_html])
def test_every_form_holds_everything(form):
    notice = Notice("Betreft", (("Een", ("a", "b")), ("Twee", ("c",))))
    body = form(notice, LINK)
    written = body if isinstance(body, str) else json.dumps(body)
    assert all(part in written for part in ("Een", "Twee", "a", "b", "c", LINK))
