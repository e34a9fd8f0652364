# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The words for verdicts, statuses and what tasks do. Pure."""

from __future__ import annotations

from .._common.words import text
from .._health.picture import FAILED, OUTDATED, RUNNING, STARTING, UNHEARD, WAITING

VERDICT_WORDS = {
    "healthy": text("Healthy"),
    "degraded": text("Degraded"),
    "unknown": text("Unknown"),
    "failed": text("Failed"),
}
VERDICT_STATES = {"healthy": "good", "degraded": "warn", "unknown": "unsure", "failed": "bad"}
STATUS_WORDS = {
    "ok": text("ok"),
    "noted": text("noted"),
    "skipped": text("not checked"),
    "degraded": text("degraded"),
    "unknown": text("unknown"),
    "failed": text("failed"),
}
KIND_WORDS = {
    RUNNING: text("running"),
    OUTDATED: text("running, old version"),
    STARTING: text("starting"),
    WAITING: text("waiting for a node"),
    UNHEARD: text("on a node that does not answer"),
    FAILED: text("failed"),
}
