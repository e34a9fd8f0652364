# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The files of an adopted swarm on the controller: their text, and how they replace those of an earlier adoption."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..module_utils._common.errors import SwarmError
from ..module_utils._common.words import abbreviate
from ..module_utils._lifecycle.adoption import INVENTORY, NOTES, Adoption

# Lists the files of an adoption with their hashes, so that the next one knows whether anybody has changed them.
MARKER = ".adopted.json"
_HEAD = "# Written by the playbook flotilla.swarm.adopt. NOTES.md has the next steps.\n---\n"

# What every version of YAML takes for a string. The CLI and Ansible have different parsers, so that the rest is in quotes.
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_WORDS = {"y", "yes", "n", "no", "true", "false", "on", "off", "null", "nan", "inf"}
_TEMPLATE = re.compile(r"\{[{%#]")


class _Unsafe(str):
    """Text that Ansible must not take for a template."""


class _Octal(int):
    """The mode of a file."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _as_string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style=_style(text))


def _style(text: str) -> str | None:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return None
    lines = text.split("\n")
    plain_lines = all(line == line.rstrip() and line.isprintable() for line in lines)
    return "|" if len(lines) > 2 and plain_lines and not text[:1].isspace() else '"'


_Dumper.add_representer(str, _as_string)
_Dumper.add_representer(
    _Unsafe,
    lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style='"'),
)
_Dumper.add_representer(
    _Octal, lambda dumper, mode: dumper.represent_scalar("tag:yaml.org,2002:int", f"0{mode:o}")
)


def as_yaml(document: Any) -> str:
    """The document as YAML that Ansible and Docker's CLI read in the same way."""
    text: str = yaml.dump(
        document,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=10**6,
        default_flow_style=False,
    )
    return text


def inventory_text(inventory: dict[str, Any]) -> str:
    """The file hosts.yml."""
    return _HEAD + as_yaml(_untemplated(inventory))


def _untemplated(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _untemplated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_untemplated(item) for item in value]
    return _Unsafe(value) if isinstance(value, str) and _TEMPLATE.search(value) else value


def compose_text(document: dict[str, Any]) -> str:
    """A Compose file."""
    services = {name: _with_modes(service) for name, service in document["services"].items()}
    return "---\n" + as_yaml({**document, "services": services})


def _with_modes(service: dict[str, Any]) -> dict[str, Any]:
    """The service with the modes of its secrets and configs in octal."""

    def shown(entry: Any) -> Any:
        if isinstance(entry, dict) and isinstance(entry.get("mode"), int):
            return {**entry, "mode": _Octal(entry["mode"])}
        return entry

    sections: dict[str, Any] = {
        name: [shown(entry) for entry in service[name]]
        for name in ("secrets", "configs")
        if name in service
    }
    return {**service, **sections}


def contents(adoption: Adoption, cluster_id: str) -> dict[str, bytes]:
    """Every file of an adoption by its relative path, the marker too."""
    found = {INVENTORY: inventory_text(adoption.inventory).encode()}
    for file in adoption.compose:
        found[file.path] = compose_text(file.document).encode()
    for path, data in adoption.data.items():
        found[path] = base64.b64decode(data)
    found[NOTES] = adoption.notes.encode()
    # The names come from a host that somebody else has set up.
    outside = sorted(path for path in found if path.startswith("/") or ".." in path.split("/"))
    if outside:
        raise SwarmError(
            "bad_files",
            f"Could not adopt the swarm: the manager names files outside the folder to write: {abbreviate(outside, 3)}. Nothing was"
            " written. Check who controls this host.",
        )
    marker = {
        "format": 1,
        "cluster_id": cluster_id,
        "files": {path: hashlib.sha256(data).hexdigest() for path, data in sorted(found.items())},
    }
    found[MARKER] = (json.dumps(marker, indent=2) + "\n").encode()
    return found


