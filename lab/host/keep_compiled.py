# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""On a host of a lab with LAB_COMPILED=yes: Python keeps what it has compiled of the modules that Ansible sends.

Ansible sends a module as a zip of sources, and Python compiles all of it for each call: a third of the time of a call, and in
the scenarios there are thousands. Only the compiling is left out, by the whole of a source; what runs is the same.
keep_compiled.pth has it run whenever Python starts.
"""

from __future__ import annotations

import _imp
import marshal
import os
import sys
import zipimport
from typing import Any

PLACE = f"/var/cache/lab-compiled/{sys.implementation.cache_tag}"

# This is an internal function of the standard library. Versions without it keep nothing.
compile_source: Any = getattr(zipimport, "_compile_source", None)


def kept(path: str, source: bytes) -> Any:
    place = f"{PLACE}/{_imp.source_hash(0, source).hex()}-{len(source)}"
    code = read(place)
    if code is None:
        code = compile_source(path, source)
        write(place, code)
    return code


def read(place: str) -> Any:
    try:
        with open(place, "rb") as file:
            return marshal.load(file)
    except (OSError, ValueError, EOFError, TypeError):
        return None


def write(place: str, code: Any) -> None:
    """Write the file completely or not at all. Users other than root keep nothing."""
    own = f"{place}.{os.getpid()}"
    try:
        os.makedirs(PLACE, exist_ok=True)
        with open(own, "wb") as file:
            marshal.dump(code, file)
        os.replace(own, place)
    except OSError:
        pass


# A name of its own that the types of the standard library do not have: there is no public way in between.
if compile_source is not None:
    zipimport._compile_source = kept  # type: ignore[attr-defined]
