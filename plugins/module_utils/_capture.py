# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Docker's own CLI, run against a proxy that stands in front of the engine.

What `docker stack deploy` would write is known only to the CLI: it holds the Compose interpreter. So it
is run for real, against a private socket. Reads go through to the engine. What happens to a write is
decided by the caller:

* to plan, nothing is forwarded: the write is recorded and answered with an invented ID, and what was
  "created" appears in the lists that the CLI reads back;
* to apply, a write is forwarded if it changes something, and answered as if it had been otherwise. The
  CLI on its own writes every service of the stack every time, which moves its version and makes its
  previous spec, the one a rollback goes to, the same as its spec.

Creates and updates are tried out on the engine even in a plan: they are sent with something that cannot be, such as a
version that no object has, so that the engine checks everything else first and then refuses (see `_stack_refusals`). That
is the only way to know whether a secret's data would change, and the refusals are in the engine's words. The CLI does
not hear of them: it would stop at the first one, and a plan names them all.

The CLI leaves a network alone that is there, whatever the files say of it. So that a plan knows what they say, it
hides the stack's own networks from the CLI, which then "creates" them; that is recorded as an update.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Callable
from urllib.parse import parse_qs, urlsplit

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._stack_refusals import (
    bad_data,
    bad_name,
    network_probe,
    objection,
    service_probe,
    without,
)

KINDS = ("network", "secret", "config", "service")

_PATH = re.compile(r"^(?:/v[0-9.]+)?(/.*)$")
_WRITE = re.compile(r"^/(networks|secrets|configs|services)/(?:create|([^/]+)(?:/(update))?)$")
_READ = re.compile(r"^/(networks|secrets|configs)(?:/([^/]+))?$")
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "host"}
_OVERTAKEN = ("update out of sequence", "already exists")


@dataclass(frozen=True)
class Write:
    """One write of the CLI, without the data of secrets and configs."""

    kind: str
    action: str
    name: str
    object_id: str
    spec: dict[str, Any]


@dataclass(frozen=True)
class Refusal:
    """The engine's answer to a write that it would not take."""

    write: Write
    status: int
    message: str

    @property
    def overtaken(self) -> bool:
        """Somebody else has written the same object in the meantime, or created it."""
        return any(words in self.message for words in _OVERTAKEN)


@dataclass
class Run:
    """One run of the CLI: what it wrote, what the engine refused, what the CLI said."""

    returncode: int = -1
    output: str = ""
    writes: list[Write] = field(default_factory=list)
    forwarded: list[Write] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    timed_out: bool = False
    error: SwarmError | None = None


