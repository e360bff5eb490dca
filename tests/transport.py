"""What carries a worker's requests in tests, and who may look on or come in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import requests
from requests.adapters import BaseAdapter

from sync_lib import services

Send = Callable[..., requests.Response]
#: Gets what sends a request; returns what sends it in its place. The first one is the innermost.
Watcher = Callable[[Send], Send]


class Watched:
    """A transport of ``Edges`` whose requests to both services go through ``watchers``; those for tokens do not."""

    def __init__(self, new_adapter: Callable[[], BaseAdapter]) -> None:
        self._new_adapter = new_adapter
        self.watchers: list[Watcher] = []

    def __call__(self) -> BaseAdapter:
        return _Adapter(self._new_adapter(), self.watchers)


class _Adapter(BaseAdapter):
    def __init__(self, inner: BaseAdapter, watchers: list[Watcher]) -> None:
        super().__init__()
        self._inner = inner
        self._watchers = watchers

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        send: Send = self._send_whole
        if is_of_a_service(request):
            for watcher in self._watchers:
                send = watcher(send)
        return send(request, stream=stream, timeout=timeout, verify=verify, cert=cert, proxies=proxies)

    def _send_whole(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        # A worker that ends behind an answer has it whole: nothing of it keeps a connection open.
        answer = self._inner.send(request, **options)
        len(answer.content)
        return answer

    def close(self) -> None:
        self._inner.close()


def is_of_a_service(request: requests.PreparedRequest) -> bool:
    """Whether a request goes to Graph or Business Central."""
    return "/graph/" in str(request.url) or "/bc/" in str(request.url)


def watch(edges: services.Services, watcher: Watcher) -> None:
    """Let somebody look at the requests of a harness's edges, around all who do so already."""
    cast("Watched", edges.transport).watchers.append(watcher)
