# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ansible and ansible-playbook of the drills, where LAB_COMPILED=yes: they keep what they have compiled.

    controller.py ansible-playbook [arguments]

For each run, Ansible compiles the plugins of a collection, and packs each module with the code that it imports. That is a third
of the work of the controller, and in the scenarios there are hundreds of runs. Only this is left out: code is known by the whole
of its source, and packed modules by the state of all files that can be in them.
"""

from __future__ import annotations

import _imp
import hashlib
import importlib
import marshal
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.release import __version__
from ansible.utils.collection_loader import _collection_finder

TOP = Path(__file__).resolve().parent.parent
PLACE = TOP / ".cache" / "controller" / f"{platform.python_version()}-{__version__}"
COMMANDS = {"ansible": "adhoc", "ansible-playbook": "playbook"}


def kept(source: Any, filename: str, mode: str, flags: int, dont_inherit: bool) -> Any:
    """What compile() returns for a plugin, from the file of this source if there is one."""
    whole = source if isinstance(source, bytes) else str(source).encode()
    place = PLACE / "code" / f"{_imp.source_hash(0, filename.encode() + whole).hex()}-{len(whole)}"
    try:
        return marshal.loads(place.read_bytes())
    except (OSError, ValueError, EOFError, TypeError):
        code = compile(source, filename, mode, flags, dont_inherit)
    # A run can be killed at any moment, and a file is complete or is not there.
    own = place.with_name(f"{place.name}.{os.getpid()}")
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_bytes(marshal.dumps(code))
    own.replace(place)
    return code


def state_of(files: Iterable[Path]) -> str:
    """Changes with every file that is edited, added or removed."""
    found = hashlib.sha256()
    for path in sorted(files):
        about = path.stat()
        found.update(f"{path} {about.st_mtime_ns} {about.st_size}\n".encode())
    return found.hexdigest()[:16]


def keep() -> None:
    # Ansible keeps packed modules for one run, in the folder that it removes at the end. It removes the link, not what is there.
    packed = PLACE / "packed" / state_of((TOP / "plugins").rglob("*.py"))
    packed.mkdir(parents=True, exist_ok=True)
    Path(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache").symlink_to(packed)
    # The name is one of that module from now on, before the one of Python.
    vars(_collection_finder)["compile"] = kept


if __name__ == "__main__":
    # The scripts of the lab are no modules of Ansible.
    sys.path.remove(str(TOP / "lab"))
    command = sys.argv[1]
    keep()
    sys.argv = [command, *sys.argv[2:]]
    sys.exit(importlib.import_module(f"ansible.cli.{COMMANDS[command]}").main())
