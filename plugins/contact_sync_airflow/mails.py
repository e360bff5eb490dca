"""The weekly mail of colleagues: by which Connection it goes, whether that can send, and sending it.

DAG files import this module: its top imports nothing but Airflow's SDK.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from contact_sync_airflow import connections, context, environment, messages

if TYPE_CHECKING:
    from sync_lib.operate.weekly_mail import Letter
    from sync_lib.services import Services

log = logging.getLogger(__name__)


def problem() -> str:
    """Return why CONTACT_SYNC_WEEKLY_MAIL cannot send, "" where it can, or where it names nothing."""
    from sync_lib.connections import extra_field
    from sync_lib.errors import ConfigError

    name = environment.weekly_mail()
    if not name:
        return ""
    try:
        connection = connections.get_connection(name, "smtp")
        if connection.conn_type != "smtp":
            why = f"that Connection has the type {connection.conn_type!r}; the mail goes by smtp."
        elif not connection.host or not extra_field(connection, "from_email"):
            why = "that Connection must hold the mail server as its host, and from_email as a part of the extra."
        else:
            return ""
    except ConfigError as error:
        why = str(error)
    return f"{environment.WEEKLY_MAIL_VARIABLE} is {name!r}: {why} Until it is corrected, no weekly mail is sent."


def can_send() -> bool:
    """Whether colleagues can ask for the weekly mail: there is a Connection for it, which says by whom it is sent."""
    return bool(environment.weekly_mail()) and not problem()


def send_weekly(services: Services) -> None:
    """Send the weekly mails that are due; whatever goes wrong is logged, and makes no run red."""
    from sync_lib.operate import weekly_mail

    if not environment.weekly_mail():
        log.info("%s names no Connection: no weekly mail is sent.", environment.WEEKLY_MAIL_VARIABLE)
    elif found := problem():
        log.warning("%s", found)
    else:
        weekly_mail.send_all(services, environment.timezone(), _post)


def _post(letter: Letter) -> bool:
    from sync_lib.web import mine_mail

    page = f"{environment.address_of_airflow()}{context.PAGES}/me"
    notice = mine_mail.in_words(letter, environment.notify_language(), page)
    if notice is None:
        return False
    connection = environment.weekly_mail()
    messages.send_mail(connection, [letter.address], notice, mine_mail.settings_of(letter, page))
    return True
