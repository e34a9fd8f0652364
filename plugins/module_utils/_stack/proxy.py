# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""A proxy between Docker's own CLI and the engine.

Only the CLI knows what `docker stack deploy` writes: it has the Compose interpreter. So it runs for real, against a
private socket. Reads pass through to the engine. The caller decides what happens to a write:

* To plan, nothing is forwarded. The write is recorded and answered with an invented ID, and what was "created" appears
  in the lists that the CLI reads back.
* To apply, a write is forwarded if it changes something, and else answered as if it had been. The CLI on its own writes
  every service of the stack every time, which changes its version and makes its previous spec, which a rollback
  restores, the same as its spec.

Even a plan tries creates and updates on the engine: with an impossible addition, such as a version that no object has, so
that the engine checks everything else first and then refuses (see `refusals.py`). That is the only way to know whether the
data of a secret would change, and the refusals are in the engine's words. The CLI does not see them: it would stop at the
first one, and a plan names them all.

The CLI does not compare an existing network with the files. So a plan hides the stack's own networks from the CLI, which
then "creates" them; that is recorded as an update.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import http.server
import json
import os
import re
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .._api.unix import UnixConnection
from .._common.errors import SwarmError
from .._model.documents import id_of
from .private import private_directory
from .refusals import bad_data, bad_name, network_probe, objection, service_probe, without
from .writes import Adjust, Decide, Refusal, Run, Write

