"""What people hear of a run: what is new, once, and by night all that is still wrong."""

from __future__ import annotations

import json

import pytest

from sync_lib.model import Before, CompanyResult, ProfileResult, Run
from sync_lib.operate import notices
from sync_lib.operate.notices import Known, Notice
from sync_lib.run.report import make_report

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


def lines(notice):
    return [line for _, part in notice.parts for line in part]


def failed(key=1, reason="mailbox_not_found", **values):
    return profile(key, "failed", reason, **values)


def test_nothing_bad_nothing_reported():
    assert notice_of(profile(), profile(2, "skipped", "busy"), profile(3, "held", "x", held=2)) is None


def test_a_profile_that_fails_is_reported_once():
    assert lines(notice_of(failed())) == ["mailbox_not_found: m1@example.nl"]
    again = {1: Before("failed", "mailbox_not_found", EARLIER)}
    assert notice_of(failed(), before=again) is None
    assert notice_of(failed(), before={1: Before("failed", "folder_taken", EARLIER)}) is not None
    assert notice_of(failed(), before={1: Before("done", "", EARLIER)}) is not None
    assert notice_of(profile(1, "running"), before={1: Before("done", "", EARLIER)}) is not None
    assert notice_of(failed(), before={2: Before("failed", "mailbox_not_found", EARLIER)}) is not None


def test_a_full_run_reports_all_that_is_wrong():
    again = {1: Before("failed", "mailbox_not_found", EARLIER)}
    assert lines(notice_of(failed(), mode="full", before=again)) == ["mailbox_not_found: m1@example.nl"]
    held = profile(2, "held", "too_many_deletes", held=12)
    assert lines(notice_of(held, mode="full")) == ["m2@example.nl: 12 changes, too_many_deletes"]


def test_failures_are_listed_by_reason_and_not_without_end():
    many = [failed(key, "company_not_read") for key in range(1, 31)]
    notice = notice_of(*many, profile(40, "running"))
    assert notice.subject == "Contact sync: 31 failed"
    first, second = lines(notice)
    assert first.startswith("company_not_read: m1@example.nl, m2@")
    assert first.endswith("m10@example.nl and 20 more")
    assert second == "no_outcome: m40@example.nl"


def test_what_waits_is_reported_when_its_hold_is_opened():
    held = profile(1, "held", "too_many_deletes", held=12)
    assert notice_of(held) is None
    notice = notice_of(held, opened={1})
    assert lines(notice) == ["m1@example.nl: 12 changes, too_many_deletes"]
    assert notice.subject == "Contact sync: 1 wait for a decision"
    assert "Required Actions" in notice.parts[0][0]


def test_a_company_that_waits_is_reported_once_and_not_for_each_of_its_profiles():
    company = CompanyResult(7, "Cronus", "held", "bc_count_dropped", "text")
    profiles = [ProfileResult(key, "m@example.nl", "Cronus", "held", "x", "", {}, AT) for key in (1, 2)]

    def heard(mode, **known):
        run = Run("r", mode, False, "scheduled", "running", "", AT)
        return notices.of_run(make_report(run, [company], profiles, AT), Known(**known))

    assert heard("incremental") is None
    for notice in (heard("incremental", companies={7}), heard("full")):
        assert lines(notice) == ["Cronus: bc_count_dropped, the whole company"]


def test_a_profile_without_a_good_sync_is_reported_when_the_hours_are_over():
    old = profile(1, "skipped", "busy", good="2026-03-01T08:50:00.000Z")
    assert lines(notice_of(old, before={1: Before("skipped", "busy", EARLIER)})) == [
        "m1@example.nl: last good sync 1 d ago"
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