Decide = Callable[[Write], bool]
# What is to be written instead of what the CLI writes; the same in a plan and in a run.
Adjust = Callable[[Write], "dict[str, Any]"]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)


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
        # The stack's networks that are there and that a plan does not show, by name.
        self.hidden: dict[str, str] = {}
        self.lock = threading.Lock()
        super().__init__(path, _Handler)
        os.chmod(path, 0o600)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The CLI hangs up when it has heard enough; that is no error."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: they carry secrets."""

    def _serve(self) -> None:
        match = _PATH.match(self.path)
        url = urlsplit(match.group(1) if match else self.path)
        body = self._body()
        if self.command in ("GET", "HEAD"):
            self._read(url.path, parse_qs(url.query))
            return
        known = _WRITE.match(url.path)
        if known is None:
            message = f"flotilla.swarm lets no {self.command} {url.path} through"
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
        # Only what belongs to the stack is listed by a label.
        hides = path == "/networks" and "label" in wanted and self.server.forward is None
        if not known or not (mine or hides) or self.command == "HEAD":
            self._relay()
            return
        _kind, name = known.groups()
        if name is None:
            status, answer = self._ask("GET", self.path)
            if status == 200:
                if hides:
                    self.server.hidden.update({_name_of(n): _id_of(n) for n in answer or []})
                    answer = []
                answer = (answer or []) + [i for i in mine.values() if _matches(i, wanted)]
            self._answer(status, answer)
            return
        for document in mine.values():
            if name in (_id_of(document), _name_of(document)):
                self._answer(200, document)
                return
        self._relay()

    def _relay(self, body: bytes | None = None) -> int:
        """Pass the request on and its answer back, in the pieces in which it comes."""
        connection = _UnixConnection(self.server.engine_socket)
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
            # An engine that died in the middle. Whoever waits for the rest must hear of it.
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
                # The CLI goes on, so that of several errors it is always the same one that is raised.
                run.error = min(run.error or error, error, key=str)
                self._pretend(write, collection)
                return
            if spec != write.spec:
                write, body = replace(write, spec=spec), json.dumps(spec).encode()
        run.writes.append(write)
        if self.server.forward is None:
            refusal = self._rehearse(write, body)
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
            created = _id_of(answer) if write.action == "create" and answer else ""
            self.server.run.forwarded.append(replace(write, object_id=created or write.object_id))
            self._answer(status, answer)
            return
        refusal = Refusal(write, status, _message(answer))
        self.server.run.refusals.append(refusal)
        if refusal.overtaken:
            # The plan is made again afterwards. The further this run gets, the less is left to collide about.
            self._answer(200 if write.action == "update" else 201, {"ID": "", "Id": ""})
        else:
            self._answer(status, answer)

    def _rehearse(self, write: Write, body: bytes) -> Refusal | None:
        """Would the engine take it? It is asked in such a way that it takes nothing; see `_stack_refusals`."""
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
                # With all references, for two may have one target; and without those that stop the engine too early.
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
        """IDs and names of what only this plan has created."""
        found = set()
        for documents in self.server.invented.values():
            for document in documents.values():
                found |= {_id_of(document), _name_of(document)}
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
        # The body may be another than the CLI's, and so is its length.
        passed = {k: v for k, v in (headers or {}).items() if k.lower() != "content-length"}
        kept = {k: v for k, v in passed.items() if k.lower() not in _HOP_BY_HOP}
        connection = _UnixConnection(self.server.engine_socket)
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
    """What the engine would show of a network, secret, config or service that was just created."""
    if write.kind == "network":
        driver = write.spec.get("Driver") or "overlay"
        scope = "swarm" if driver == "overlay" else "local"
        return {**write.spec, "Id": invented, "Driver": driver, "Scope": scope}
    return {"ID": invented, "Version": {"Index": 0}, "Spec": write.spec}


def _id_of(document: dict[str, Any]) -> str:
    return str(document.get("ID") or document.get("Id") or "")


def _name_of(document: dict[str, Any]) -> str:
    return str(document.get("Name") or (document.get("Spec") or {}).get("Name") or "")


def _filters(query: dict[str, list[str]]) -> dict[str, list[str]]:
    """The filters of a list request: {"name": ["x"]}, or {"name": {"x": true}} as newer CLIs send it."""
    found = _json((query.get("filters") or [""])[0].encode())
    if not isinstance(found, dict):
        return {}
    return {key: [str(value) for value in values] for key, values in found.items() if values}


def _matches(document: dict[str, Any], filters: dict[str, list[str]]) -> bool:
    labels = document.get("Labels") or (document.get("Spec") or {}).get("Labels") or {}
    name, own_id = _name_of(document), _id_of(document)
    for key, values in filters.items():
        if key in ("name", "names"):
            # A prefix is enough for the engine; the CLI picks the exact one itself.
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


_PREFIX = "flotilla-stack-"
# A folder of one run, and those in it that relative paths start from.
_PRIVATE_PATH = re.compile(rf"[\w/.-]*/{_PREFIX}\w+/(files/(d/)*)?")


def without_private_paths(text: str) -> str:
    """The text with paths as the user gave them: nobody else knows the folder of a run, and no two are the same."""
    return _PRIVATE_PATH.sub("", text)


