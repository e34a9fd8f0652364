# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Gives a swarm what an export has: reads the file, reads the swarm, plans, writes, and plans again."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from .._api.client import EngineClient
from .._cluster.settings import change_settings
from .._common.errors import SwarmError, shown
from .age import decrypt
from .export import list_swarm
from .export_content import parse_export
from .import_plan import ImportPlan, ImportStep, Wishes, ids_in, plan_import, with_ids

# How often the import plans again when something else changes the swarm.
_ATTEMPTS = 5
_PASSING = ("conflict", "out_of_sequence", "not_found")


def read_export(path: str, identity: str) -> dict[str, Any]:
    """The export in an encrypted file; raises no_age, age_failed, wrong_identity or bad_backup."""
    text = decrypt(path, identity)
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    return parse_export(document, path)


def secret_data(given: Mapping[str, Any]) -> dict[str, bytes]:
    """The data of secrets as bytes, by name; raises bad_option. Pure.

    A value is a text, or a dictionary with the key `base64`.
    """
    found, wrong = {}, []
    for name, value in given.items():
        if isinstance(value, str):
            found[str(name)] = value.encode()
            continue
        try:
            if not isinstance(value, Mapping) or list(value) != ["base64"]:
                raise ValueError
            found[str(name)] = base64.b64decode(str(value["base64"]), validate=True)
        except (ValueError, binascii.Error):
            wrong.append(str(name))
    if wrong:
        raise SwarmError(
            "bad_option",
            f"Could not read the data of secret {', '.join(map(shown, wrong))}: it must be a string, or a dictionary such as"
            " {base64: aGVsbG8=}.",
        )
    return found


def carry_out(
    export: Mapping[str, Any],
    client: EngineClient,
    wishes: Wishes,
    secrets: Mapping[str, bytes],
    first: ImportPlan,
    applied: list[str],
) -> None:
    """Write the plan, and plan again until nothing is left. `applied` gets each write as `KIND NAME`.

    Raises refused, out_of_sequence, or what the engine refuses.
    """
    current = first
    for _attempt in range(_ATTEMPTS):
        if not current.steps:
            return
        try:
            ids: dict[tuple[str, str], str] = {}
            for step in current.steps:
                if step.kind == "service" and not ids:
                    # All that services refer to exists now.
                    ids = ids_in(list_swarm(client))
                _write(client, step, secrets, ids)
                applied.append(f"{step.kind} {step.name}")
        except SwarmError as error:
            # Something else has written meanwhile. What it has written may be what is wanted.
            if error.code not in _PASSING:
                raise
        current = plan_import(export, list_swarm(client), wishes)
        refuse(current)
    raise SwarmError(
        "out_of_sequence",
        "Could not import the export: something else changes the swarm at the same time. Wait until it has ended, and run again.",
        left=[f"{step.kind} {step.name}" for step in current.steps],
    )


def refuse(found: ImportPlan) -> None:
    """Raise refused if the plan is."""
    if found.refusals:
        raise SwarmError(
            "refused",
            f"Could not import the export: {'; '.join(found.refusals)}. {_advice(found)}",
            missing_secrets=list(found.missing),
        )


def _advice(found: ImportPlan) -> str:
    if found.missing and len(found.refusals) == 1:
        return "Set swarm_restore_secrets to a dictionary with the data of each by its name, and run again."
    return "Nothing was made. Remove what differs, or correct it, and run again."


def _write(
    client: EngineClient,
    step: ImportStep,
    secrets: Mapping[str, bytes],
    ids: Mapping[tuple[str, str], str],
) -> None:
    if step.kind == "setting":
        change_settings(client, step.spec, False)
    elif step.kind == "node":
        client.update_node(step.object_id, step.version, step.spec)
    elif step.kind == "network":
        client.create("network", {**step.spec, "CheckDuplicate": True})
    elif step.kind == "secret":
        data = {} if step.spec.get("Driver") else {"Data": _packed(secrets[step.name])}
        client.create("secret", {**step.spec, **data})
    elif step.kind == "config":
        client.create("config", step.spec)
    else:
        client.create("service", with_ids(step.spec, ids))


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


def title_of(export: Mapping[str, Any]) -> str:
    """The export in the title of a plan."""
    taken = str(export.get("taken") or "")
    moment = f", taken {taken[:4]}-{taken[4:6]}-{taken[6:8]} {taken[9:11]}:{taken[11:13]} UTC"
    return f"import of swarm {export['cluster_id'][:6]}{moment if len(taken) == 16 else ''}"
