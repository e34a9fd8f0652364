# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""All applications in the repositories. Pure: the caller reads them."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .._common.errors import SwarmError, shown
from .app import APP_FILE, App, Place, children_of, parse_app, with_override
from .settings import Settings

# In all repositories together.
MOST_APPS = 500


@dataclass(frozen=True)
class Tree:
    """A commit of a repository: the folders in it that have an app.yml, and how to read one, which raises SwarmError."""

    folders: Collection[str]
    read: Callable[[str], Any]  # the folder -> the document of its app.yml


@dataclass(frozen=True)
class AppProblem:
    """An app.yml that cannot be used."""

    repository: str
    folder: str
    message: str


@dataclass(frozen=True)
class Found:
    """All applications in the repositories that could be read, in the order of their names, and what is wrong."""

    apps: tuple[App, ...] = ()
    problems: tuple[AppProblem, ...] = ()


def find_apps(settings: Settings, trees: Mapping[str, Tree]) -> Found:
    """The applications below the folder of each repository: the one in it, or those in its folders, and those that these list.

    A repository without a tree could not be read. It is no problem here, because the caller knows.
    """
    found: dict[Place, App] = {}
    problems: dict[Place, str] = {}
    left: list[tuple[Place, tuple[str, ...]]] = []
    roots = {repository.name: repository.path for repository in settings.repositories}
    for repository, root in sorted(roots.items()):
        tree = trees.get(repository)
        for folder in _below(root, tree.folders) if tree else ():
            left.append(((repository, folder), (repository,)))
    seen: set[Place] = set()
    while left:
        place, sources = left.pop()
        repository, folder = place
        if place in seen:
            continue
        seen.add(place)
        sources = tuple(dict.fromkeys((*sources, repository)))
        try:
            if len(seen) > MOST_APPS:
                raise SwarmError(
                    "bad_app", f"the repositories have more than {MOST_APPS} applications"
                )
            document = _read(place, roots, trees)
            if document is None:
                continue
            children = children_of(document, folder, repository)
            if children is not None:
                left += [(child, sources) for child in children]
                continue
            app = replace(parse_app(document, folder, repository), sources=sources)
            app = with_override(app, settings.apps.get(app.name))
            found[place] = replace(app, windows=(*app.windows, settings.windows))
        except SwarmError as error:
            problems[place] = error.message
            if len(seen) > MOST_APPS:
                break
    for place, message in _twice(found).items():
        problems[place] = message
        del found[place]
    return Found(
        tuple(sorted(found.values(), key=lambda app: app.name)),
        tuple(AppProblem(*place, message) for place, message in sorted(problems.items())),
    )


def _read(place: Place, roots: Mapping[str, str], trees: Mapping[str, Tree]) -> Any:
    """The document of an app.yml; None if its repository could not be read, which is known elsewhere."""
    repository, folder = place
    if repository not in roots:
        raise SwarmError(
            "bad_app",
            f"Could not read an application in repository {shown(repository)}: it is not in swarm_gitops_repositories. Add it there.",
        )
    tree = trees.get(repository)
    if tree is None:
        return None
    if folder not in tree.folders:
        raise SwarmError(
            "bad_app",
            f"Could not read an application in repository {repository}: it has no file {posixpath.join(folder, APP_FILE)}.",
        )
    return tree.read(folder)


def _below(root: str, folders: Collection[str]) -> list[str]:
    """The folders that are applications of their own: the root, or else those directly in it."""
    root = "" if root in ("", ".") else posixpath.normpath(root)
    if root in folders:
        return [root]
    return sorted(folder for folder in folders if folder and posixpath.dirname(folder) == root)


def _twice(found: Mapping[Place, App]) -> dict[Place, str]:
    """Applications that have the name of another one: of these, none is used."""
    places: dict[str, list[Place]] = {}
    for place, app in found.items():
        places.setdefault(app.name, []).append(place)
    return {
        place: f"Could not use application {name}: {' and '.join(f'{folder or APP_FILE} in repository {repository}' for repository, folder in sorted(several))}"
        " have this name. Give each a name of its own."
        for name, several in places.items()
        if len(several) > 1
        for place in several
    }
