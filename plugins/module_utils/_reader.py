# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What the engine says, read over its socket with the standard library alone, and its refusals and silences in words.

A host is observed before the SDK is installed on it, and observing is what every run pays for on every host (importing
the SDK costs three times what the whole reading does).
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


def failed(attempt: str, text: str, status: int | None = None) -> SwarmError:
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


def unreachable(attempt: str, where: str, error: BaseException) -> SwarmError:
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


def as_query(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return json.dumps(
            {key: item if isinstance(item, list) else [item] for key, item in value.items()}
        )
    return value


def message_of(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text or "no reason given"


def document_of(attempt: str, text: str) -> Any:
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
        return document_of(attempt, text)

    def each(self, path: str, attempt: str, **query: Any) -> Iterator[Any]:
        """As EngineClient does it."""
        with self._asked(_with_query(path, query), attempt, self._timeout) as answer:
            try:
                yield from elements(answer.pieces())
            except ValueError as error:
                raise failed(attempt, f"{error}") from error

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
                    raise failed(attempt, message_of(answer.read()), answer.status)
                yield answer
        except socket.timeout as error:
            raise SwarmError(
                "no_answer",
                f"Could not {attempt}: the engine at {self.where} does not answer within {seconds:g} s. See"
                " whether it or its containerd hangs (journalctl -u docker), and restart it.",
            ) from error
        except OSError as error:
            raise unreachable(attempt, self.where, error) from error

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
    text = urllib.parse.urlencode({key: as_query(value) for key, value in query.items()})
    return f"{path}?{text}" if text else path
