# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hosts of a lab keep of the modules that they have compiled is just that."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

HOOK = Path(__file__).resolve().parents[3] / "lab" / "host" / "keep_compiled.py"

# ansible-test runs from a copy that has no lab.
pytestmark = pytest.mark.skipif(not HOOK.exists(), reason="the lab is not in the built collection")


def said(folder: Path, source: str) -> str:
    """What a module in a zip of its own says, in a Python that keeps in `folder` what it compiles."""
    archive = folder / "module.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("sent.py", source)
    hook = HOOK.read_text(encoding="utf-8").replace("/var/cache/lab-compiled", str(folder / "kept"))
    (folder / "keep.py").write_text(hook, encoding="utf-8")
    script = f"import sys; sys.path[:0] = [{str(folder)!r}]; import keep; sys.path[:0] = [{str(archive)!r}]; import sent"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def kept(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "kept").rglob("*") if path.is_file())


def test_a_source_is_compiled_once_and_another_one_anew(tmp_path: Path) -> None:
    assert said(tmp_path, "print('one')") == "one"
    first = kept(tmp_path)
    assert len(first) == 1
    written = first[0].stat().st_mtime_ns
    assert said(tmp_path, "print('one')") == "one"
    assert kept(tmp_path) == first
    assert first[0].stat().st_mtime_ns == written
    # Of the same length.
    assert said(tmp_path, "print('two')") == "two"
    assert len(kept(tmp_path)) == 2


def test_what_was_cut_short_is_compiled_anew(tmp_path: Path) -> None:
    said(tmp_path, "print('one')")
    for path in kept(tmp_path):
        path.write_bytes(path.read_bytes()[:20])
    assert said(tmp_path, "print('one')") == "one"
    for path in kept(tmp_path):
        path.write_bytes(b"")
    assert said(tmp_path, "print('one')") == "one"
