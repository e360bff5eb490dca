"""What every answer carries, and what is refused before anybody looks at it."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import HTTPException, Request, Response
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint

from sync_lib.web.language import msg
from sync_lib.web.seams import SAFE_METHODS

# No inline script and no inline style: text that slipped through as markup would still run nothing.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class SafeAnswers(BaseHTTPMiddleware):
    """Puts the headers on every answer; what does not say otherwise holds personal data and is never stored."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Return the answer of the app, with the headers."""
        answer = await call_next(request)
        answer.headers.update(HEADERS)
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer


def refuse_cross_site(request: Request) -> None:
    """Refuse to change anything for a page of another site, whose requests carry the user's cookie too.

    Raises:
        HTTPException: 403.
    """
    if request.method in SAFE_METHODS or _is_same_site(request):
        return
    raise HTTPException(403, msg("This request came from another site."))


def _is_same_site(request: Request) -> bool:
    headers = request.headers
    # Browsers say it themselves, but over plain HTTP only to localhost.
    if site := headers.get("sec-fetch-site"):
        return site == "same-origin"
    if origin := headers.get("origin"):
        # Another site can set neither of the two headers.
        return urlsplit(origin).netloc in {headers.get("host"), headers.get("x-forwarded-host")}
    # Every browser names the origin of a change; a program names its user with each request, not by a cookie.
    return "authorization" in headers
