"""What people see of a run: lines in the logs of its tasks, the colour of the run, and messages by webhook or e-mail.

Each DAG file imports this module: its top imports nothing but Airflow's SDK.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.sdk import Asset

from contact_sync_airflow import connections, context, environment

if TYPE_CHECKING:
    from sync_lib.model import ProfileResult
    from sync_lib.operate.checks import Check
    from sync_lib.operate.groups import GroupReport
    from sync_lib.operate.notices import News, Notice
    from sync_lib.run.report import RunReport, Verdict
    from sync_lib.services import Services
    from sync_lib.web.seams import Receiver

log = logging.getLogger(__name__)


@contextmanager
def open_services_or_alarm() -> Iterator[Services]:
    """Yield the services to the last task of a run; where they cannot be opened, send the message that the run is dead.

    Raises:
        SystemExit: As ``raise_unless_good``, where the cause is one that a person can put right.
    """
    from sync_lib.errors import SyncError, reason_of
    from sync_lib.run.report import Verdict

    with ExitStack() as opened:
        try:
            ready = opened.enter_context(connections.open_services())
        except Exception as error:
            reason = reason_of(error) if isinstance(error, SyncError) else "unexpected_error"
            dead = Verdict(False, _cause(error), reason=reason)
            notify(None, dead)
            if isinstance(error, SyncError):
                raise_unless_good(dead)
            raise
        yield ready


def log_results(results: Iterable[ProfileResult]) -> None:
    """Log what became of each profile of a mapped task, with counts and reasons, below the folded phases."""
    for result in results:
        counters = result.counters
        log.info("%s of %s: %s %s", result.mailbox, result.company, result.state, result.message)
        if result.compared_at is not None:
            log.info("  quiet: the figures are those of the comparison at %s", result.compared_at or "-")
        log.info("  contacts read: %d; %s", counters.get("read", 0), _counts(counters.get("outcomes")))
        log.info("  written: %s", _counts(counters.get("writes")))
        log.info("  not synced, by reason: %s", _counts(counters.get("reasons")))


def publish(report: RunReport, outlet_events: Any) -> None:
    """Log the table of profiles, and hand the counts to the assets' events.

    Raises:
        AirflowSkipException: The run did nothing, so nothing happened to the assets either.
    """
    from airflow.sdk.exceptions import AirflowSkipException

    for line in report.lines():
        log.info("%s", line)
    if report.skip_reason:
        raise AirflowSkipException(report.skip_reason)
    for name, extra in report.events.items():
        outlet_events[Asset(name)].extra = extra


def notify(services: Services | None, verdict: Verdict) -> None:
    """Send people what is new about this run, by the Connections of CONTACT_SYNC_NOTIFY.

    Without services there is nothing to read about it, and the verdict is all that is sent. Where nobody took the
    message, the next run says all of it again.

    Whatever goes wrong here is logged, and makes no run red.
    """
    from sync_lib.operate import notify as news

    reached = _send_what(lambda: _notice(services, verdict))
    if services is None or reached:
        return
    try:
        news.forget(services)
    except Exception as error:  # noqa: BLE001 - as above
        log.warning("the next run will not say it again: %s", _cause(error))


def _send_what(make: Callable[[], Notice | None]) -> bool:
    """Send a notice, if there is one; return False where nobody at all took it."""
    try:
        notice = make()
    except Exception as error:  # noqa: BLE001 - recovered by going on: nobody's contacts depend on a message
        log.warning("no message was sent: %s", _cause(error))
        return True
    return notice is None or send_to_all(notice)


def _receivers() -> list[str]:
    """Return the Connections of CONTACT_SYNC_NOTIFY."""
    listed = environment.variables().get(environment.NOTIFY_VARIABLE, "").split(",")
    return [name.strip() for name in listed if name.strip()]


def send_to_all(notice: Notice) -> bool:
    """Send a notice by the Connections of CONTACT_SYNC_NOTIFY; return False where none of them can have taken it.

    Whatever goes wrong is logged, and makes no run red.
    """
    try:
        link = context.link_to_run()
    except Exception as error:  # noqa: BLE001 - no message may turn a task red
        log.warning("no message was sent: %s", _cause(error))
        return False
    reached = False
    for receiver in _receivers():
        try:
            send(receiver, notice, link)
            reached = True
            log.info("message sent by %s: %s", receiver, notice.subject)
        except Exception as error:  # noqa: BLE001 - no message may turn a task red
            reached = reached or _may_have_come(error)
            log.warning("no message was sent by %s: %s", receiver, _cause(error))
    return reached


def _may_have_come(error: Exception) -> bool:
    """Whether a message that met this error may be there all the same: saying it again in each run would be worse."""
    from smtplib import SMTPServerDisconnected

    from sync_lib.errors import ServiceError

    return isinstance(error, ServiceError | SMTPServerDisconnected | TimeoutError)


def send(connection_id: str, notice: Notice, link: str) -> None:
    """Send a notice by the means that the Connection's type names."""
    from sync_lib.operate import notify

    means = _means(connection_id)
    if means.conn_type == "smtp":
        send_mail(connection_id, means.to, notice, link)
    else:
        notify.post(means.url, means.form, notice, link)


class _Means(NamedTuple):
    """How a Connection sends messages; what it holds is a secret, but for the type, the form and the addresses."""

    conn_type: str
    form: str = ""
    to: str = ""
    url: str = ""