_PATH = re.compile(r"^(?:/v[0-9.]+)?(/.*)$")
_WRITE = re.compile(r"^/(networks|secrets|configs|services)/(?:create|([^/]+)(?:/(update))?)$")
_READ = re.compile(r"^/(networks|secrets|configs)(?:/([^/]+))?$")
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "host"}


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def __init__(
        self, path: str, engine_socket: str, forward: Decide | None, adjust: Adjust | None = None
    ) -> None:
        self.engine_socket = engine_socket
        self.forward = forward
        self.adjust = adjust
        self.run = Run()
        self.invented: dict[str, dict[str, dict[str, Any]]] = {}
        # The IDs of the stack's networks that a plan hides from the CLI, by name.
        self.hidden: dict[str, str] = {}
        self.lock = threading.Lock()
        super().__init__(path, _Handler)
        os.chmod(path, 0o600)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The CLI closes connections early; that is not an error."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: they hold secrets."""

    def _serve(self) -> None:
        match = _PATH.match(self.path)
        url = urlsplit(match.group(1) if match else self.path)
        body = self._body()
        if self.command in ("GET", "HEAD"):
            self._read(url.path, parse_qs(url.query))
            return
        known = _WRITE.match(url.path)
        if known is None:
            message = f"flotilla.swarm does not forward {self.command} {url.path}"
            self._answer(403, {"message": message})
            return
        with self.server.lock:
            self._write(known.group(1), known.group(2), body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve

    # Reading

    def _read(self, path: str, query: dict[str, list[str]]) -> None:
        known = _READ.match(path)
        mine = self.server.invented.get(known.group(1), {}) if known else {}
        wanted = _filters(query)
        # The CLI lists by label only what belongs to the stack.
        hides = path == "/networks" and "label" in wanted and self.server.forward is None
        if not known or not (mine or hides) or self.command == "HEAD":
            self._relay()
            return
        _kind, name = known.groups()
        if name is None:
            status, answer = self._ask("GET", self.path)
            if status == 200:
                if hides:
                    self.server.hidden.update({_name_of(n): id_of(n) for n in answer or []})
                    answer = []
                answer = (answer or []) + [i for i in mine.values() if _matches(i, wanted)]
            self._answer(status, answer)
            return
        for document in mine.values():
            if name in (id_of(document), _name_of(document)):
                self._answer(200, document)
                return
        self._relay()

    def _relay(self, body: bytes | None = None) -> int:
        """Forward the request, and send the answer back piece by piece."""
        connection = UnixConnection(self.server.engine_socket)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
            connection.request(self.command, self.path, body=body, headers=headers)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self._answer(502, {"message": f"the engine does not answer: {error}"})
            return 502
        with contextlib.closing(connection):
            self._stream(answer)
        return answer.status

    def _stream(self, answer: http.client.HTTPResponse) -> None:
        self.send_response_only(answer.status, answer.reason)
        length = answer.getheader("Content-Length")
        for key, value in answer.getheaders():
            if key.lower() not in _HOP_BY_HOP:
                self.send_header(key, value)
        bodyless = self.command == "HEAD" or answer.status in (204, 304) or answer.status < 200
        chunked = length is None and not bodyless
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if bodyless:
            return
        sent = 0
        while True:
            piece = answer.read1(65536)
            if not piece:
                break
            sent += len(piece)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            self.wfile.flush()
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        elif sent != int(length or 0):
            # The engine died in the middle: a client that waits for the rest must notice.
            self.close_connection = True

    # Writing

    def _write(self, collection: str, object_id: str | None, body: bytes) -> None:
        kind = collection[:-1]
        spec = _json(body)
        if not isinstance(spec, dict):
            spec = {}
        action = "remove" if self.command == "DELETE" else "update" if object_id else "create"
        spec.pop("Data", None)
        name = str(spec.get("Name", object_id or ""))
        if kind == "network" and action == "create" and name in self.server.hidden:
            action, object_id = "update", self.server.hidden[name]
        write = Write(kind=kind, action=action, name=name, object_id=object_id or "", spec=spec)
        run = self.server.run
        if self.server.adjust is not None and kind == "service":
            try:
                spec = self.server.adjust(write)
            except SwarmError as error:
                # The CLI continues, so that of several errors the same one is raised in every run.
                run.error = min(run.error or error, error, key=str)
                self._pretend(write, collection)
                return
            if spec != write.spec:
                write, body = replace(write, spec=spec), json.dumps(spec).encode()
        run.writes.append(write)
        if self.server.forward is None:
            refusal = self._try(write, body)
            if refusal is not None:
                run.refusals.append(refusal)
            self._pretend(write, collection)
        elif self.server.forward(write):
            self._forward(write, body)
        else:
            self._pretend(write, collection)

    def _forward(self, write: Write, body: bytes) -> None:
        status, answer = self._ask(self.command, self.path, body, dict(self.headers.items()))
        if status < 400:
            created = id_of(answer) if write.action == "create" and answer else ""
            self.server.run.forwarded.append(replace(write, object_id=created or write.object_id))
            self._answer(status, answer)
            return
        refusal = Refusal(write, status, _message(answer))
        self.server.run.refusals.append(refusal)
        if refusal.conflict:
            # A new plan follows. The more this run writes, the fewer conflicts are left for the next.
            self._answer(200 if write.action == "update" else 201, {"ID": "", "Id": ""})
        else:
            self._answer(status, answer)

    def _try(self, write: Write, body: bytes) -> Refusal | None:
        """Whether the engine would refuse a write, without writing it; see `refusals.py`."""
        document = _json(body)
        if write.kind in ("secret", "config") and write.action == "create":
            size = len(base64.b64decode((document or {}).get("Data") or ""))
            words = bad_data(write.kind, write.name, size, bool(write.spec.get("Driver")))
            return Refusal(write, 400, words) if words else None
        invented = self._invented()
        path = urlsplit(self.path).path
        probes: list[Any] = []
        if write.kind == "network":
            words = bad_name(write.name) if write.action == "create" else None
            if words:
                return Refusal(write, 400, words)
            if write.spec.get("Driver") == "overlay":
                probes = [network_probe(document)]
        elif write.action == "create":
            probes = [service_probe(document, invented)]
        elif write.action == "update":
            path = f"{path}?version=0"
            probes = [document]
            if write.kind == "service":
                # Once with all references, because two may have one target, and once without those that stop the engine early.
                probes = [without(document, invented, ("Networks",)), without(document, invented)]
                probes = probes[: 1 if probes[0] == probes[1] else 2]
        for probe in probes:
            content = {"Content-Type": "application/json"}
            status, answer = self._ask("POST", path, json.dumps(probe).encode(), content)
            found = objection(_message(answer), invented)
            if found is not None:
                return Refusal(write, status, found)
        return None

    def _invented(self) -> set[str]:
        """IDs and names of what exists only in this plan."""
        found = set()
        for documents in self.server.invented.values():
            for document in documents.values():
                found |= {id_of(document), _name_of(document)}
        return found

    def _pretend(self, write: Write, collection: str) -> None:
        if write.action == "remove":
            self._answer(200, None)
        elif write.action == "update" and write.kind == "network":
            self._answer(201, {"Id": write.object_id, "Warning": ""})
        elif write.action == "update":
            self._answer(200, {"Warnings": None} if write.kind == "service" else None)
        else:
            mine = self.server.invented.setdefault(collection, {})
            number = sum(len(documents) for documents in self.server.invented.values()) + 1
            invented = f"planned{number:018d}"
            mine[invented] = _document(write, invented)
            id_key = "Id" if write.kind == "network" else "ID"
            self._answer(201, {id_key: invented, "Warnings": None, "Warning": ""})

    # Wire

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            pieces = []
            while True:
                size = int(self.rfile.readline().split(b";")[0] or b"0", 16)
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
                if size == 0:
                    return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        # The body, and so its length, can differ from the CLI's.
        passed = {k: v for k, v in (headers or {}).items() if k.lower() != "content-length"}
        kept = {k: v for k, v in passed.items() if k.lower() not in _HOP_BY_HOP}
        connection = UnixConnection(self.server.engine_socket)
        try:
            connection.request(method, path, body=body, headers=kept)
            answer = connection.getresponse()
            return answer.status, _json(answer.read())
        except (OSError, http.client.HTTPException) as error:
            return 502, {"message": f"the engine does not answer: {error}"}
        finally:
            connection.close()

    def _answer(self, status: int, document: Any) -> None:
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body) if body.strip() else None
    except ValueError:
        return {"message": body.decode("utf-8", "replace")}


