"""Starts the sandbox from the command line."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path

from sandbox import runner, sockets


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        prog="sandbox", description="Entra ID, Graph and Business Central on localhost"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--companies", type=int, help="number of companies")
    parser.add_argument("--contacts", type=int, help="contacts of the first company")
    parser.add_argument("--mailboxes", type=int, help="number of mailboxes")
    parser.add_argument("--per-mailbox", type=int, help="private contacts in each mailbox")
    parser.add_argument("--state", type=Path, help="keep the world in this file")
    parser.add_argument("--latency-ms", type=float, default=0, help="latency of each operation")
    parser.add_argument(
        "--switch", action="append", default=[], metavar="NAME=VALUE", help="set a switch or limit"
    )
    parser.add_argument("--quiet", action="store_true", help="log warnings only")
    return parser.parse_args(arguments)


async def run(options: argparse.Namespace) -> None:
    """Serve until the process is asked to stop."""
    settings: dict[str, object] = {
        "graph_latency_ms": options.latency_ms,
        "bc_latency_ms": options.latency_ms,
    }
    for item in options.switch:
        name, _, value = item.partition("=")
        settings[name] = value
    names = ("seed", "companies", "contacts", "mailboxes", "per_mailbox")
    size = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    has_state = options.state is not None and options.state.exists()
    world = runner.read_state(options.state) if has_state else None
    server = runner.build(settings=settings, world=world, size=size)
    if options.state is not None:
        server.control.save = lambda: runner.write_state(server, options.state)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    serving = await sockets.serve(server, options.host, options.port)
    runner.logger.warning(
        "the sandbox answers at %s; see %s/__sim/info", server.services.base, server.services.base
    )
    await stopped.wait()
    await serving.cleanup()
    if options.state is not None:
        runner.write_state(server, options.state)


def main() -> None:
    """Run the command."""
    options = parse_arguments()
    logging.basicConfig(
        format="%(asctime)s %(message)s", level=logging.WARNING if options.quiet else logging.INFO
    )
    asyncio.run(run(options))


if __name__ == "__main__":
    main()