def _means(connection_id: str) -> _Means:
    """Return how a Connection sends messages.

    Raises:
        ConfigError: There is no such Connection, or it cannot send any.
    """
    from sync_lib.connections import extra_field, incomplete
    from sync_lib.errors import ConfigError

    connection = connections.get_connection(connection_id, "contact_sync_webhook")
    if connection.conn_type == "contact_sync_webhook":
        form = extra_field(connection, "format") or "teams"
        return _Means(connection.conn_type, form, url=connection.password or "")
    if connection.conn_type != "smtp":
        raise ConfigError(
            f"Connection {connection_id!r} has the type {connection.conn_type!r}; "
            "messages go by contact_sync_webhook or smtp."
        )
    to = extra_field(connection, "to")
    if not to:
        raise incomplete(connection_id, "to", "must hold the addresses to write to, as a part of the extra")
    return _Means(connection.conn_type, "mail", to)


def receivers() -> tuple[Receiver, ...]:
    """Return whom messages go to, for the pages: no address of a webhook is in it, and nothing is sent."""
    from sync_lib.errors import ConfigError
    from sync_lib.operate import notify
    from sync_lib.web.seams import Receiver

    found = []
    for name in _receivers():
        try:
            means = _means(name)
            if means.conn_type != "smtp":
                notify.require_webhook(means.url, means.form)
            found.append(Receiver(name, means.form, means.to))
        except ConfigError as error:
            found.append(Receiver(name, problem=str(error)))
    return tuple(found)


def send_mail(connection_id: str, to: str | list[str], notice: Notice, link: str) -> None:
    """Send a notice as an e-mail, by a Connection of Airflow's type ``smtp``."""
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    from sync_lib.operate import notices

    with SmtpHook(smtp_conn_id=connection_id) as smtp:
        smtp.send_email_smtp(to=to, subject=notice.subject, html_content=notices.to_html(notice, link))


def raise_unless_good(verdict: Verdict) -> None:
    """Log the verdict, one line for each failure, and end the task when the run is to be red.

    Raises:
        SystemExit: The run failed. Of all that ends a task this is the one that Airflow logs without a traceback: the
            lines say what is wrong, and nothing is wrong with the program.
    """
    level = logging.WARNING if verdict.ok else logging.ERROR
    for line in verdict.lines:
        log.log(level, "%s", line)
    if not verdict.ok:
        log.error("%s", verdict.message)
        raise SystemExit(1)
    log.info("%s", verdict.message)


def report_groups(reports: list[GroupReport]) -> None:
    """Log what a look at the groups came to, send people what they should hear, and fail where a group was closed.

    Raises:
        SystemExit: As ``raise_unless_good``: a group could not be read, or some of its members not be dealt with.
    """
    from sync_lib.operate import group_news, groups

    for line in groups.lines(reports):
        log.info("%s", line)
    news = group_news.of_groups(reports)
    if news and _receivers():
        _send_what(lambda: in_words(news))
    if wrong := [each for each in reports if each.is_unread or each.failed]:
        log.error("%d group(s) could not be dealt with, wholly or in part: see the lines above.", len(wrong))
        raise SystemExit(1)


def raise_unless_all_ok(checks: Iterable[Check]) -> None:
    """Log one line per check, and end the task when one found something wrong.

    Raises:
        SystemExit: At least one check failed; the log says which, and the remedy, without a traceback.
    """
    wrong = 0
    for check in checks:
        if check.ok:
            log.info("ok     %s: %s", check.name, check.detail)
        elif check.unknown:
            log.warning("?      %s: %s %s", check.name, check.detail, check.remedy)
        else:
            wrong += 1
            log.error("WRONG  %s: %s %s", check.name, check.detail, check.remedy)
    if wrong:
        log.error("%d check(s) found something wrong: see the lines above that say WRONG.", wrong)
        raise SystemExit(1)


def _notice(services: Services | None, verdict: Verdict) -> Notice | None:
    from sync_lib.operate import notify

    receivers = _receivers()
    if not receivers:
        if services:
            notify.forget(services)
        return None
    news = _with_credentials(services, _news(services, verdict, receivers), receivers)
    return in_words(news) if news else None


def _with_credentials(services: Services | None, news: News | None, receivers: list[str]) -> News | None:
    """Add credentials that end soon. Without the database nobody knows who has heard of them: the next run says so."""
    from sync_lib.operate import notify

    if services is None:
        return news
    try:
        return notify.add_credentials(services, news, connections.endings(), receivers)
    except Exception as error:  # noqa: BLE001 - the rest of the message does not depend on it
        log.warning("which credentials end soon could not be said: %s", _cause(error))
        return news


def in_words(news: News) -> Notice | None:
    """Return news in the language of CONTACT_SYNC_NOTIFY_LANGUAGE; None where nobody has to look after any of it."""
    from sync_lib.web import news_words

    pages = environment.address_of_airflow() + context.PAGES
    return news_words.in_words(news, environment.notify_language(), pages)


def _news(services: Services | None, verdict: Verdict, receivers: list[str]) -> News | None:
    from sync_lib.operate import notices, notify

    repeated = False
    try:
        repeated = not verdict.ok and context.failed_before()
        if services:
            run = context.this_run()
            return notify.read_news(services, run, verdict, repeated=repeated, receivers=receivers)
    except Exception as error:  # noqa: BLE001 - without the database there is still the verdict
        log.warning("what to send could not be read: %s", _cause(error))
    return None if verdict.ok or repeated else notices.of_dead_run(verdict)


def _counts(counts: dict[str, int] | None) -> str:
    return ", ".join(f"{count} {name}" for name, count in (counts or {}).items()) or "none"


def _cause(error: Exception) -> str:
    """What may be logged of an error: our own say nothing secret, others may hold an address with its key."""
    from sync_lib.errors import SyncError

    return str(error) if isinstance(error, SyncError) else type(error).__name__