def _message(answer: Any) -> str:
    if isinstance(answer, dict) and answer.get("message"):
        return str(answer["message"])
    return "no reason given"


def _document(write: Write, invented: str) -> dict[str, Any]:
    """The document of a network, secret, config or service that the plan has just created."""
    if write.kind == "network":
        driver = write.spec.get("Driver") or "overlay"
        scope = "swarm" if driver == "overlay" else "local"
        return {**write.spec, "Id": invented, "Driver": driver, "Scope": scope}
    return {"ID": invented, "Version": {"Index": 0}, "Spec": write.spec}


def _name_of(document: dict[str, Any]) -> str:
    return str(document.get("Name") or (document.get("Spec") or {}).get("Name") or "")


def _filters(query: dict[str, list[str]]) -> dict[str, list[str]]:
    """The filters of a list request: {"name": ["x"]}, or {"name": {"x": true}} as newer CLIs send them."""
    found = _json((query.get("filters") or [""])[0].encode())
    if not isinstance(found, dict):
        return {}
    return {key: [str(value) for value in values] for key, values in found.items() if values}


def _matches(document: dict[str, Any], filters: dict[str, list[str]]) -> bool:
    labels = document.get("Labels") or (document.get("Spec") or {}).get("Labels") or {}
    name, own_id = _name_of(document), id_of(document)
    for key, values in filters.items():
        if key in ("name", "names"):
            # The engine matches prefixes; the CLI picks the exact name itself.
            if not any(name.startswith(value) for value in values):
                return False
        elif key == "id":
            if not any(own_id.startswith(value) for value in values):
                return False
        elif key == "label":
            for value in values:
                label, equals, text = value.partition("=")
                if label not in labels or (equals and labels[label] != text):
                    return False
    return True


@contextlib.contextmanager
def proxy(
    engine_socket: str, forward: Decide | None = None, adjust: Adjust | None = None
) -> Iterator[tuple[str, Run]]:
    """Run a proxy; the context is the path of its socket and the record of what the CLI writes."""
    with private_directory() as directory:
        path = os.path.join(directory, "engine.sock")
        server = _Server(path, engine_socket, forward, adjust)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield path, server.run
        finally:
            server.shutdown()
            server.server_close()
