"""Send people a message about a run: read what they should hear, and post it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sync_lib.clients import webhook
from sync_lib.errors import ConfigError
from sync_lib.operate import notices
from sync_lib.operate.credentials import Ending
from sync_lib.operate.notices import Known, News, Notice
from sync_lib.run.report import Verdict, make_report
from sync_lib.services import Services
from sync_lib.store import causes, heard, holds, looking, runs
from sync_lib.store.engine import transaction

#: Forms of a webhook's body.
FORMATS = {"teams": notices.to_card, "text": notices.to_text}


def read_news(
    services: Services, run_id: str, verdict: Verdict, *, repeated: bool, receivers: Collection[str] = ()
) -> News | None:
    """Return what people should hear about a run that is over, or None; note that they have heard it.

    Args:
        services: The staging database.
        run_id: DAG run id.
        verdict: The run's colour.
        repeated: The run before failed as well: a run that failed as a whole is no news then, to who heard of that one.
        receivers: Who gets messages. Where these are others than last time, all that is wrong is news.
    """
    with transaction(services.engine) as conn:
        run, before = runs.read_run(conn, run_id), heard.read_heard(conn, receivers)
        # Who has heard nothing yet hears of a run that failed as a whole, however many did before it.
        repeated = repeated and not before.first
        # A run that failed as a whole says nothing of the profiles: what was heard of them stays.
        dead = {**before.failing, heard.RUN: "run_failed"}
        if run is None:
            if not verdict.ok:
                heard.write_heard(conn, receivers, dead)
            return _of_dead_run(verdict, repeated)
        found = looking.read_outcomes(conn, run)
        settings = services.settings
        own = causes.read_causes(conn, settings.known_after_hours * 3600, settings.known_percent)
        known_ones = [key for key, cause in own.items() if cause.known]
        report = make_report(run, runs.read_company_results(conn, run_id), found, services.now(), known_ones)
        if not verdict.ok and not report.failures and not run.dry_run:
            heard.write_heard(conn, receivers, dead)
            return _of_dead_run(verdict, repeated)
        if run.dry_run or report.skip_reason:
            return None
        opened = holds.read_opened(conn, run_id)
        rejects = heard.read_new_rejects(conn, first=before.first)
        known = Known(
            runs.read_before(conn, run),
            *opened,
            settings.notify_after_hours,
            own,
            before.failing,
            before.first,
            rejects,
        )
        news = notices.of_run(report, known)
        causes.note_reported(conn, notices.reported_profiles(news, report, known))
        heard.write_heard(conn, receivers, notices.heard_after(report, known))
    return news


def add_credentials(
    services: Services, news: News | None, endings: Collection[Ending], receivers: Collection[str]
) -> News | None:
    """Return the news with the credentials that end of which people have not heard; note that they have.

    A credential is news where it comes within 30 days of its end, within 7, and when it has ended.
    """
    if not endings:
        return news
    with transaction(services.engine) as conn:
        new = heard.take_credentials(conn, receivers, {each.connection: each.stage for each in endings})
    parts = notices.of_credentials([each for each in endings if each.connection in new])
    if not parts:
        return news
    return replace(news, parts=(*news.parts, *parts)) if news else News(parts)


def forget(services: Services) -> None:
    """Note that nobody got any message: who gets the next one hears of all that is wrong then."""
    with transaction(services.engine) as conn:
        heard.forget(conn)


def _of_dead_run(verdict: Verdict, repeated: bool) -> News | None:
    return None if verdict.ok or repeated else notices.of_dead_run(verdict)


def post(url: str, form: str, notice: Notice, link: str) -> None:
    """Post a notice to a webhook.

    Raises:
        ConfigError: There is no such form, or the address is none.
        ServiceError: Nobody knows whether it was taken.
        ApiError: It was not taken.
    """
    require_webhook(url, form)
    webhook.post(url, FORMATS[form](notice, link))


def require_webhook(url: str, form: str) -> None:
    """Look whether a webhook could be posted to, without posting anything.

    Raises:
        ConfigError: There is no such form, or the address is none.
    """
    if form not in FORMATS:
        raise ConfigError(f"The webhook's format is {form!r}; it takes {' or '.join(FORMATS)}.")
    webhook.require_address(url)
