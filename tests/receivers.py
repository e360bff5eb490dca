"""Servers on this machine that take messages: a webhook over HTTP, and a mail server. They keep what they got."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_string, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class Webhook:
    """What was posted, and where to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: list[Any] = []
        self.status = 202
        self.location = ""


@contextmanager
def webhook() -> Iterator[Webhook]:
    """Run a webhook whose address holds a secret, as real ones do."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.bodies.append(json.loads(body))
            self.send_response(taken.status)
            if taken.location:
                self.send_header("Location", taken.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    taken = Webhook(f"http://127.0.0.1:{server.server_port}/hooks/s3cr3t-path?sig=s3cr3t")
    with _serving(server):
        yield taken


class Mails:
    """Messages that arrived, with the addresses they were sent to."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.arrived: list[tuple[list[str], EmailMessage]] = []


@contextmanager
def mail_server() -> Iterator[Mails]:
    """Run a mail server that believes everybody."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            recipients: list[str] = []
            self._say("220 ready")
            while line := self.rfile.readline().decode().strip():
                verb = line.split(" ")[0].upper()
                if verb == "RCPT":
                    recipients.append(line.split("<")[1].split(">")[0])
                if verb == "DATA":
                    self._say("354 go on")
                    parsed = message_from_string(self._read_data(), policy=policy.default)
                    taken.arrived.append((recipients, parsed))
                self._say("221 bye" if verb == "QUIT" else "250 ok")

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        def _read_data(self) -> str:
            lines = iter(lambda: self.rfile.readline().decode(), ".\r\n")
            return "".join(line.removeprefix(".") for line in lines)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    taken = Mails(server.server_address[1])
    with _serving(server):
        yield taken


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
