"""A table of paths and their handlers."""

from __future__ import annotations

from collections.abc import Callable

from sandbox.wire import ApiError, Call, Reply

Handler = Callable[[Call, dict[str, str]], Reply]


class Router:
    """Finds the handler of a call; ``{name}`` in a pattern stands for any one segment."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, tuple[str, ...], Handler]] = []

    def add(self, method: str, pattern: str, handler: Handler) -> None:
        """Register a handler."""
        self._routes.append((method, tuple(part for part in pattern.split("/") if part), handler))

    def find(self, call: Call) -> tuple[Handler, dict[str, str]]:
        """Return the handler and the values of its pattern; 404 or 405 when there is none."""
        known = False
        for method, pattern, handler in self._routes:
            values = _match(pattern, call.segments)
            if values is None:
                continue
            if method == call.method:
                call.notes["pattern"] = "/" + "/".join(pattern)
                return handler, values
            known = True
        if known:
            raise ApiError(405, "ErrorInvalidRequest", "The HTTP method is not supported here.")
        raise ApiError(404, "BadRequest_ResourceNotFound", "Resource not found for the segment.")


def _match(pattern: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    values: dict[str, str] = {}
    for expected, found in zip(pattern, segments, strict=True):
        if expected[:1] == "{":
            values[expected[1:-1]] = found
        elif expected.lower() != found.lower():
            return None
    return values
