# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The part of module_utils that a host needs to run one of its files without Ansible, as one file that Python runs.

The same code then runs for a playbook and for a timer. The file depends on nothing but the code, so a host whose file has the same
digest needs none.
"""

from __future__ import annotations

import ast
import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

_UTILS = Path(__file__).resolve().parents[1] / "module_utils"
_PACKAGE = "flotilla_swarm"
_MAIN = """\
import sys
from {package}.{name} import main
sys.exit(main(*sys.argv[1:]))
"""
# Python compiles what it reads from a zip file at each start, which takes a second of CPU time. Code that starts every some seconds is
# therefore unpacked by its first start, and its folder, which has the compiled files, is named by the digest of the code.
_MAIN_UNPACKED = """\
import os, sys
home = "{folder}/{digest}"
if not os.path.isdir(home):
    import shutil, zipfile
    shutil.rmtree("{folder}", ignore_errors=True)
    partial = home + ".partial"
    os.makedirs(partial, mode=0o700)
    zipfile.ZipFile(sys.path[0]).extractall(partial)
    os.rename(partial, home)
sys.path[0] = home
from {package}.{name} import main
sys.exit(main(*sys.argv[1:]))
"""
# The oldest time that a zip file can have: the real ones would change the digest.
_TIME = (1980, 1, 1, 0, 0, 0)


def host_code(name: str, unpacked_to: str = "") -> bytes:
    """A zip file that Python runs: it calls main() of the file PACKAGE/NAME of module_utils with its arguments.

    With `unpacked_to`, the code runs from a folder in that folder, which nothing else uses.
    """
    files = {path: path.read_bytes() for path in sorted(_needed(_UTILS / f"{name}.py"))}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(where: str, data: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(where, _TIME), data, zipfile.ZIP_DEFLATED)

        digest = hashlib.sha256(b"".join(files.values())).hexdigest()[:32]
        main = (_MAIN_UNPACKED if unpacked_to else _MAIN).format(
            package=_PACKAGE, name=name.replace("/", "."), folder=unpacked_to, digest=digest
        )
        add("__main__.py", main.encode())
        add(f"{_PACKAGE}/__init__.py", b"")
        for path, data in files.items():
            add(f"{_PACKAGE}/{path.relative_to(_UTILS)}", data)
    return content.getvalue()


def _needed(start: Path) -> set[Path]:
    """The file, and all files of module_utils that it imports."""
    found: set[Path] = set()
    left = [start]
    while left:
        path = left.pop()
        if path not in found:
            found |= {path, path.parent / "__init__.py"}
            left += _imports(path)
    return found


def _imports(path: Path) -> Iterator[Path]:
    """The imports of our own are relative (tests/unit/test_contracts.py), of this package or of one beside it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parent if node.level == 1 else path.parent.parent
            parts = (node.module or "").split(".") if node.module else []
            for names in [parts, *([*parts, alias.name] for alias in node.names)]:
                target = folder.joinpath(*names).with_suffix(".py") if names else folder
                if target.is_file():
                    yield target
