"""The errors of the sync, grouped by what the caller should do: stop, retry, read in full, or skip a record.

No error carries a secret, a token, or a value of a contact: messages end up in task logs.
"""

from __future__ import annotations


class SyncError(Exception):
    """Base of every error that the sync raises on purpose."""


class FatalError(SyncError):
    """Stop: a person must act. Repeating the call changes nothing."""


class ConfigError(FatalError):
    """A setting is missing or wrong. The message names the setting, the place and the remedy."""


class ErasureError(ConfigError):
    """A contact is not erased; the message says why, and what to do.

    Attributes:
        template: The message, English, with the places of ``values``: a page translates it.
        values: What is put in those places.
        contacts: Ids in BC of the contacts that are meant.
    """

    def __init__(self, template: str, *, contacts: tuple[str, ...] = (), **values: int) -> None:
        message = template % values if values else template
        super().__init__(f"{message} {', '.join(contacts)}".strip())
        self.template = template
        self.values = values
        self.contacts = contacts


class TransientError(SyncError):
    """The same call may work later.

    Attributes:
        retry_after: Seconds that the service asked us to wait, or None.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RequestError(ConfigError):
    """A run was asked for something that there is not; what other runs do is not affected."""


class LeaseLostError(FatalError):
    """Another worker took over this profile or company: stop writing at once."""


class LeaseExpiredError(TransientError):
    """The lease could not be renewed in time, as when the staging database was away; nobody has taken it yet."""


class StagingAwayError(TransientError):
    """The staging database does not answer."""


class BrokenOffError(StagingAwayError):
    """The staging database broke off a transaction. Nothing of it is stored, unless it went with the commit."""


class ProfileBusyError(SyncError):
    """Another run works on this profile (or company) now; this run leaves it alone."""


class ProfileError(SyncError):
    """This profile cannot sync until somebody fixes it; all other profiles go on.

    Attributes:
        reason: Short machine-readable cause, for example ``mailbox_not_found``.
        remedy: One sentence that says what a person can do.
    """

    def __init__(self, reason: str, message: str, *, remedy: str = "") -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.reason = reason
        self.remedy = remedy


class WritesOffError(ProfileError):
    """Somebody stopped all writes to both services; what was about to be written waits."""

    def __init__(self) -> None:
        super().__init__(
            "writes_off",
            "CONTACT_SYNC_WRITES is off: nothing is written to Business Central or to Outlook.",
            remedy="Set it to on again; what waits is written by the next run.",
        )


class FilterSyntaxError(ConfigError):
    """A filter expression that cannot be understood.

    Attributes:
        field: The BC field that the expression belongs to.
        position: Zero-based offset into the expression.
        expected: What would have been understood there.
        template: The same with the places of ``values``, which a page translates.
        values: What is put in those places.
        group: Which group of the filter, from 1; 0 where it has only one.
    """

    def __init__(self, field: str, expression: str, position: int, template: str, **values: object) -> None:
        self.field = field
        self.expression = expression
        self.position = position
        self.expected = template % values if values else template
        self.template = template
        self.values = values
        self.group = 0
        super().__init__(self._sentence())

    def in_group(self, group: int) -> FilterSyntaxError:
        """Return the same error as one of a group of a filter that has several; 0: of a filter that has one."""
        error = FilterSyntaxError(self.field, self.expression, self.position, self.template, **self.values)
        error.group = group
        error.args = (error._sentence(),)
        return error

    def _sentence(self) -> str:
        where = f"The filter on {self.field!r}" + (f" in group {self.group}" if self.group else "")
        place = f"position {self.position + 1} of {self.expression!r}"
        return f"{where} is not understood at {place}: expected {self.expected}."


class ApiError(SyncError):
    """What every error made from a service's answer carries.

    Attributes:
        status: HTTP status, or 0 when no answer arrived.
        code: The service's own error code, or "".
        request_id: The service's id of the request, for its support, or "".
        method: HTTP method.
        path: Path of the URL without host and query, with ids but without values of contacts.
        in_form: The body had OData's error form, so it was the API that spoke and not a proxy before it.
    """

    def __init__(  # noqa: PLR0913 - this is what an answer says
        self,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        request_id: str = "",
        method: str = "",
        path: str = "",
        in_form: bool = False,
    ) -> None:
        super().__init__(message)
        self.in_form = in_form
        self.status = status
        self.code = code
        self.request_id = request_id
        self.method = method
        self.path = path


class AuthError(ApiError, FatalError):
    """401, or no token from Entra ID."""


class AccessDeniedError(ApiError):
    """403: this mailbox or company is closed to the app; others may be open."""


class ServiceError(ApiError, TransientError):
    """5xx, time-out or broken connection, after our own retries. A write may have been carried out."""

    def __init__(self, message: str, *, retry_after: float | None = None, **details: object) -> None:
        ApiError.__init__(self, message, **details)  # type: ignore[arg-type]  # its own names
        self.retry_after = retry_after


class ThrottledError(ServiceError):
    """429, and the wait that the service asks for exceeds our cap. The request did nothing."""


class TooSlowError(ServiceError):
    """A page of a list did not come in time, or was cut off: a smaller one may."""


class CursorExpiredError(ApiError):
    """410 or any sync-state code: the delta link is of no use any more; read in full."""


class RecordError(ApiError):
    """This contact only: record the outcome and go on with the others."""


class NotFoundError(RecordError):
    """404 on a record, folder, mailbox or company; ``code`` says which."""


class VersionMismatchError(RecordError):
    """409 or 412: somebody edited meanwhile; read again and decide again (rules 8.5)."""


class ConflictError(RecordError):
    """409 that is not about versions, for example a folder that exists already."""


class RejectedError(RecordError):
    """400, 413, 423 and their like: the service refuses this request, for a reason that may pass (rules 6)."""


class ValueRefusedError(RejectedError):
    """The service says that it cannot hold a value: too long, of another type, or missing in another table."""


class MalformedAnswerError(ServiceError):
    """The service answered 2xx with a body that cannot be what was asked for."""


class InterceptedError(MalformedAnswerError):
    """Not the service answered, but something on the way to it: a proxy, a firewall, a sign-in page.

    Nothing can be said about what the service did, unless the status is one that proxies say of themselves.
    """


def reason_of(error: SyncError) -> str:
    """Return the short, machine-readable cause of a failure: our own word for it, or the service's code."""
    if isinstance(error, ProfileError):
        return error.reason
    if isinstance(error, FilterSyntaxError):
        return "filter_invalid"
    for kind in (AuthError, ThrottledError, InterceptedError, ServiceError):
        if isinstance(error, kind):
            return kind.__name__
    return str(getattr(error, "code", "") or type(error).__name__)
