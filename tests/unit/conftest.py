# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes ansible_collections.flotilla.swarm importable for `pytest tests/unit` in any checkout, and sets Hypothesis up.

ansible-test brings a loader of its own; then there is nothing to do here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[2]
PLACE = Path("ansible_collections", "flotilla", "swarm")


def make_importable() -> None:
    if any(type(finder).__name__ == "_AnsibleCollectionFinder" for finder in sys.meta_path):
        return
    if ROOT.parts[-3:] == PLACE.parts:
        sys.path.insert(0, str(ROOT.parents[2]))
        return
    collections = ROOT / ".cache" / "collections"
    link = collections / PLACE
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        # Renamed into place, because several test runs may start at once.
        own = link.with_name(f"swarm.{os.getpid()}")
        own.symlink_to(ROOT)
        own.replace(link)
    sys.path.insert(0, str(collections))


make_importable()
# For recorded.py, which the bench and a scenario import too, and documents.py, which the course needs. At the end, because names there are common words.
sys.path.append(str(ROOT / "lab"))
# For variable_docs.py.
sys.path.append(str(ROOT / "tests"))

# The number of cases for each property. FLOTILLA_SOAK=1 tries more, to find rare failures; tests/cores.sh tries fewer, because it
# looks for what another Python or ansible-core does differently, and not for a case that nobody thought of.
settings.register_profile("quick", max_examples=100, deadline=None)
settings.register_profile("soak", max_examples=2000, deadline=None)
settings.register_profile("few", max_examples=10, deadline=None)
soak = os.environ.get("FLOTILLA_SOAK") == "1"
settings.load_profile("soak" if soak else os.environ.get("FLOTILLA_PROPERTIES", "quick"))


@pytest.fixture
def clock() -> Any:
    """A clock whose `time` passes only while somebody sleeps; `slept` has for how long, each time."""
    from ansible_collections.flotilla.swarm.plugins.module_utils._common.waiting import Clock

    class FakeClock(Clock):
        def __init__(self) -> None:
            self.time = 0.0
            self.slept: list[float] = []

        def now(self) -> float:
            return self.time

        def sleep(self, seconds: float) -> None:
            self.slept.append(seconds)
            self.time += seconds

    return FakeClock()
