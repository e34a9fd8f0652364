# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deploys many stacks with Docker's own command, without our code."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
import zlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule


def docker(*words: str, given: str = "") -> tuple[int, str]:
    done = subprocess.run(
        ["docker", *words],
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.strip()


def refusal(stack: dict[str, Any]) -> str:
    """Deploy it, remove it, and return what was said if it failed."""
    name, text = stack["name"], json.dumps({"version": "3.8", **stack["definition"]})
    with tempfile.TemporaryDirectory() as folder:
        for path, content in stack.get("files", {}).items():
            with open(os.path.join(folder, path), "wb") as file:
                file.write(base64.b64decode(content))
        path = os.path.join(folder, "stack.yml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        code, said = docker("stack", "deploy", "--resolve-image", "never", "-c", path, name)
    label = f"label=com.docker.stack.namespace={name}"
    for kind in ("service", "config", "secret", "network"):
        _code, ids = docker(kind, "ls", "-q", "--filter", label)
        if ids:
            docker(kind, "rm", *ids.split())
    return said or "no reason" if code else ""


def main() -> None:
    module = AnsibleModule(argument_spec=dict(stacks=dict(type="str", required=True)))
    stacks = json.loads(zlib.decompress(base64.b64decode(module.params["stacks"])))
    said = {stack["name"]: refusal(stack) for stack in stacks}
    module.exit_json(refused={name: words for name, words in said.items() if words})


if __name__ == "__main__":
    main()
