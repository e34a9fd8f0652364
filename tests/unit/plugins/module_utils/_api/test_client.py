# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A log of a task is read in bounded time, whatever its node does."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._api.client import client_for_reading
from ansible_collections.flotilla.swarm.plugins.module_utils._api.reader import (
    _LONGEST_LOG,
    EngineReader,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
PIECE = b"abc"


@contextlib.contextmanager
def engine(path: Path, answer: Callable[[socket.socket], object]) -> Iterator[EngineReader]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = listener.accept()
                with connection:
                    connection.recv(65536)
                    answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield EngineReader(f"unix://{path}", 60)
    finally:
        # It ends what waits for a connection, which closing does not.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def hold(connection: socket.socket) -> None:
    """What has been sent is not all: the connection stays open."""
    connection.sendall(HEAD + PIECE)
    time.sleep(0.5)


def drip(connection: socket.socket) -> None:
    connection.sendall(HEAD)
    with contextlib.suppress(OSError):
        for _number in range(100):
            connection.sendall(PIECE)
            time.sleep(0.02)


@pytest.mark.parametrize(
    ("answer", "most"),
    [
        (lambda connection: connection.sendall(HEAD + PIECE), 3),
        (hold, 3),
        (lambda connection: connection.sendall(HEAD), 0),
        (lambda connection: None, 0),
        (lambda connection: time.sleep(0.5), 0),
        (lambda connection: connection.sendall(b"nonsense\r\n\r\n"), 0),
        (
            lambda connection: connection.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\n{}"),
            0,
        ),
        (drip, 300),
    ],
)
def test_a_log_takes_no_longer_than_it_may(
    tmp_path: Path, answer: Callable[[socket.socket], object], most: int
) -> None:
    with engine(tmp_path / "s", answer) as reader:
        started = time.monotonic()
        found = reader.log("t1", 5, 0.3)
        assert time.monotonic() - started < 1
    assert len(found) <= most
    assert found == b"abc" * (len(found) // 3)
    if most == 3:
        assert found


def test_a_log_is_no_longer_than_it_may(tmp_path: Path) -> None:
    big = b"x" * 0x10000

    def flood(connection: socket.socket) -> None:
        connection.sendall(HEAD)
        with contextlib.suppress(OSError):
            for _number in range(20):
                connection.sendall(big)

    with engine(tmp_path / "s", flood) as reader:
        assert _LONGEST_LOG <= len(reader.log("t1", 5, 5)) <= 2 * _LONGEST_LOG


def test_no_engine_is_no_log(tmp_path: Path) -> None:
    assert EngineReader(f"unix://{tmp_path / 'none'}", 60).log("t1", 5, 1) == b""


def test_an_answer_that_comes_in_drops_has_a_limit_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    began = time.monotonic()
    slow = EngineReader(f"unix://{path}", 60)
    with engine(path, drip), pytest.raises(SwarmError, match="does not answer within") as failure:
        slow.ping(0.4)
    assert failure.value.code == "no_answer"
    assert time.monotonic() - began < 2


def test_an_engine_that_is_not_there_is_another_case(tmp_path: Path) -> None:
    with pytest.raises(SwarmError) as failure:
        EngineReader(f"unix://{tmp_path / 'none.sock'}", 60).ping(5)
    assert failure.value.code == "engine_unreachable"


def answers(body: bytes, length: int | None = None) -> Callable[[socket.socket], object]:
    """An answer in two pieces, with a line's end after it."""

    def answer(connection: socket.socket) -> None:
        half = len(body) // 2
        size = b"" if length is None else b"Content-Length: %d\r\n" % length
        connection.sendall(b"HTTP/1.0 200 OK\r\n" + size + b"\r\n" + body[:half])
        time.sleep(0.01)
        connection.sendall(body[half:] + b"\n")

    return answer


def test_a_list_is_read_one_by_one(tmp_path: Path) -> None:
    with engine(tmp_path / "s", answers(b'[{"ID": "a"}, {"ID": "b"}]')) as reader:
        for _twice in range(2):
            listed = list(
                reader.each("/tasks", "list the tasks", filters={"_up-to-date": ["true"]})
            )
            assert listed == [{"ID": "a"}, {"ID": "b"}]


@pytest.mark.parametrize("length", [None, 14])
def test_an_answer_ends_with_the_connection_or_as_long_as_it_says(
    tmp_path: Path, length: int | None
) -> None:
    with engine(tmp_path / "s", answers(b'{"Name": "ab"}', length)) as reader:
        assert reader.get("/info", "read the state of the engine") == {"Name": "ab"}


def test_an_answer_that_is_cut_short_is_none(tmp_path: Path) -> None:
    with (
        engine(tmp_path / "s", answers(b'{"Name": "ab"}', 100)) as reader,
        pytest.raises(SwarmError, match="closed the connection") as failure,
    ):
        reader.get("/info", "read the state of the engine")
    assert failure.value.code == "engine_unreachable"


def test_a_list_that_ends_too_early_is_a_failure_in_words(tmp_path: Path) -> None:
    with (
        engine(tmp_path / "s", answers(b'[{"ID": "a"}, ')) as reader,
        pytest.raises(SwarmError, match=r"Could not list the tasks: .*ends in the middle"),
    ):
        list(reader.each("/tasks", "list the tasks"))


@pytest.mark.parametrize(
    ("docker_host", "api_version"), [("tcp://127.0.0.1:1", "auto"), ("unix:///nowhere", "1.40")]
)
def test_what_the_standard_library_cannot_do_is_read_with_the_sdk(
    docker_host: str, api_version: str
) -> None:
    given = {"docker_host": docker_host, "api_version": api_version, "timeout": 1}
    plain = {**given, "docker_host": "unix:///nowhere", "api_version": "auto"}
    assert isinstance(client_for_reading(plain), EngineReader)
    with pytest.raises((SwarmError, KeyError)) as caught:
        client_for_reading(given)
    # Without the options of TLS the client gets no further than there.
    assert getattr(caught.value, "code", "no_sdk") == "no_sdk"