@contextlib.contextmanager
def private_directory() -> Iterator[str]:
    """A directory of our own in memory where there is one, gone afterwards; and with it those of runs that were killed.

    As long as we live we hold a lock on it, which nothing but our end takes from us.
    """
    places = ("/run", "/dev/shm")
    usable = (place for place in places if os.path.isdir(place) and os.access(place, os.W_OK))
    parent = next(usable, tempfile.gettempdir())
    with _locked(parent):
        # Under this lock nobody sees a directory that has been made and is not locked yet.
        _remove_abandoned(parent)
        path = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
        alive = _lock(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(alive)


def _lock(path: str, how: int = fcntl.LOCK_EX) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    descriptor = _lock(path)
    try:
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(parent: str) -> None:
    """Remove directories whose run was killed: those of this user that nobody holds the lock of."""
    for entry in os.scandir(parent):
        if not entry.name.startswith(_PREFIX) or not entry.is_dir(follow_symlinks=False):
            continue
        with contextlib.suppress(OSError):
            if entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                descriptor = _lock(entry.path, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(entry.path, ignore_errors=True)
                os.close(descriptor)


@contextlib.contextmanager
def proxy(
    engine_socket: str, forward: Decide | None = None, adjust: Adjust | None = None
) -> Iterator[tuple[str, Run]]:
    """The proxy's own socket, and the record of what goes through it."""
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


def run_cli(
    engine_socket: str,
    arguments: list[str],
    *,
    stdin: str = "",
    environment: dict[str, str] | None = None,
    directory: str | None = None,
    forward: Decide | None = None,
    adjust: Adjust | None = None,
    timeout: float = 300.0,
    cli: str = "docker",
) -> Run:
    """Run `docker ARGUMENTS` in front of the proxy; without `forward` nothing is written."""
    with proxy(engine_socket, forward, adjust) as (path, run):
        command = [cli, "-H", f"unix://{path}", *arguments]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=cli_environment(environment),
                cwd=directory or "/",
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            if error.errno != errno.E2BIG:
                raise
            raise _too_much(environment or {}) from error
        try:
            run.output, _unused = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            run.timed_out = True
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        run.returncode = process.returncode
        run.output = without_private_paths(run.output.replace(path, engine_socket))
        return run


def _too_much(environment: dict[str, str]) -> SwarmError:
    """Linux gives a process 128 KiB for one variable, and for all of them a quarter of what its stack may have."""
    sizes = {name: len(f"{name}={value}".encode()) for name, value in environment.items()}
    largest = max(sizes, key=lambda name: sizes[name], default="")
    return SwarmError(
        "too_large",
        f"Could not run the Docker CLI: the variables of the Compose files have {sum(sizes.values()) // 1024} KB, most of"
        f" it in {largest}, and the system takes 128 KB for one and about 2 MB for all. Put large data into a config or a"
        " secret.",
    )


def cli_takes(command: str, option: str, cli: str = "docker") -> bool:
    """Does this CLI know the option? Its own help says so, for any packaging of any version."""
    try:
        answer = subprocess.run(
            [cli, *command.split(), "--help"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=cli_environment(),
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
    except FileNotFoundError as error:
        raise SwarmError(
            "no_cli",
            "Could not run the Docker CLI: it is not on this host. The role flotilla.swarm.docker_engine"
            " installs it on managers; the package is docker-ce-cli or docker-cli.",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise SwarmError(
            "timeout",
            "Could not run the Docker CLI: it has not ended within 60 s. See whether the engine of this host answers.",
        ) from error
    if command.split()[-1] not in answer.stdout:
        raise SwarmError(
            "no_cli", f"Could not use the Docker CLI: it says: {answer.stdout.strip()}"
        )
    return option in answer.stdout


def cli_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The CLI's environment: what it needs, and the variables of the Compose files, nothing else.

    DOCKER_* of the caller would send it to another engine or speak another version of the API.
    """
    kept = {
        key: os.environ[key] for key in ("PATH", "HOME", "XDG_RUNTIME_DIR") if key in os.environ
    }
    kept.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    kept["LC_ALL"] = "C.UTF-8"
    kept.update(extra or {})
    return kept
