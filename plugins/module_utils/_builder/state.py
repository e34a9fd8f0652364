# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a builder remembers on its host: its settings, the state of each source, and what playbooks ask for."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .._common.errors import SwarmError
from .._host.files import names_in, read, write_whole
from .plan import Build, Memory, parse_record
from .settings import CONFIG, KEYS, STATE_DIR, Settings, parse_settings
from .sources import NAME
from .work import Local

_STATE = f"{STATE_DIR}/state.json"
_REQUESTS = f"{STATE_DIR}/requests"


@dataclass(frozen=True)
class Row:
    """The state of a source on this builder."""

    state: str = ""  # built, failed, unchanged, waiting, building, error or invalid
    cause: str = ""
    since: float = 0.0
    head: str = ""  # the newest commit
    log: str = ""
    build: Build | None = None  # the latest that came to an end, on any builder
    request: str = ""  # the last one that was answered
    memory: Memory = field(default_factory=Memory)
    local: Local = field(default_factory=Local)


def load_settings() -> Settings:
    """The settings as the role has written them; raises not_installed or bad_option."""
    text = read(CONFIG)
    if text is None:
        raise SwarmError(
            "not_installed",
            f"Could not read the settings of the builder: this host has no {CONFIG} that can be read. Run the role"
            " flotilla.swarm.swarm_builder on it, and this as root.",
        )
    try:
        return parse_settings(json.loads(text))
    except ValueError:
        raise SwarmError(
            "bad_option",
            f"Could not read the settings of the builder: {CONFIG} is damaged. Run the role flotilla.swarm.swarm_builder again.",
        ) from None


def keys_present() -> list[str]:
    """The paths of the keys that this host has."""
    return [os.path.join(place, name) for place, _folders, names in os.walk(KEYS) for name in names]


def load_rows() -> dict[str, Row]:
    """The state of each source; of what cannot be read, nothing, so that it is found again."""
    try:
        found = json.loads(read(_STATE) or b"{}")
        return {str(name): parse_row(row) for name, row in found.items()}
    except (ValueError, AttributeError, TypeError):
        return {}


def save_rows(rows: Mapping[str, Row]) -> None:
    """Write the state of all sources."""
    os.makedirs(STATE_DIR, mode=0o700, exist_ok=True)
    text = json.dumps({name: asdict(row) for name, row in rows.items()}, sort_keys=True)
    write_whole(_STATE, text.encode())


def parse_row(found: Mapping[str, Any]) -> Row:
    """A row as it is written. Pure."""
    memory = found.get("memory") or {}
    local = found.get("local") or {}
    return Row(
        state=str(found.get("state") or ""),
        cause=str(found.get("cause") or ""),
        since=float(found.get("since") or 0.0),
        head=str(found.get("head") or ""),
        log=str(found.get("log") or ""),
        build=parse_record(found.get("build")),
        request=str(found.get("request") or ""),
        memory=Memory(
            str(memory.get("handled") or ""),
            str(memory.get("seen") or ""),
            float(memory.get("seen_at") or 0.0),
            int(memory.get("failures") or 0),
            float(memory.get("not_before") or 0.0),
        ),
        local=Local(
            tuple(map(str, local.get("names") or ())), tuple(map(str, local.get("images") or ()))
        ),
    )


# What playbooks ask for: a file for each source, which is there until it is answered


def write_request(source: str, request: str) -> None:
    """Ask for a build of a source."""
    os.makedirs(_REQUESTS, mode=0o700, exist_ok=True)
    write_whole(os.path.join(_REQUESTS, source), request.encode())


def requests() -> dict[str, str]:
    """What is asked for, by source."""
    found = {}
    for name in names_in(_REQUESTS):
        if re.fullmatch(NAME, name):
            found[name] = (read(os.path.join(_REQUESTS, name)) or b"").decode(errors="replace")
    return found


def answered(source: str, request: str) -> None:
    """Remove a request, unless another one has taken its place."""
    if requests().get(source) == request:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(_REQUESTS, source))
