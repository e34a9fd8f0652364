# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The manager for the tests of stacks: many stacks in one module call, and the engine's own words."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import testinfra

HERE = Path(__file__).resolve().parent


class Manager:
    def __init__(self, inventory: str) -> None:
        self.inventory = inventory
        self.host = testinfra.get_host("ansible://m1", ansible_inventory=inventory)

    def sh(self, command: str) -> str:
        text: str = self.host.check_output(command)
        return text

    def engine(self, path: str) -> Any:
        """The engine's own words, without any code of ours in between."""
        return json.loads(
            self.sh(f"curl -sfg --unix-socket /var/run/docker.sock 'http://docker{path}'")
        )

    def stacks(self, stacks: list[dict[str, Any]], check: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = self._call("stacks_in_one_call", stacks, check)["stacks"]
        return found

    def at_once(self, stacks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The same, with a separate result for each entry, even if two entries are the same stack."""
        found: list[dict[str, Any]] = self._call("stacks_in_one_call", stacks)["in_order"]
        return found

    def by_the_cli(self, stacks: list[dict[str, Any]]) -> dict[str, str]:
        """What Docker's own command says when it cannot deploy them; each is removed again."""
        found: dict[str, str] = self._call("stacks_by_the_cli", stacks)["refused"]
        return found

    def _call(
        self, module: str, stacks: list[dict[str, Any]], check: bool = False
    ) -> dict[str, Any]:
        packed = base64.b64encode(zlib.compress(json.dumps(stacks).encode())).decode()
        command: list[Any] = [
            *(Path(sys.executable).with_name("ansible"), "m1", "-i", self.inventory),
            *("-M", HERE / "library", "-m", module),
            *("-a", f"stacks={packed}"),
            *(["--check"] if check else []),
        ]
        done = subprocess.run(
            command,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        found: dict[str, Any] = json.loads(done.stdout[done.stdout.index("=> ") + 3 :])
        return found

    def versions(self) -> dict[str, int]:
        return {
            f"{kind} {one['Spec']['Name']}": one["Version"]["Index"]
            for kind in ("services", "secrets", "configs")
            for one in self.engine(f"/{kind}")
        }
