"""When the app's credentials end, so that somebody can renew them before nothing syncs any more. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sync_lib.errors import ConfigError
from sync_lib.settings import AppSettings

#: Days before the end of a credential from which the pages say so.
WARN_DAYS = 30
#: Days before its end from which a message says so; the last one says that it has ended.
MESSAGE_DAYS = (WARN_DAYS, 7, -1)


@dataclass(frozen=True, slots=True)
class Ending:
    """A credential that ends soon, or has ended.

    Attributes:
        connection: The Connection that holds it.
        certificate: A certificate, and no secret.
        on: Its last day, in UTC.
        days: How many days are left; less than zero where it has ended.
    """

    connection: str
    certificate: bool
    on: date
    days: int

    @property
    def stage(self) -> str:
        """What a message is about: this credential, and which of ``MESSAGE_DAYS`` it has reached."""
        return f"{self.on.isoformat()} {min(days for days in MESSAGE_DAYS if self.days <= days)}"


def end_of(settings: AppSettings) -> date | None:
    """Return the last day of the credential of an app, or None where nobody wrote down when its secret ends.

    Raises:
        ConfigError: The certificate, or the date, cannot be read.
    """
    if settings.certificate:
        return _end_of_certificate(settings.certificate.public_certificate)
    if not settings.secret_expires:
        return None
    try:
        return date.fromisoformat(settings.secret_expires)
    except ValueError:
        raise ConfigError(
            f"secret_expires is {settings.secret_expires!r}; it takes the last day of the client secret as"
            " year-month-day, for example 2027-03-31."
        ) from None


def _end_of_certificate(pem: str) -> date:
    from cryptography.x509 import load_pem_x509_certificate

    try:
        return load_pem_x509_certificate(pem.encode()).not_valid_after_utc.date()
    except ValueError:
        raise ConfigError("The certificate cannot be read: give it in PEM form.") from None


def ending(connection: str, settings: AppSettings, today: date) -> Ending | None:
    """Return the credential of an app if it ends within 30 days, or has ended; else None.

    Raises:
        ConfigError: As ``end_of``.
    """
    last = end_of(settings)
    if last is None or (last - today).days > WARN_DAYS:
        return None
    return Ending(connection, settings.certificate is not None, last, (last - today).days)
