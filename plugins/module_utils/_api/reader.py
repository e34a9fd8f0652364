# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""A connection to read from the engine over its socket, with the standard library alone, and the failures of any connection.

A host is observed before the SDK is installed on it, and in every run; importing the SDK takes three times as long as
reading everything.
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

from .._common.errors import SwarmError

# Error texts of the engine, and the code of each. They are the same from 20.10 to 28 (moby: daemon/cluster/errors.go,
# swarmkit: manager/state/raft/raft.go).
_ERROR_CODES = (
    ("is not a swarm manager", "not_manager"),
    ("is not part of a swarm", "not_in_swarm"),
    ("needs to be unlocked", "locked"),
    ("does not have a leader", "no_quorum"),
    ("lost quorum", "no_quorum"),
    ("no cluster leader", "no_quorum"),
    ("update out of sequence", "out_of_sequence"),
    # A leader that is not one any more, or in which a write is stuck: it steps down after 30 s (swarmkit:
    # manager/state/raft/raft.go, "data store lock held too long").
    ("code = DeadlineExceeded", "timeout"),
    ("code = Aborted", "timeout"),
    ("lost leader status", "timeout"),
    ("already part of a swarm", "already_in_swarm"),
    # For networks, engines before 25 have another status.
    ("already exists", "conflict"),
)

_NOT_FOUND = re.compile(r"(network|service|secret|config|node) \S+ not found$")

# Bytes: a line of a log can have any length.
_LONGEST_LOG = 65536
_LONGEST_HEAD = 65536

# The same in our words, with what to do; the engine's own have four sentences of advice for the CLI.
_MEANING = {
    "not_manager": "this host is not a manager; run it on a manager of the swarm",
    "not_in_swarm": "this host is in no swarm; run it on a manager of the swarm",
    "locked": "its swarm is locked; unlock it on that host first (docker swarm unlock)",
    "no_quorum": "the swarm has lost its quorum; bring managers back until more than half of them answer",
    "timeout": "the managers did not agree on it in time; check that they have a quorum, and run again",
    "out_of_sequence": "something else changed it at the same time (update out of sequence); run again",
}


def code_of(text: str, status: int | None = None) -> str:
    """The failure code for an error text of the engine, and for the status of its answer; engine_error for unknown ones."""
    for words, code in _ERROR_CODES:
        if words in text:
            return code
    # What is removed at the same moment is reported as missing with another status (seen with 20.10).
    if _NOT_FOUND.match(text.strip()):
        return "not_found"
    return {404: "not_found", 409: "conflict"}.get(status or 0, "engine_error")


def failed(attempt: str, text: str, status: int | None = None) -> SwarmError:
    """The failure of a request that the engine refused, given its words and the status of its answer."""
    code = code_of(text, status)
    reason = _MEANING.get(code) or f"the engine says: {text.strip().rstrip('.')}"
    return SwarmError(code, f"Could not {attempt}: {reason}.", status=status, engine=text.strip())


# Why no engine answers, by the first of these exceptions among the causes, and what to do.
_START_IT = "check that the engine runs there"
_SILENCES: tuple[tuple[type[BaseException], str, str], ...] = (
    (PermissionError, "this user cannot open it", "run the task as root (become: true)"),
    (FileNotFoundError, "there is no such socket", _START_IT),
    (ConnectionRefusedError, "nothing listens there", _START_IT),
    (socket.gaierror, "its host name cannot be resolved", "correct docker_host"),
    (socket.timeout, "it does not answer in time", _START_IT),
    (ConnectionError, "it closed the connection", "check that docker_host and tls fit the engine"),
)


def unreachable(attempt: str, where: str, error: BaseException) -> SwarmError:
    """The failure, engine_unreachable, of a request that nothing answered at this address."""
    why, advice = _silence(error)
    return SwarmError(
        "engine_unreachable",
        f"Could not {attempt}: no engine answers at {where} ({why}); {advice}.",
    )


def _silence(error: BaseException) -> tuple[str, str]:
    """Why nothing answered, and what to do. Libraries wrap the system's error in their own, whose texts are for programmers."""
    causes = list(_causes(error))
    # It is imported if there was an error of TLS; importing it here would double the imports of a reader.
    tls = sys.modules.get("ssl")
    if tls is not None and any(isinstance(cause, tls.SSLError) for cause in causes):
        return "TLS fails", "check tls, validate_certs and the certificates"
    for kind, why, advice in _SILENCES:
        if any(isinstance(cause, kind) for cause in causes):
            return why, advice
    if any("timed out" in str(cause) for cause in causes):
        return "it does not answer in time", _START_IT
    texts = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    return (texts or [str(error)])[0].partition("\n")[0].rstrip("."), _START_IT


