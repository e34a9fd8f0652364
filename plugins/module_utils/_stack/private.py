# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Private folders of one run, which are removed after it, also after an interrupted one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator

_PREFIX = "flotilla-stack-"
# A folder of one run, and those in it that relative paths start from.
_PRIVATE_PATH = re.compile(rf"[\w/.-]*/{_PREFIX}\w+/(files/(d/)*)?")


def without_private_paths(text: str) -> str:
    """The text with paths as the user gave them, without the random folder of the run."""
    return _PRIVATE_PATH.sub("", text)


@contextlib.contextmanager
def private_directory() -> Iterator[str]:
    """A folder for this process, in memory if possible, that is removed afterwards, along with those of interrupted runs.

    The process holds a lock on it, which the kernel releases when the process ends.
    """
    places = ("/run", "/dev/shm")
    usable = (place for place in places if os.path.isdir(place) and os.access(place, os.W_OK))
    parent = next(usable, tempfile.gettempdir())
    with _locked(parent):
        # This lock hides a folder that exists and is not locked yet from other runs.
        _remove_abandoned(parent)
        path = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
        alive = _lock(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(alive)


def _lock(path: str, how: int = fcntl.LOCK_EX) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    descriptor = _lock(path)
    try:
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(parent: str) -> None:
    """Remove the folders of interrupted runs: those of this user that no process has locked."""
    for entry in os.scandir(parent):
        if not entry.name.startswith(_PREFIX) or not entry.is_dir(follow_symlinks=False):
            continue
        with contextlib.suppress(OSError):
            if entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                descriptor = _lock(entry.path, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(entry.path, ignore_errors=True)
                os.close(descriptor)
