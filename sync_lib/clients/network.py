"""What lies between a worker and a service: proxies, firewalls, certificates. Knows their answers from the service's.

Its sentences name the likely cause and the remedy, the host, and nothing else of the request or the answer.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import requests

_SIGN_IN = 407
_PORTAL = 511
_LEGAL = 451

#: What an API answers in its own form only; a page in its place is somebody else's, or that of a wrong address.
_OWN_FORM_ONLY = frozenset({403, 404, 405, _SIGN_IN, _LEGAL, _PORTAL})
#: Answers of proxies that are about themselves: what they were asked to pass on never left.
NEVER_PASSED_ON = frozenset({_SIGN_IN, _PORTAL})

_REACH = "Let the workers reach {host} without sign-in or inspection, or name the proxy in HTTPS_PROXY."


def elsewhere(status: int, host: str, *, readable: bool) -> str:
    """Return why an answer is not the service's own, and the remedy; "" where it may be its own.

    Args:
        status: HTTP status.
        host: Of the service.
        readable: Whether the body is JSON, or there is none.
    """
    if 300 <= status < 400:
        return (
            f"{host} answers with another address, which is never followed: what is sent may be a secret. Check API "
            "root and authority of the Connection; the sign-in page of a proxy does the same."
        )
    if status == _SIGN_IN:
        return (
            "A proxy on the way wants a sign-in: give it in HTTPS_PROXY (http://user:password@proxy:port) on each "
            f"worker, or let {host} pass without."
        )
    if status == _PORTAL:
        return f"The network wants a sign-in before it lets anything out. {_REACH.format(host=host)}"
    if not readable and (200 <= status < 300 or status in _OWN_FORM_ONLY):
        return (
            f"A proxy or firewall on the way seems to answer in place of {host}. {_REACH.format(host=host)}"
        )
    return ""


def beside(status: int, host: str, *, readable: bool) -> str:
    """Return what may be meant by a page in place of an error of the service; "" where it speaks for itself."""
    if readable or status < 500:
        return ""
    return f"A page came and no answer of the API: {host} is away, or a proxy or firewall on the way is."


def cause(error: requests.RequestException, host: str) -> str:
    """Return the likely cause of a request that got no answer, and the remedy; "" where nothing shows it."""
    found = list(_chain(error))
    text = " ".join(str(one) for one in found)
    if isinstance(error, requests.exceptions.ProxyError):
        if str(_SIGN_IN) in text:
            return elsewhere(_SIGN_IN, host, readable=True)
        return f"The proxy of HTTPS_PROXY lets nothing through to {host}: check its address and rules on each worker."
    if isinstance(error, requests.exceptions.SSLError):
        return (
            f"The certificate of {host} is not trusted here, as happens where a proxy opens TLS: name the network's "
            "own root certificate in REQUESTS_CA_BUNDLE on each worker, and check the worker's clock."
        )
    if isinstance(error, requests.exceptions.InvalidProxyURL | requests.exceptions.InvalidSchema):
        return "Check the addresses in HTTPS_PROXY and HTTP_PROXY on each worker."
    if any(type(one).__name__ == "NameResolutionError" for one in found):
        return (
            f"No such name here: {host}. Check the address in the Connection, and the workers' name server."
        )
    if isinstance(error, requests.ConnectTimeout) or is_never_sent(error):
        return f"{host} cannot be reached. {_REACH.format(host=host)}"
    return ""


def is_never_sent(error: requests.RequestException) -> bool:
    """Return whether a request certainly did not reach the service: no connection to it came about."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError):
        return True
    return any(
        isinstance(one, ssl.SSLCertVerificationError)
        or type(one).__name__ in {"NewConnectionError", "NameResolutionError"}
        for one in _chain(error)
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it was made of; urllib3 keeps them in arguments, reasons and causes."""
    todo: list[object] = [error]
    seen: set[int] = set()
    while todo:
        one = todo.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            todo += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
