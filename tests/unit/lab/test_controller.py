# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the controller of a drill keeps of the code that it has compiled is just that."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "lab" / "controller.py"

# ansible-test runs from a copy that has no lab.
pytestmark = pytest.mark.skipif(
    not SCRIPT.exists(), reason="the lab is not in the built collection"
)

MODULE = """
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.own.own.plugins.module_utils.words import WORDS
AnsibleModule({}).exit_json(there=WORDS)
"""
ACTION = """
from ansible.plugins.action import ActionBase
from ansible_collections.own.own.plugins.module_utils.words import WORDS
class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        return {"msg": WORDS + " " + self._execute_module(task_vars=task_vars)["there"]}
"""


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A checkout with a collection of its own."""
    folder = tmp_path / "ansible_collections" / "own" / "own"
    for path, text in (
        ("plugins/modules/say.py", MODULE),
        ("plugins/module_utils/words.py", "WORDS = 'one'\n"),
        ("plugins/action/say.py", ACTION),
    ):
        folder.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
        folder.joinpath(path).write_text(text, encoding="utf-8")
    folder.joinpath("lab").mkdir()
    shutil.copy(SCRIPT, folder / "lab" / "controller.py")
    return folder


def said(top: Path) -> str:
    """What an action plugin says, and the module that it sends."""
    done = subprocess.run(
        [
            *(sys.executable, str(top / "lab" / "controller.py"), "ansible", "-i", "localhost,"),
            *("localhost", "-c", "local", "-m", "own.own.say"),
            *("-e", f"ansible_python_interpreter={sys.executable}"),
        ],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(top.parents[2]),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split('"msg": "')[1].partition('"')[0]


def kept(top: Path) -> dict[Path, int]:
    found = (top / ".cache").rglob("*")
    return {path: path.stat().st_mtime_ns for path in found if path.is_file()}


def test_a_second_run_keeps_what_there_is_and_an_edit_is_seen(top: Path) -> None:
    assert said(top) == "one one"
    first = kept(top)
    code, packed = (
        [path for path in first if folder in path.parts] for folder in ("code", "packed")
    )
    assert code
    assert packed
    assert said(top) == "one one"
    assert kept(top) == first
    # Of the same length.
    (top / "plugins/module_utils/words.py").write_text("WORDS = 'two'\n", encoding="utf-8")
    assert said(top) == "two two"


def test_a_file_that_was_cut_short_is_compiled_anew(top: Path) -> None:
    said(top)
    code = [path for path in kept(top) if path.parent.name == "code"]
    assert code
    for path in code:
        path.write_bytes(path.read_bytes()[:20])
    assert said(top) == "one one"
