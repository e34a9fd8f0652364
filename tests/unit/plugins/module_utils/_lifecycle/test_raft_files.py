# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Raft logs as etcd writes them, and the other files of a node, made here and not by the code under test."""

from __future__ import annotations

import datetime
import json
import struct
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._health.certificate import subject
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.raft_files import (
    RaftPosition,
    peers_in,
    position_in,
    read_node,
    read_position,
)

CLUSTER, NODE = "vuimnu900ys1hf3yqn8q7avfn", "svcqeegapwo52psjq2k7ssmik"


def certificate() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    parts = (
        (NameOID.ORGANIZATION_NAME, CLUSTER),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "swarm-manager"),
        (NameOID.COMMON_NAME, NODE),
    )
    begin = datetime.datetime(2026, 1, 1)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(oid, value) for oid, value in parts]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "swarm-ca")]))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(90))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


CERTIFICATE = certificate()
CLEAR_KEY = "-----BEGIN PRIVATE KEY-----\nkek-version: 0\n\nAAAA\n-----END PRIVATE KEY-----\n"
SEALED_KEY = CLEAR_KEY.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")


def varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def record(kind: int, data: bytes) -> bytes:
    body = b"\x08" + varint(kind) + b"\x10" + varint(12345) + b"\x1a" + varint(len(data)) + data
    padding = -len(body) % 8
    length = len(body) | ((0x80 | padding) << 56 if padding else 0)
    return struct.pack("<Q", length) + body + bytes(padding)


def entry(term: int, index: int, data: bytes = b"secret" * 9) -> bytes:
    body = b"\x08\x00\x10" + varint(term) + b"\x18" + varint(index) + b"\x22" + varint(len(data))
    return record(2, body + data)


def state(term: int, commit: int) -> bytes:
    return record(3, b"\x08" + varint(term) + b"\x10" + varint(99) + b"\x18" + varint(commit))


HEAD = record(4, b"") + record(1, b"metadata") + record(5, b"\x08\x00\x10\x00")
SPACE = bytes(4096)


def test_a_log_ends_at_its_last_entry_and_its_last_state() -> None:
    log = HEAD + entry(2, 73) + state(2, 72) + entry(2, 74) + state(3, 74) + SPACE
    assert position_in(log) == RaftPosition(commit=74, term=3, index=74)


def test_an_entry_that_was_overwritten_does_not_count() -> None:
    log = HEAD + entry(2, 80) + state(2, 70) + entry(3, 71) + state(3, 71) + SPACE
    assert position_in(log) == RaftPosition(commit=71, term=3, index=71)


def test_a_new_segment_without_an_entry_keeps_that_of_the_one_before() -> None:
    before = position_in(HEAD + entry(2, 500) + state(2, 499) + SPACE)
    assert position_in(HEAD + state(2, 500) + SPACE, before) == RaftPosition(500, 2, 500)


@pytest.mark.parametrize("log", [b"", b"\x00" * 7, SPACE, b"no log at all", HEAD + SPACE])
def test_what_is_no_log_has_no_position(log: bytes) -> None:
    assert position_in(log) is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_raise(data: bytes) -> None:
    position_in(data)
    position_in(HEAD + entry(2, 73) + data)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 2**60), min_size=1, max_size=20), st.integers(0, 400))
def test_a_log_that_is_cut_off_is_never_newer(steps: list[int], gone: int) -> None:
    log, index = HEAD, 0
    for step in steps:
        index += step
        log += entry(step % 7 + 1, index) + state(9, index)
    whole, cut = position_in(log), position_in(log[: max(0, len(log) - gone)])
    assert whole == RaftPosition(index, 9, index)
    assert cut is None or cut.commit <= index


def test_the_files_of_a_manager(tmp_path: Path) -> None:
    write_node(tmp_path)
    found = read_node(str(tmp_path))
    assert found is not None
    assert found.cluster_id == CLUSTER
    assert found.node_id == NODE
    assert (found.manager, found.sealed, found.problem) == (True, True, None)
    assert found.raft == RaftPosition(73, 2, 73)
    assert found.peers == ({"node_id": "a", "addr": "192.0.2.11:2377"},)
    assert found.size_bytes > 0


def test_a_snapshot_that_is_newer_counts(tmp_path: Path) -> None:
    write_node(tmp_path)
    folder = tmp_path / "raft" / "snap-v3-encrypted"
    folder.mkdir()
    (folder / f"{4:016x}-{90:016x}.snap").write_bytes(b"x")
    (folder / "half.snap").write_bytes(b"x")
    assert read_position(str(tmp_path)) == RaftPosition(90, 4, 90)


def write_node(folder: Path, key: str = SEALED_KEY) -> None:
    (folder / "certificates").mkdir()
    (folder / "certificates" / "swarm-node.crt").write_text(CERTIFICATE)
    (folder / "certificates" / "swarm-node.key").write_text(key)
    (folder / "state.json").write_text(json.dumps([{"node_id": "a", "addr": "192.0.2.11:2377"}]))
    wal = folder / "raft" / "wal-v3-encrypted"
    wal.mkdir(parents=True)
    (wal / f"{0:016x}-{0:016x}.wal").write_bytes(HEAD + entry(2, 73) + state(2, 73) + SPACE)
    (wal / "0.tmp").write_bytes(SPACE)


def test_a_worker_is_no_manager(tmp_path: Path) -> None:
    write_node(tmp_path, CLEAR_KEY)
    for path in sorted((tmp_path / "raft").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (tmp_path / "raft").rmdir()
    found = read_node(str(tmp_path))
    assert found is not None
    assert (found.manager, found.sealed, found.raft) == (False, False, None)


def test_a_host_in_no_swarm_has_no_files(tmp_path: Path) -> None:
    assert read_node(str(tmp_path)) is None
    assert read_node(str(tmp_path / "missing")) is None


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("certificates/swarm-node.crt", "its certificate cannot be read"),
        ("certificates/swarm-node.key", "its key file is damaged"),
        (
            "raft/wal-v3-encrypted/0000000000000000-0000000000000000.wal",
            "its raft log cannot be read",
        ),
    ],
)
def test_what_is_damaged_is_named(tmp_path: Path, path: str, problem: str) -> None:
    write_node(tmp_path)
    (tmp_path / path).write_text("")
    found = read_node(str(tmp_path))
    assert found is not None
    assert found.manager
    assert found.problem == problem


@pytest.mark.parametrize("text", ["", "{", "{}", "7", "null", '[{"addr": "x"}]', "[1]"])
def test_managers_that_cannot_be_read_are_none(text: str) -> None:
    assert peers_in(text) == ()


def test_the_subject_of_a_certificate() -> None:
    assert subject(CERTIFICATE) == {"O": CLUSTER, "OU": "swarm-manager", "CN": NODE}
    assert subject("") == {}


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 700), st.text("ABCxyz019+/=", max_size=3))
def test_no_certificate_raises(place: int, put: str) -> None:
    subject(CERTIFICATE[:place] + put + CERTIFICATE[place + 1 :])
