# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The only file that talks to the engine.

Two ways lead there. `EngineClient` is the Docker SDK for Python and serves every module that writes.
`EngineReader` is a reader made of the standard library alone: a host is observed before the SDK is
installed on it, and observing is what every run pays for on every host (importing the SDK costs three
times what the whole reading does).
"""

from __future__ import annotations

import codecs
import contextlib
import json
import re
import socket
import sys
import time
import urllib.parse
from collections.abc import Iterable, Iterator
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError

# What the engine says when it cannot act on a swarm, and what each means. The words are the same from
# 20.10 to 28 (moby: daemon/cluster/errors.go, swarmkit: manager/state/raft/raft.go).
_ENGINE_SAYS = (
    ("is not a swarm manager", "not_manager"),
    ("is not part of a swarm", "not_in_swarm"),
    ("needs to be unlocked", "locked"),
    ("does not have a leader", "no_quorum"),
    ("lost quorum", "no_quorum"),
    ("no cluster leader", "no_quorum"),
    ("update out of sequence", "out_of_sequence"),
    # A leader that has just become none, or that a write has got stuck in: it gives way after 30 s
    # (swarmkit: manager/state/raft/raft.go, "data store lock held too long").
    ("code = DeadlineExceeded", "timeout"),
    ("code = Aborted", "timeout"),
    ("lost leader status", "timeout"),
    ("already part of a swarm", "already_in_swarm"),
    # Of a network, engines before 25 say so with another status.
    ("already exists", "conflict"),
)

_NOT_FOUND = re.compile(r"(network|service|secret|config|node) \S+ not found$")

# Some lines of a log are enough, and a line may be of any length.
_LONGEST_LOG = 65536
_LONGEST_HEAD = 65536

# What another attempt may not meet: somebody else wrote, or the managers were about to agree on a new leader.
PASSING = ("out_of_sequence", "no_quorum", "timeout")

# The same in our words, with what to do. The engine's own run to four sentences of advice for its CLI.
_MEANING = {
    "not_manager": "this host is not a manager; run it on a manager of the swarm",
    "not_in_swarm": "this host is in no swarm; run it on a manager of the swarm",
    "locked": "its swarm is locked; unlock it on that host first (docker swarm unlock)",
    "no_quorum": "the swarm has lost its quorum; bring managers back until more than half of them answer",
    "timeout": "the managers did not agree on it in time; see that they have a quorum, and run again",
    "out_of_sequence": "somebody else changed it at the same time (update out of sequence); run again",
}


def code_of(text: str, status: int | None = None) -> str:
    """The cause behind an error text of the engine."""
    for words, code in _ENGINE_SAYS:
        if words in text:
            return code
    # One that goes while it is being removed is not found with another status (seen with 20.10).
    if _NOT_FOUND.match(text.strip()):
        return "not_found"
    return {404: "not_found", 409: "conflict"}.get(status or 0, "engine_error")


def _failed(attempt: str, text: str, status: int | None = None) -> SwarmError:
    code = code_of(text, status)
    reason = _MEANING.get(code) or f"the engine says: {text.strip().rstrip('.')}"
    return SwarmError(code, f"Could not {attempt}: {reason}.", status=status, engine=text.strip())


# Why no engine answers, in words, by the first of these kinds that is among the causes, and what to do.
_START_IT = "check that the engine runs there"
_SILENCES: tuple[tuple[type[BaseException], str, str], ...] = (
    (PermissionError, "this user may not open it", "run the task as root (become: true)"),
    (FileNotFoundError, "there is no such socket", _START_IT),
    (ConnectionRefusedError, "nothing listens there", _START_IT),
    (socket.gaierror, "the name of the host is not known", "correct docker_host"),
    (socket.timeout, "it does not answer in time", _START_IT),
    (ConnectionError, "it closed the connection", "check that docker_host and tls fit the engine"),
)


def _unreachable(attempt: str, where: str, error: BaseException) -> SwarmError:
    why, advice = _silence(error)
    return SwarmError(
        "engine_unreachable",
        f"Could not {attempt}: no engine answers at {where} ({why}); {advice}.",
    )


def _silence(error: BaseException) -> tuple[str, str]:
    """Libraries put the system's error into one or two of their own, whose text is that of a programming language."""
    causes = list(_causes(error))
    # Whoever has met an error of TLS has imported it; for a reader of a socket it would be half of all imports.
    tls = sys.modules.get("ssl")
    if tls is not None and any(isinstance(cause, tls.SSLError) for cause in causes):
        return "TLS fails", "check tls, validate_certs and the certificates"
    for kind, why, advice in _SILENCES:
        if any(isinstance(cause, kind) for cause in causes):
            return why, advice
    if any("timed out" in str(cause) for cause in causes):
        return "it does not answer in time", _START_IT
    said = [
        cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror
    ] or [str(error)]
    return said[0].partition("\n")[0].rstrip("."), _START_IT