def _causes(error: object, depth: int = 6) -> Iterator[BaseException]:
    if not isinstance(error, BaseException) or depth == 0:
        return
    yield error
    inner = (*error.args, getattr(error, "reason", None), error.__cause__, error.__context__)
    for cause in inner:
        yield from _causes(cause, depth - 1)


def as_query(value: Any) -> Any:
    """A value as a query of the engine's API has it: filters are JSON, with a list for each."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return json.dumps(
            {key: item if isinstance(item, list) else [item] for key, item in value.items()}
        )
    return value


def message_of(text: str) -> str:
    """The engine's words in the body of an error."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text or "no reason given"


def document_of(attempt: str, text: str) -> Any:
    """The document in the body of an answer; raises engine_error if it is not JSON."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise SwarmError(
            "engine_error",
            f"Could not {attempt}: the answer is not JSON, so it does not come from Docker Engine; correct docker_host.",
        ) from error


def elements(chunks: Iterable[bytes]) -> Iterator[Any]:
    """The elements of a JSON list of objects, each as soon as it is complete; raises ValueError if the list is not."""
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
                    break  # it continues in the next chunk
                yield element
    raise ValueError("the answer ends in the middle of a list")


class _Answer:
    """The answer of an engine to a GET over HTTP/1.0, which ends where the engine closes the connection.

    `seconds` is for the request and the whole answer, not for each piece of it. The client of the standard library has no
    such limit, and importing it takes longer than reading everything.
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
        """The body as it arrives; raises ConnectionError if it is cut off."""
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
        """The body as text."""
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
    """A connection for GET requests over a unix socket, without the SDK; `timeout` is in seconds.

    Every error is a SwarmError, with a code of `code_of`, engine_unreachable, no_answer, or, for another address, not_a_socket.
    """

    def __init__(self, docker_host: str, timeout: float) -> None:
        if not docker_host.startswith("unix://"):
            raise SwarmError(
                "not_a_socket",
                f"Could not observe the engine at {docker_host}: a host is observed through its own unix socket. Set docker_host"
                " to a unix:// address on that host.",
            )
        self.where = docker_host
        self._path = docker_host[len("unix://") :]
        self._timeout = timeout

    def get(self, path: str, attempt: str, **query: Any) -> Any:
        """The document at a path; `attempt` completes 'Could not ...' if that fails."""
        with self._asked(_with_query(path, query), attempt, self._timeout) as answer:
            text = answer.read()
        return document_of(attempt, text)

    def each(self, path: str, attempt: str, **query: Any) -> Iterator[Any]:
        """The documents of a list, one by one."""
        with self._asked(_with_query(path, query), attempt, self._timeout) as answer:
            try:
                yield from elements(answer.pieces())
            except ValueError as error:
                raise failed(attempt, f"{error}") from error

    def ping(self, seconds: float) -> None:
        """Raise unless the engine answers within this time. A live engine does, whatever its swarm is busy with."""
        with self._asked("/_ping", "talk to the engine", seconds) as answer:
            answer.read()

    @contextlib.contextmanager
    def _asked(self, path: str, attempt: str, seconds: float) -> Iterator[_Answer]:
        """The answer to a request; in this context every failure is a SwarmError."""
        try:
            with contextlib.closing(_Answer(self._path, path, seconds)) as answer:
                if answer.status >= 400:
                    raise failed(attempt, message_of(answer.read()), answer.status)
                yield answer
        except socket.timeout as error:
            raise SwarmError(
                "no_answer",
                f"Could not {attempt}: the engine at {self.where} does not answer within {seconds:g} s. Check whether it or its"
                " containerd hangs (journalctl -u docker), and restart it.",
            ) from error
        except OSError as error:
            raise unreachable(attempt, self.where, error) from error

    def log(self, task_id: str, lines: int, seconds: float) -> bytes:
        """The last lines of a task's log, raw, as far as they arrive in this time: its node may not answer."""
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
        """What the engine reports about itself."""
        return self.get("/info", "read the state of the engine")

    def swarm(self) -> dict[str, Any]:
        """The swarm, with its spec, its version and its join tokens."""
        return self.get("/swarm", "read the swarm's settings")

    def nodes(self) -> list[dict[str, Any]]:
        """All nodes."""
        return self.get("/nodes", "list the nodes")


def _with_query(path: str, query: dict[str, Any]) -> str:
    text = urllib.parse.urlencode({key: as_query(value) for key, value in query.items()})
    return f"{path}?{text}" if text else path
