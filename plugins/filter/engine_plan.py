# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters with the plan, the preflight and the restart order of the role docker_engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ..module_utils._engine import plan as planning
from ..module_utils._engine import preflight as checks


def _file(path: str, base: str, variable: str) -> str:
    full = os.path.join(base, os.path.expanduser(path))
    try:
        with open(full, encoding="utf-8") as handle:
            return handle.read()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise AnsibleFilterError(
            f"{variable}: cannot read {full} on the controller: {reason}."
        ) from None


def _plain(value: Any) -> Any:
    """The value without the types that Ansible adds, so that comparing and rendering see plain data."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    return value


def engine_plan(
    observed: Mapping[str, Any], variables: Mapping[str, Any], host: str, base: str = "."
) -> dict[str, Any]:
    """See engine_plan.yml."""
    plan: dict[str, Any] = _plain(plan_with_texts(observed, variables, host, base))
    return plan


def plan_with_texts(
    observed: Mapping[str, Any], variables: Mapping[str, Any], host: str, base: str
) -> dict[str, Any]:
    """The plan for swarm_plan, which hands its refusals to the page as texts that can be translated."""
    wanted = _plain(variables)
    found = wanted["registries"]
    wanted["logins"] = {each["address"]: each["auth"] for each in found}
    wanted["registry_mirrors"] = wanted["registry_mirrors"] or [
        each["mirror"] for each in found if each["mirror"]
    ]
    # What the user gives takes precedence over what the registries of the inventory report.
    wanted["registry_ca"] = {
        **{address: ca for each in found for address, ca in each["trust"].items()},
        **{
            registry: _file(path, base, "docker_engine_registry_ca_certificates")
            for registry, path in wanted["registry_ca_certificates"].items()
        },
    }
    key = wanted["repository_key"]
    if key and "-----BEGIN" not in key:
        wanted["repository_key"] = _file(key, base, "docker_engine_repository_key")
    return planning.plan(_plain(observed), wanted, str(host))


def engine_preflight(
    observed: Mapping[str, Any], settings: Mapping[str, Any], host: str
) -> dict[str, list[str]]:
    """See engine_preflight.yml."""
    known = {str(name): _plain(each) for name, each in observed.items() if "host" in each}
    if host not in known:
        return {"failures": [], "warnings": []}
    found: dict[str, list[str]] = _plain(checks.preflight(str(host), known, _plain(settings)))
    return found


def engine_restart_order(observed: Mapping[str, Any]) -> list[str]:
    """See engine_restart_order.yml."""
    return planning.restart_order(_plain(observed))


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "engine_plan": engine_plan,
            "engine_preflight": engine_preflight,
            "engine_restart_order": engine_restart_order,
        }
