"""The services' throttling: windows, concurrency and Business Central's queue."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from datetime import UTC, datetime
from email.utils import format_datetime

from sandbox.wire import ApiError, Call
from sandbox.world import World


class Window:
    """Counts operations in a sliding window."""

    def __init__(self) -> None:
        self._moments: deque[float] = deque()

    def wait(self, now: float, most: float, seconds: float) -> float:
        """Count one more (a refused one counts too); return 0, or how long to wait."""
        moments = self._moments
        while moments and moments[0] <= now - seconds:
            moments.popleft()
        is_full = len(moments) >= most
        moments.append(now)
        if len(moments) > most * 2 + 10:
            moments.popleft()
        return max(moments[-int(most)] + seconds - now, 0.001) if is_full and most >= 1 else 0.0


class Limits:
    """Lets operations through, makes them wait, or refuses them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._windows: dict[tuple[str, ...], Window] = {}
        self._graph_flight: dict[tuple[str, ...], int] = {}
        self._bc_flight: dict[str, int] = {}
        self._bc_queue: dict[str, deque[asyncio.Future[None]]] = {}

    def _wait(self, key: tuple[str, ...], most: float | None, seconds: float | None) -> float:
        if most is None or seconds is None:
            return 0.0
        window = self._windows.setdefault(key, Window())
        return window.wait(self.world.clock.now(), most, seconds)

    def retry_after(self, seconds: float) -> dict[str, str]:
        """Return the header in the form that the settings ask for."""
        style = self.world.settings.options["retry_after"]
        if style == "none":
            return {}
        if style == "date":
            moment = datetime.fromtimestamp(math.ceil(self.world.clock.now() + seconds), UTC)
            return {"Retry_After": format_datetime(moment, usegmt=True)}
        return {"Retry_After": f"{seconds:.3f}" if style == "fractional" else str(max(1, math.ceil(seconds)))}

    # Graph: per app and mailbox

    def enter_graph(self, call: Call) -> None:
        """Count an operation and take a place for it, or raise the 429."""
        if call.identity == "user" or call.mailbox is None:
            return
        settings = self.world.settings
        window, seconds = settings.limit("graph_window_operations"), settings.limit("graph_window_seconds")
        wait = self._wait(("graph", call.identity, call.mailbox), window, seconds)
        if wait:
            message = "Application is over its request limit for the mailbox."
            raise ApiError(429, "ApplicationThrottled", message, **self.retry_after(wait))
        key = self._flight_key(call)
        most = settings.limit("graph_concurrency")
        if most is not None and self._graph_flight.get(key, 0) >= most:
            pause = settings.options["retry_after_concurrency_seconds"]
            message = "Application is over its MailboxConcurrency limit."
            raise ApiError(429, "ApplicationThrottled", message, **self.retry_after(pause))
        self._graph_flight[key] = self._graph_flight.get(key, 0) + 1

    def leave_graph(self, call: Call) -> None:
        """Give the place back."""
        if call.identity == "user" or call.mailbox is None:
            return
        self._graph_flight[self._flight_key(call)] -= 1

    def _flight_key(self, call: Call) -> tuple[str, ...]:
        if self.world.settings.is_on("graph_concurrency_scope", "app"):
            return (call.identity,)
        return (call.identity, call.mailbox or "")

    # Business Central: per app

    def count_bc(self, call: Call) -> None:
        """Count an operation against the rate, or raise the 429."""
        if call.identity == "user":
            return
        settings = self.world.settings
        wait = self._wait(("bc", call.identity), settings.limit("bc_rate"), settings.limit("bc_rate_seconds"))
        if wait:
            raise self._too_many(wait)

    async def enter_bc(self, call: Call) -> None:
        """Wait for a place among those worked on; a full queue refuses, a long wait ends in 503."""
        if call.identity == "user":
            return
        settings = self.world.settings
        most, queue_size = settings.limit("bc_concurrency"), settings.limit("bc_queue")
        if most is None or self._bc_flight.get(call.identity, 0) < most:
            self._bc_flight[call.identity] = self._bc_flight.get(call.identity, 0) + 1
            return
        queue = self._bc_queue.setdefault(call.identity, deque())
        if queue_size is not None and len(queue) >= queue_size:
            raise self._too_many(1)
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(place)
        try:
            # The one who leaves hands over its place, so the count stays.
            await asyncio.wait_for(place, settings.limit("bc_queue_seconds"))
        except TimeoutError as error:
            if place in queue:
                queue.remove(place)
            raise ApiError(
                503, "Internal_TenantUnavailable", "Too long in the queue.", Retry_After="5"
            ) from error

    def leave_bc(self, call: Call) -> None:
        """Give the place to the next in the queue, or back."""
        if call.identity == "user":
            return
        queue = self._bc_queue.get(call.identity, deque())
        while queue:
            place = queue.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._bc_flight[call.identity] -= 1

    def _too_many(self, wait: float) -> ApiError:
        has_header = self.world.settings.is_on("bc_retry_after_on_429", "yes")
        headers = self.retry_after(wait) if has_header else {}
        return ApiError(429, "Application_TooManyRequests", "Too many requests.", **headers)