def _causes(error: object, depth: int = 6) -> Iterator[BaseException]:
    if not isinstance(error, BaseException) or depth == 0:
        return
    yield error
    inner = (*error.args, getattr(error, "reason", None), error.__cause__, error.__context__)
    for cause in inner:
        yield from _causes(cause, depth - 1)


class EngineClient:
    """A conversation with one engine: raw API documents in and out, every error a SwarmError.

    Documents go through as they are. The SDK's own models fill in defaults, and a spec that is sent
    back with them resets what was never asked for (moby: daemon/cluster, specs are replaced whole).
    """

    def __init__(self, params: dict[str, Any]) -> None:
        # Not at the top of the file: every host is observed through it, mostly without needing the SDK.
        try:
            import docker
            import requests.exceptions
        except ImportError as error:
            raise SwarmError(
                "no_sdk",
                f"Could not talk to the engine: {sys.executable} of this host lacks the Docker SDK for Python. Run the role"
                " flotilla.swarm.docker_engine there with docker_engine_sdk set to package or venv, or install docker with"
                " the package manager or pip.",
            ) from error
        self._no_answer = (docker.errors.DockerException, requests.exceptions.RequestException)
        self.where = params["docker_host"]
        self._pinned = params["api_version"] != "auto"
        try:
            tls = self._tls(docker, params)
        except docker.errors.TLSParameterError as error:
            raise SwarmError(
                "bad_option",
                f"Could not talk to the engine at {self.where}: client_cert, client_key and ca_path must name files on this"
                " host, and the first two belong together.",
            ) from error
        try:
            self._api = docker.APIClient(
                base_url=self.where,
                version=params["api_version"],
                timeout=params["timeout"],
                tls=tls,
            )
        except (*self._no_answer, ValueError) as error:
            raise _unreachable("talk to the engine", self.where, error) from error

    @staticmethod
    def _tls(docker: Any, params: dict[str, Any]) -> Any:
        if not (params["tls"] or params["validate_certs"]):
            return False
        cert = (params["client_cert"], params["client_key"]) if params["client_cert"] else None
        options: dict[str, Any] = dict(
            client_cert=cert, ca_cert=params["ca_path"], verify=params["validate_certs"]
        )
        if params["tls_hostname"]:
            options["assert_hostname"] = params["tls_hostname"]
        return docker.tls.TLSConfig(**options)

    def call(
        self,
        method: str,
        path: str,
        attempt: str,
        body: Any | None = None,
        query: dict[str, Any] | None = None,
        version: str | None = None,
    ) -> Any:
        """One request; `attempt` completes the sentence 'Could not ...' if it fails."""
        url = self._url(path, version)
        try:
            answer = self._api.request(
                method, url, json=body, params=query, timeout=self._api.timeout
            )
        except self._no_answer as error:
            raise _unreachable(attempt, self.where, error) from error
        if answer.status_code >= 400:
            raise _failed(attempt, _message_of(answer.text), answer.status_code)
        return _document(attempt, answer.text) if answer.text.strip() else None

    def get(self, path: str, attempt: str, **query: Any) -> Any:
        return self.call(
            "GET", path, attempt, query={key: _as_query(value) for key, value in query.items()}
        )

    def each(self, path: str, attempt: str, **query: Any) -> Iterator[Any]:
        """The documents of a list, one by one: 20,000 tasks are 50 MB as text, and several times that as objects."""
        params = {key: _as_query(value) for key, value in query.items()}
        try:
            with self._api.request(
                "GET", self._url(path), params=params, timeout=self._api.timeout, stream=True
            ) as answer:
                if answer.status_code >= 400:
                    raise _failed(attempt, _message_of(answer.text), answer.status_code)
                yield from elements(answer.iter_content(65536))
        except self._no_answer as error:
            raise _unreachable(attempt, self.where, error) from error
        except ValueError as error:
            raise _failed(attempt, f"{error}") from error

    def _url(self, path: str, version: str | None = None) -> str:
        return f"{self._api.base_url}/v{version or self._api.api_version}{path}"

    # The swarm

    def info(self) -> dict[str, Any]:
        return self.get("/info", "read the state of the engine")

    def swarm(self) -> dict[str, Any]:
        return self.get("/swarm", "read the swarm's settings")

    def init(self, body: dict[str, Any]) -> None:
        self.call("POST", "/swarm/init", "initialise a swarm", body)

    def join(self, body: dict[str, Any]) -> None:
        self.call("POST", "/swarm/join", "join the swarm", body)

    def leave(self, force: bool) -> None:
        self.call("POST", "/swarm/leave", "leave the swarm", query={"force": _as_query(force)})

    def unlock(self, key: str) -> None:
        self.call("POST", "/swarm/unlock", "unlock the swarm", {"UnlockKey": key})

    def update_swarm(self, version: int, spec: dict[str, Any]) -> None:
        query = {"version": version}
        self.call("POST", "/swarm/update", "change the swarm's settings", spec, query)

    # Nodes, services and what they use, tasks

    def nodes(self) -> list[dict[str, Any]]:
        return self.get("/nodes", "list the nodes")

    def node(self, node_id: str) -> dict[str, Any]:
        return self.get(f"/nodes/{node_id}", f"read node {node_id}")

    def update_node(self, node_id: str, version: int, spec: dict[str, Any]) -> None:
        query = {"version": version}
        self.call("POST", f"/nodes/{node_id}/update", f"change node {node_id}", spec, query)

    def remove_node(self, node_id: str) -> None:
        # By force: a node whose host has left is seen as ready for some heartbeats more.
        self.call("DELETE", f"/nodes/{node_id}", f"remove node {node_id}", query={"force": "true"})

    def services(self, **filters: Any) -> list[dict[str, Any]]:
        if filters:
            return self.get("/services", "list the services", filters=filters)
        return self.get("/services", "list the services")

    def update_service(
        self, service_id: str, version: int, spec: dict[str, Any], rollback: bool = False
    ) -> None:
        """Write a spec; with `rollback` the engine takes its own previous one instead of this."""
        # Credentials of a registry are not in a spec as it is read; this keeps those that are there.
        query: dict[str, Any] = {"version": version, "registryAuthFrom": "spec"}
        if rollback:
            query["rollback"] = "previous"
        attempt = f"change service {spec.get('Name') or service_id}"
        # Under an older version of the API the engine shows a spec whole, but takes it without what that version did not
        # know, such as sysctls (moby: api/server/router/swarm, adjustForAPIVersion).
        newest = self._api.api_version
        if self._pinned:
            newest = self.get("/version", "read the version of the engine")["ApiVersion"]
        self.call("POST", f"/services/{service_id}/update", attempt, spec, query, newest)

    def create(self, kind: str, spec: dict[str, Any]) -> str:
        """Create a service, secret, config or network, and return its ID."""
        attempt = f"create {kind} {spec.get('Name')}"
        made = self.call("POST", f"/{kind}s/create", attempt, spec)
        return str(made.get("ID") or made.get("Id"))

    def relabel(self, kind: str, document: dict[str, Any], labels: dict[str, str]) -> None:
        """Give a secret or config other labels; nothing else of it can be changed."""
        spec, query = document["Spec"], {"version": document["Version"]["Index"]}
        attempt = f"change the labels of {kind} {spec['Name']}"
        path = f"/{kind}s/{document['ID']}/update"
        self.call("POST", path, attempt, {**spec, "Labels": labels}, query)

    def remove(self, kind: str, object_id: str, name: str) -> None:
        """Remove a service, secret, config or network."""
        self.call("DELETE", f"/{kind}s/{object_id}", f"remove {kind} {name}")

    def networks(self) -> list[dict[str, Any]]:
        return self.get("/networks", "list the networks")

    def tasks(self, **filters: Any) -> list[dict[str, Any]]:
        if filters:
            return self.get("/tasks", "list the tasks", filters=filters)
        return self.get("/tasks", "list the tasks")


