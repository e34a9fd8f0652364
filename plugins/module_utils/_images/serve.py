# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What serves the layers of a folder to other hosts for a while, over TLS, to those who have the token of the run.

Systemd runs it, ends it after its longest time, and removes its folder however it ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.server
import json
import os
import re
import socket
import socketserver
import ssl
import sys
import threading
import time
from typing import Any

from .archive import PIECE

# Seconds: a silence of a client, and without any request. Clients at a time.
_SILENCE, _IDLE, _CLIENTS = 60.0, 120.0, 64


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = _CLIENTS

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.load_cert_chain(settings["certificate"], settings["key"])
        self.free = threading.BoundedSemaphore(_CLIENTS)
        self.last = time.monotonic()
        super().__init__(("0.0.0.0", settings["port"]), _Handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # The handshake is in the thread of the client, so that a silent one holds up no other.
        if not self.free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.last = time.monotonic()
            self.free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is no error of the server."""

    @property
    def idle(self) -> bool:
        """Whether nobody has asked for a while, and nobody is served."""
        served = self.free._value < _CLIENTS
        return not served and time.monotonic() - self.last > _IDLE


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.0"
    timeout = _SILENCE

    def setup(self) -> None:
        self.request.settimeout(_SILENCE)
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def do_GET(self) -> None:
        found = re.fullmatch(r"/layer/([0-9a-f]{64})", self.path)
        given = self.headers.get("Authorization") or ""
        digest = hashlib.sha256(given.encode()).hexdigest()
        if not hmac.compare_digest(digest, self.server.settings["token_sha256"]):
            self.send_error(403)
            return
        path = os.path.join(self.server.settings["folder"], found.group(1)) if found else ""
        try:
            file = open(path, "rb")  # noqa: SIM115
        except OSError:
            self.send_error(404)
            return
        with file:
            self.send_response(200)
            self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
            self.end_headers()
            while piece := file.read(PIECE):
                self.wfile.write(piece)

    def log_message(self, *_words: Any) -> None:
        """The journal needs no line for each layer."""


def main(path: str) -> int:
    """Serve until nobody has asked for a while; the exit code. `path` is the file with the settings."""
    with open(path, encoding="utf-8") as file:
        settings = json.load(file)
    with _Server(settings) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):
            while not server.idle:
                time.sleep(1)
        server.shutdown()
    return 0


def listens(port: int) -> bool:
    """Whether something accepts connections at a port of this host."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
