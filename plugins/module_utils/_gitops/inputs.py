# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The inputs of an application, from a commit of its repository.

What a repository says decides what Docker's CLI reads on the manager, as root. So nothing in it may name a file of the manager, or set
a variable that a program obeys.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .._common.errors import SwarmError, shown
from .._stack.compose_file import decoded, named_files
from .._stack.source import COMPOSE, REFERENCED, Source, source_of
from .app import App, overlay_of, path_in
from .decrypt import Keys, decrypted

# Bytes of all files of one application.
LARGEST = 16 << 20
# What programs obey instead of only having it: the loader, the C library, Go and Docker's CLI.
_OBEYED = re.compile(
    r"(LD_|DOCKER_|COMPOSE_|BUILDKIT_|BUILDX_|OTEL_|GO[A-Z]+$|SSH_|SSL_|XDG_|LC_|MALLOC_|GIO_|G_)"
    r"|(PATH|HOME|SHELL|IFS|ENV|BASH_ENV|LANG|LANGUAGE|TMPDIR|TMP|TEMP|TZDIR|GCONV_PATH|GETCONF_DIR|GLIBC_TUNABLES|LOCPATH|NLSPATH"
    r"|HOSTALIASES|LOCALDOMAIN|RES_OPTIONS|RESOLV_HOST_CONF|NIS_PATH|PWD|USER|LOGNAME)$"
    r"|(HTTPS?|ALL|NO|FTP)_PROXY$",
    re.IGNORECASE,
)
# The keys of an application that say what is deployed.
_DEPLOYED = (
    *("name", "compose", "environment", "env_files", "rotate", "prune", "checks"),
    *("ignore_replicas", "with_registry_auth"),
)


@dataclass(frozen=True)
class Inputs:
    """What is deployed, and what identifies it without its secrets."""

    source: Source
    definition: tuple[Any, ...]  # the Compose files, and the overlay of the application
    desired: str  # changes when what is deployed does


def load(app: App, read: Callable[[str], bytes], keys: Keys) -> Inputs:
    """The inputs of an application. `read` gives the data of a file by its path in the repository.

    Raises bad_path, bad_environment, git_too_large, what `decrypted` raises, and what is wrong with the Compose files.
    """
    found: dict[str, bytes] = {}
    folder = posixpath.dirname(app.compose[0])

    def read_file(kind: str, path: str) -> bytes:
        place = path_in(folder if kind == REFERENCED else "", path)
        if place is None:
            raise _outside(app, path)
        if place not in found:
            found[place] = read(place)
            if sum(map(len, found.values())) > LARGEST:
                raise SwarmError(
                    "git_too_large",
                    f"Could not read application {app.name}: its files have more than {LARGEST >> 20} MB together.",
                )
        return decrypted(place, found[place], keys)

    for path in app.compose:
        _check_names(app, folder, path, read_file(COMPOSE, path))
    stack = {
        "name": app.name,
        "compose": app.compose,
        "environment": app.environment,
        "env_files": app.env_files,
        "rotate": app.rotate,
    }
    source = source_of(stack, read_file)
    _check_variables(app, source.environment)
    overlay = overlay_of(app)
    return Inputs(
        source=source,
        definition=(*source.definition, *([overlay] if overlay else [])),
        desired=_digest(app, found),
    )


def _check_names(app: App, folder: str, path: str, data: bytes) -> None:
    """Refuse names of files that are not simple paths in the repository."""
    try:
        names = named_files(decoded(data))
    except SwarmError as error:
        raise SwarmError(error.code, f"Stack {app.name}: {path} {error.message}.") from None
    for name in names:
        if path_in(folder, name) is None or name.startswith("~") or "$" in name:
            raise _outside(app, name)


def _outside(app: App, path: str) -> SwarmError:
    return SwarmError(
        "bad_path",
        f"Could not read application {app.name}: the Compose files name the file {shown(path, 200)}, and only a path in the repository"
        " without variables is allowed, such as ./db.txt.",
    )


def _check_variables(app: App, environment: Mapping[str, str]) -> None:
    wrong = sorted(name for name in environment if _OBEYED.match(name))
    if wrong:
        raise SwarmError(
            "bad_environment",
            f"Could not read application {app.name}: programs on the manager obey the variable {wrong[0]}, so a repository must not set it."
            " Give it another name, such as APP_" + f"{wrong[0]}.",
        )


def _digest(app: App, files: Mapping[str, bytes]) -> str:
    """A hash of what is deployed. How and when it is deployed is no part of it.

    Of an encrypted file, it has the encrypted form: the hash is in the swarm, and a hash of a short secret tells the secret.
    """
    told = {name: value for name, value in asdict(app).items() if name in _DEPLOYED}
    digests = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
    text = json.dumps([told, digests], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
