# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Serves the layers of images to other hosts: prepares the folder, and starts and stops the service of `serve`."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from .._common.errors import SwarmError, failure_of
from .._common.waiting import Clock, poll
from .._host.files import write_whole
from .archive import LayerFolder, read_archive
from .engine import ImageStore
from .folders import RUN, SPOOL, prepare, require_space
from .serve import listens

UNIT = "flotilla-ship.service"
_SETTINGS, _CODE, _CERTIFICATE, _KEY = (
    f"{RUN}/{name}" for name in ("serve.json", "serve.pyz", "server.crt", "server.key")
)
# Seconds: until it listens; until an earlier one has ended by itself (serve.py, _IDLE).
_START, _TURN = 20.0, 150.0

# A command and its (exit code, output, errors).
Runner = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class Served:
    """What the other hosts need."""

    port: int
    fingerprint: str  # of its certificate


def start(
    run: Runner,
    store: ImageStore,
    code: bytes,
    python: str,
    names: Sequence[str],
    layers: Mapping[str, int],
    token: str,
    port: int,
    longest: int,
    clock: Clock | None = None,
) -> Served:
    """Serve these layers, given with their sizes, for `longest` seconds at most. What is not in the folder comes from the engine.

    Raises busy, no_space, openssl_failed, serve_failed, bad_archive, and the failures of the engine.
    """
    _wait_for_turn(run, clock)
    folder = LayerFolder(SPOOL)
    try:
        prepare()
        folder.keep(layers)
        missing = set(layers) - folder.present().keys()
        if missing:
            require_space(SPOOL, sum(layers[each] for each in missing), "serve the images")
            with store.save(names) as stream:
                read_archive(stream, "the images of this host", folder, missing)
            absent = missing - folder.present().keys()
            if absent:
                raise SwarmError(
                    "serve_failed",
                    f"Could not serve the images: the engine of this host does not have {len(absent)} of their layers. Run again.",
                )
        fingerprint = _make_certificate(run)
        write_whole(_CODE, code)
        write_whole(
            _SETTINGS,
            json.dumps(
                {
                    "port": port,
                    "folder": SPOOL,
                    "certificate": _CERTIFICATE,
                    "key": _KEY,
                    "token_sha256": hashlib.sha256(f"Bearer {token}".encode()).hexdigest(),
                }
            ).encode(),
        )
    except OSError as error:
        raise failure_of("serve the images", error) from error
    _start_unit(run, python, port, longest, clock)
    return Served(port, fingerprint)


def is_there(run: Runner) -> bool:
    """Whether the service or a part of it is on this host."""
    return os.path.isdir(RUN) or os.path.isdir(SPOOL) or _is_active(run)


def stop(run: Runner) -> None:
    """End the service and remove its folders."""
    run(["systemctl", "stop", "--", UNIT])
    for path in (RUN, SPOOL):
        shutil.rmtree(path, ignore_errors=True)


def _wait_for_turn(run: Runner, clock: Clock | None) -> None:
    """A service of a run that was killed ends when nobody asks it any more. That of another run ends with it."""
    _seen, free = poll(lambda: not _is_active(run), bool, _TURN, 2.0, clock)
    if not free:
        raise SwarmError(
            "busy",
            f"Could not serve the images: another run serves images from this host. Wait until it has ended (systemctl status {UNIT}),"
            " and run again.",
        )


def _is_active(run: Runner) -> bool:
    return run(["systemctl", "is-active", "--", UNIT])[1].strip() in ("active", "activating")


def _make_certificate(run: Runner) -> str:
    """A key and a certificate for this run alone; the fingerprint of the certificate."""
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    more = ["-nodes", "-days", "2", "-subj", "/CN=flotilla-ship", "-keyout", _KEY]
    before = os.umask(0o077)
    try:
        code, _output, errors = run([*words, *more, "-out", _CERTIFICATE])
    finally:
        os.umask(before)
    if code:
        last = (errors.strip().splitlines() or ["it is missing"])[-1]
        raise SwarmError(
            "openssl_failed",
            f"Could not make a certificate for this run: openssl: {last.rstrip('.')}. Install openssl on this host.",
        )
    output = run(["openssl", "x509", "-in", _CERTIFICATE, "-noout", "-fingerprint", "-sha256"])[1]
    return output.strip().partition("=")[2].replace(":", "").lower()


def _start_unit(run: Runner, python: str, port: int, longest: int, clock: Clock | None) -> None:
    run(["systemctl", "reset-failed", "--", UNIT])
    properties: dict[str, Any] = {
        "RuntimeMaxSec": longest,
        "ExecStopPost": f"/bin/rm -rf {RUN} {SPOOL}",
        "MemoryMax": "512M",
        "NoNewPrivileges": "yes",
        "UMask": "0077",
    }
    words = ["systemd-run", "--quiet", "--collect", f"--unit={UNIT}"]
    words += [f"--property={name}={value}" for name, value in properties.items()]
    code, _output, errors = run([*words, "--", python, "-I", _CODE, _SETTINGS])
    problem = errors.strip().rstrip(".")
    if not code:
        # Something else at the port would answer too, and the unit would have ended.
        _seen, there = poll(lambda: not _is_active(run) or listens(port), bool, _START, 0.1, clock)
        if there and _is_active(run):
            return
        problem = _last_line(run) or f"it does not listen at port {port}"
    raise SwarmError(
        "serve_failed",
        f"Could not serve the images: {problem}. Check that port {port} of this host is free, or set swarm_ship_port.",
    )


def _last_line(run: Runner) -> str:
    words = ["journalctl", "-u", UNIT, "-n", "30", "-o", "cat", "--no-pager"]
    lines: Iterable[str] = run(words)[1].splitlines()
    errors = [line for line in lines if "Error" in line]
    return errors[-1].strip().rstrip(".") if errors else ""