def _as_query(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return json.dumps(
            {key: item if isinstance(item, list) else [item] for key, item in value.items()}
        )
    return value


def _message_of(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text or "no reason given"


def _document(attempt: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise SwarmError(
            "engine_error",
            f"Could not {attempt}: what answers is no Docker engine, for it does not speak JSON; correct docker_host.",
        ) from error


def elements(chunks: Iterable[bytes]) -> Iterator[Any]:
    """The elements of a JSON list of objects, each as soon as its last byte is there."""
    decoder = json.JSONDecoder()
    text = codecs.getincrementaldecoder("utf-8")()
    buffer, at, inside = "", 0, False
    for chunk in chunks:
        buffer, at = buffer[at:] + text.decode(chunk), 0
        while True:
            while at < len(buffer) and buffer[at] in " \t\r\n,":
                at += 1
            if not inside and buffer[at : at + 1] == "[":
                inside, at = True, at + 1
            elif (not inside and buffer[at : at + 4] == "null") or buffer[at : at + 1] == "]":
                return
            else:
                try:
                    element, at = decoder.raw_decode(buffer, at)
                except ValueError:
                    break  # it goes on in the next chunk
                yield element
    raise ValueError("the answer ends in the middle of a list")


class _Answer:
    """What an engine answers to a GET, over HTTP/1.0: it ends where the engine closes the connection.

    The limit is for the question and all of its answer: without it, each piece of a slow answer would have its own. The
    standard library's own client would do, but importing that takes longer than all that is read from a host.
    """

    def __init__(self, socket_path: str, path: str, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(seconds)
        try:
            self._socket.connect(socket_path)
            self._socket.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            head, self._begun = b"", b""
            while b"\r\n\r\n" not in head:
                piece = self._receive()
                if not piece or len(head) > _LONGEST_HEAD:
                    raise ConnectionError("closed before it answered")
                head += piece
            head, _end, self._begun = head.partition(b"\r\n\r\n")
            status = re.match(rb"HTTP/1\.\d (\d{3})\b", head)
            if status is None:
                raise ConnectionError("this is not HTTP")
            self.status = int(status.group(1))
            length = re.search(rb"^content-length: *(\d+)", head, re.IGNORECASE | re.MULTILINE)
            self._left = int(length.group(1)) if length else None
        except BaseException:
            self.close()
            raise

    def pieces(self) -> Iterator[bytes]:
        piece = self._begun
        while piece or self._left != 0:
            if self._left is not None:
                self._left -= len(piece)
            yield piece
            if self._left is not None and self._left <= 0:
                return
            piece = self._receive()
            if not piece:
                break
        if self._left:
            raise ConnectionError("closed in the middle of its answer")

    def read(self) -> str:
        return b"".join(self.pieces()).decode("utf-8", "replace")

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> bytes:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self._socket.settimeout(left)
        return self._socket.recv(65536)


class EngineReader:
    """GET and nothing else, over the unix socket, without the SDK."""

    def __init__(self, docker_host: str, timeout: float) -> None:
        if not docker_host.startswith("unix://"):
            raise SwarmError(
                "not_a_socket",
                f"Could not observe the engine at {docker_host}: a host is observed through its own unix"
                " socket. Set docker_host to a unix:// address on that host.",
            )
        self.where = docker_host
        self._path = docker_host[len("unix://") :]
        self._timeout = timeout

    def get(self, path: str, attempt: str, **query: Any) -> Any:
        with self._asked(_with_query(path, query), attempt, self._timeout) as answer:
            text = answer.read()
        return _document(attempt, text)

    def each(self, path: str, attempt: str, **query: Any) -> Iterator[Any]:
        """As EngineClient does it."""
        with self._asked(_with_query(path, query), attempt, self._timeout) as answer:
            try:
                yield from elements(answer.pieces())
            except ValueError as error:
                raise _failed(attempt, f"{error}") from error

    def ping(self, seconds: float) -> None:
        """Raise unless the engine answers within this time. A live engine does so whatever its swarm is busy with."""
        with self._asked("/_ping", "talk to the engine", seconds) as answer:
            answer.read()

    @contextlib.contextmanager
    def _asked(self, path: str, attempt: str, seconds: float) -> Iterator[_Answer]:
        """The answer to a request, of which every failure to come is a SwarmError."""
        try:
            with contextlib.closing(_Answer(self._path, path, seconds)) as answer:
                if answer.status >= 400:
                    raise _failed(attempt, _message_of(answer.read()), answer.status)
                yield answer
        except socket.timeout as error:
            raise SwarmError(
                "no_answer",
                f"Could not {attempt}: the engine at {self.where} does not answer within {seconds:g} s. See"
                " whether it or its containerd hangs (journalctl -u docker), and restart it.",
            ) from error
        except OSError as error:
            raise _unreachable(attempt, self.where, error) from error

    def log(self, task_id: str, lines: int, seconds: float) -> bytes:
        """The end of a task's log as it comes, or what of it came in time: its node may not answer."""
        found = b""
        path = f"/tasks/{task_id}/logs?stdout=1&stderr=1&tail={lines}"
        with (
            contextlib.suppress(OSError),
            contextlib.closing(_Answer(self._path, path, seconds)) as answer,
        ):
            for piece in answer.pieces() if answer.status == 200 else ():
                found += piece
                if len(found) >= _LONGEST_LOG:
                    break
        return found

    def info(self) -> dict[str, Any]:
        return self.get("/info", "read the state of the engine")

    def swarm(self) -> dict[str, Any]:
        return self.get("/swarm", "read the swarm's settings")

    def nodes(self) -> list[dict[str, Any]]:
        return self.get("/nodes", "list the nodes")


def _with_query(path: str, query: dict[str, Any]) -> str:
    text = urllib.parse.urlencode({key: _as_query(value) for key, value in query.items()})
    return f"{path}?{text}" if text else path


def client_for_reading(params: dict[str, Any]) -> EngineClient | EngineReader:
    """The SDK is only loaded where it takes it to get to the engine: that costs more than all that is read."""
    if params["docker_host"].startswith("unix://") and params["api_version"] == "auto":
        return EngineReader(params["docker_host"], params["timeout"])
    return EngineClient(params)
