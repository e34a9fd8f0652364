# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Something else changes a service while a deploy waits for it. The verdict is not about the changed service."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import drive

# Healthy only after more time than any test has.
SLOW = {
    "image": "registry.lab:5000/hello:1",
    "healthcheck": {"test": ["CMD", "true"], "interval": "5m"},
    "stop_grace_period": "1s",
}


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        ("docker service update -q -d --env-add SOMEBODY=else meanwhile_web", "overwritten"),
        ("docker service rm meanwhile_web", "gone"),
    ],
)
def test_what_somebody_else_does_is_named(command: str, cause: str) -> None:
    stack = {"version": "3.8", "services": {"web": SLOW}}
    try:
        with ThreadPoolExecutor() as at_once:
            deploy = at_once.submit(
                drive.module,
                "m1",
                "swarm_stack",
                name="meanwhile",
                definition=stack,
                wait_timeout=90,
            )
            there = "docker service ps --format '{{.CurrentState}}' meanwhile_web"
            while "Starting" not in drive.ssh("m1", there, check=False):
                assert not deploy.done(), deploy.result()
                time.sleep(0.3)
            drive.ssh("m1", command)
            result = deploy.result()
        (service,) = result["services"]
        assert service["cause"] == cause, result
        assert result["failure"]["code"] == "not_converged"
        assert result["changed"]
    finally:
        removed = drive.module("m1", "swarm_stack", name="meanwhile", state="absent")
        assert not removed.get("failed"), removed
