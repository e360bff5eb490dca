"""The sandbox over real sockets: an HTTP server around what it answers."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from aiohttp import web

from sandbox.server import Server
from sandbox.wire import Reply

MAX_BODY = 2 * 1024**3


async def serve(server: Server, host: str, port: int) -> web.ServerRunner:
    """Listen; the caller cleans the runner up."""
    loop = asyncio.get_running_loop()

    def make_request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        # Requests that arrived together are taken up together, so that the counts of parallel ones mean something.
        await asyncio.sleep(0)
        call = server.take(request.method, request.raw_path, request.headers, body)
        return await _send(request, await server.answer(call))

    runner = web.ServerRunner(
        web.Server(handle, request_factory=make_request, access_log=None), shutdown_timeout=0.1
    )
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=512)
    await site.start()
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    server.services.base = f"http://{shown}:{runner.addresses[0][1]}"
    return runner


async def _send(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    payload = reply.payload()
    if reply.drop == "reset":
        _reset_connection(request)
        return web.Response(status=500)
    if reply.drop == "mid_body":
        return await _send_half(request, reply, payload)
    return web.Response(status=reply.status, headers=reply.headers, body=payload or None)


async def _send_half(request: web.BaseRequest, reply: Reply, payload: bytes) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_length = max(len(payload), 2)
    await response.prepare(request)
    await response.write(half(payload))
    await asyncio.sleep(0.01)
    _reset_connection(request)
    return response


def half(payload: bytes) -> bytes:
    """Return what arrives of an answer whose connection breaks in the middle."""
    return payload[: len(payload) // 2] or b"{"


def _reset_connection(request: web.BaseRequest) -> None:
    """Break the connection of a request with a TCP reset."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
