#!/usr/bin/python

# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine_config
short_description: Write the Docker engine's configuration files
description:
  - Does in one call what the role P(flotilla.swarm.docker_engine#role) has planned for C(daemon.json), the systemd
    drop-in with the proxies and the CA certificates of registries.
  - C(daemon.json) is validated by C(dockerd --validate) before it replaces the old one, where the engine has that (23.0
    and newer). The old file is kept until an engine has come up with the new one,
    see M(flotilla.swarm.docker_engine_restart).
extends_documentation_fragment:
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: partial
    details: Of C(daemon.json). Other files may hold credentials and are named only.
  idempotent:
    support: full
options:
  daemon:
    description: All that C(daemon.json) shall hold. Not set leaves the file alone.
    type: dict
  write:
    description: Other files to write, the content by path.
    type: dict
    default: {}
  remove:
    description: Files to remove.
    type: list
    elements: path
    default: []
  restart:
    description: Whether the running engine has to be restarted for it. This is noted on the host, until it is done.
    type: bool
    default: false
  reload:
    description: Whether the running engine is told to read C(daemon.json) again.
    type: bool
    default: false
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Rotate the logs of containers
  flotilla.swarm.docker_engine_config:
    daemon:
      log-opts:
        max-size: 10m
        max-file: "3"
    restart: true
"""

RETURN = r"""
files:
  description: The files that were, or would be, written or removed.
  type: list
  elements: str
  returned: always
  sample: [/etc/docker/daemon.json]
validated:
  description: Whether the engine itself has validated C(daemon.json).
  type: bool
  returned: always
failure:
  description: What went wrong, for machines. RV(ignore:code) never changes for the same cause.
  type: dict
  returned: failure
  sample: {code: bad_daemon_config, details: {}}
"""

import contextlib
import os
import re
import signal
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.flotilla.swarm.plugins.module_utils import _host
from ansible_collections.flotilla.swarm.plugins.module_utils._engine import render
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError


def read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except FileNotFoundError:
        return None


def stage(text: str, folder: str | None = None) -> str:
    """A temporary file with the text, readable by root alone."""
    descriptor, path = tempfile.mkstemp(prefix=".flotilla-", dir=folder)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
    return path


def put(module: AnsibleModule, text: str, path: str, mode: int) -> None:
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    temporary = stage(text, os.path.dirname(path))
    os.chmod(temporary, mode)
    module.atomic_move(temporary, path)


def validate(module: AnsibleModule, text: str) -> bool:
    """Have the engine judge a daemon.json; False where there is no engine yet, or one that cannot."""
    dockerd = next(
        (path for path in ("/usr/bin/dockerd", "/usr/sbin/dockerd") if os.access(path, os.X_OK)),
        None,
    )
    if dockerd is None or "--validate" not in module.run_command([dockerd, "--help"])[1]:
        return False
    path = stage(text)
    try:
        code, output, errors = module.run_command([dockerd, "--validate", "--config-file", path])
    finally:
        os.unlink(path)
    if code != 0:
        lines = [line for line in (errors + output).splitlines() if line.strip()]
        reason = re.sub(
            rf"\s*{re.escape(path)}:?\s*", " ", lines[-1] if lines else "no reason given"
        ).strip()
        raise SwarmError(
            "bad_daemon_config",
            f"Could not use the new {_host.DAEMON_JSON}: dockerd --validate says: {reason.rstrip('.')}. "
            "The old file is untouched. Correct docker_engine_daemon.",
        )
    return True


def run(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    result: dict[str, Any] = {"changed": False, "files": [], "validated": False, "diff": []}
    before = read(_host.DAEMON_JSON)
    after = None if params["daemon"] is None else render(params["daemon"])
    new_daemon = after is not None and after != before
    writes = {path: text for path, text in params["write"].items() if read(path) != text}
    removes = [path for path in params["remove"] if os.path.lexists(path)]
    if after is not None and new_daemon:
        result["validated"] = validate(module, after)
        result["diff"] = [
            {
                "before_header": _host.DAEMON_JSON,
                "after_header": _host.DAEMON_JSON,
                "before": before or "",
                "after": after,
            }
        ]
    result["files"] = sorted([*([_host.DAEMON_JSON] if new_daemon else []), *writes, *removes])
    result["changed"] = bool(result["files"])
    if module.check_mode or not result["changed"]:
        return result

    pid = _host.engine_pid()
    if pid is not None and (params["restart"] or params["reload"]):
        _host.ask_for_restart()
    if after is not None and new_daemon:
        # What an earlier, interrupted run kept is the last file that an engine is known to have come up with.
        # Empty stands for a file that was not there.
        if (before is not None or pid is not None) and not os.path.exists(
            _host.PREVIOUS_DAEMON_JSON
        ):
            put(module, before or "", _host.PREVIOUS_DAEMON_JSON, 0o600)
        put(module, after, _host.DAEMON_JSON, 0o644)
    for path, text in writes.items():
        # The drop-in may hold the password of a proxy; certificates are public.
        put(module, text, path, 0o600 if path.endswith(".conf") else 0o644)
    for path in removes:
        os.unlink(path)
    if pid is not None and params["reload"] and not params["restart"]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)
        _host.restart_is_done()
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            daemon=dict(type="dict"),
            write=dict(type="dict", default={}, no_log=True),
            remove=dict(type="list", elements="path", default=[]),
            restart=dict(type="bool", default=False),
            reload=dict(type="bool", default=False),
        ),
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except SwarmError as error:
        module.fail_json(msg=error.message, failure=error.as_failure(), files=[], validated=False)


if __name__ == "__main__":
    main()