class Target:
    """The folder of an adoption on the controller."""

    def __init__(self, path: str) -> None:
        # A link stays, and what it points to is replaced.
        self.path = Path(os.path.realpath(os.path.expanduser(path)))
        if not self.path.name:
            raise SwarmError(
                "bad_option",
                f"Could not adopt the swarm: swarm_adopt_to is {path}, the root of the file system. Set it to a new folder, for"
                " example inventories/production.",
            )
        self._new = self.path.with_name(f".{self.path.name}.adopt-new")
        self._old = self.path.with_name(f".{self.path.name}.adopt-old")

    def differs(self, files: Mapping[str, bytes], cluster_id: str) -> bool:
        """Whether the folder must be written; raises not_empty if it has what no adoption of this swarm has written."""
        found = self._found()
        if not found:
            return True
        recorded = self._recorded(found)
        if recorded is None:
            raise SwarmError(
                "not_empty",
                f"Could not adopt the swarm into {self.path}: the folder is not empty, and no adoption has written it. Set"
                " swarm_adopt_to to a new folder.",
            )
        if recorded.get("cluster_id") != cluster_id:
            raise SwarmError(
                "not_empty",
                f"Could not adopt the swarm into {self.path}: the folder has another swarm"
                f" ({recorded.get('cluster_id')}). Set swarm_adopt_to to a new folder.",
            )
        hashes = {path: self._hash(path) for path in found if path != MARKER}
        listed = recorded.get("files") or {}
        edited = sorted(path for path in {*hashes, *listed} if hashes.get(path) != listed.get(path))
        if edited:
            raise SwarmError(
                "not_empty",
                f"Could not adopt the swarm into {self.path}: these files were added, changed or removed since an earlier"
                f" adoption: {abbreviate(edited)}. Set swarm_adopt_to to a new folder, and compare the two.",
                files=edited,
            )
        return hashes != {
            path: hashlib.sha256(data).hexdigest() for path, data in files.items() if path != MARKER
        }

    def write(self, files: Mapping[str, bytes], cluster_id: str) -> bool:
        """Replace the folder by these files as a whole; whether it had to be written. Raises not_empty, and OSError.

        A run that is killed leaves the old folder or the new one, and the next run completes it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._alone():
            self._recover()
            if not self.differs(files, cluster_id):
                return False
            self._new.mkdir(mode=0o700)
            for name, data in files.items():
                place = self._new / name
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                    out.write(data)
                    out.flush()
                    os.fsync(out.fileno())
            if self.path.exists():
                self.path.rename(self._old)
            self._new.rename(self.path)
            shutil.rmtree(self._old, ignore_errors=True)
            return True

    def _recover(self) -> None:
        """Clean up after a run that was killed."""
        if self._old.exists() and not self.path.exists():
            self._old.rename(self.path)
        for left in (self._new, self._old):
            if left.exists():
                shutil.rmtree(left)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Only one adoption at a time writes beside this folder; raises adopting."""
        handle = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise SwarmError(
                    "adopting",
                    f"Could not adopt the swarm into {self.path}: another run writes there now. Wait until it has ended, and run"
                    " again.",
                ) from error
            yield
        finally:
            os.close(handle)

    def _found(self) -> list[str]:
        """The files of the folder, also links, by their relative paths."""
        if not os.path.lexists(self.path):
            return []
        if not self.path.is_dir():
            raise SwarmError(
                "not_empty",
                f"Could not adopt the swarm into {self.path}: it is a file. Set swarm_adopt_to to a new folder.",
            )

        def unreadable(error: OSError) -> None:
            # A folder that cannot be read is not an empty one.
            raise error

        return sorted(
            os.path.relpath(os.path.join(folder, name), self.path)
            for folder, folders, names in os.walk(self.path, onerror=unreadable)
            for name in [
                *names,
                *(one for one in folders if os.path.islink(os.path.join(folder, one))),
            ]
        )

    def _recorded(self, found: list[str]) -> dict[str, Any] | None:
        """What the marker says; None if there is none that can be read."""
        if MARKER not in found:
            return None
        try:
            recorded = json.loads((self.path / MARKER).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        good = isinstance(recorded, dict) and isinstance(recorded.get("files"), dict)
        return recorded if good else None

    def _hash(self, path: str) -> str:
        place = self.path / path
        if place.is_symlink() or not place.is_file():
            return "not a file"
        return hashlib.sha256(place.read_bytes()).hexdigest()
