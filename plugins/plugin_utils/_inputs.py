# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The variables of our roles for each host: the value of the inventory, otherwise the default of the role.

A role knows only the variables of its own host, and the plan needs those of all hosts. So this module reads the files of the
roles, and their content stands in one place.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.yaml import yaml_load

from ..module_utils._cluster.variables import check_values

# The roles whose variables the plan reads and checks, in the order in which they run.
PLANNED = ("swarm", "docker_engine", "swarm_stack")
# Read only for a host that is locked: it can be a lookup that asks a password store, which would be asked for each host.
LATE = ("swarm_unlock_key",)
ROLES = Path(__file__).resolve().parents[2] / "roles"


class RoleVariables:
    """The files of the roles. They are read once and templated for each host."""

    def __init__(self, loader: Any, templar: Any, hostvars: Any) -> None:
        self._loader = loader
        self._templar = templar
        self._hostvars = hostvars
        self._files: dict[Path, dict[str, Any]] = {}

    def known_names(self) -> frozenset[str]:
        """Every variable of our roles and playbooks."""
        found = {name for path in ROLES.iterdir() for name in self._defaults(path.name)}
        for path in (ROLES.parent / "playbooks").rglob("*.yml"):
            found.update(re.findall(r"\bswarm_[a-z_]+\b", path.read_text(encoding="utf-8")))
        return frozenset(found)

    def of(self, host: str) -> HostVariables:
        """The variables of a host. The defaults of our roles have the lowest precedence."""
        merged: dict[str, Any] = {}
        for role in PLANNED:
            merged.update(self._defaults(role))
        merged.update(self._hostvars.raw_get(host))
        for role in PLANNED:
            merged.update(self._read(role, "vars"))
        return HostVariables(
            self, merged, self._templar.copy_with_new_env(available_variables=merged)
        )

    def _defaults(self, role: str) -> dict[str, Any]:
        return self._read(role, "defaults")

    def options(self, role: str) -> dict[str, Any]:
        """A role's argument spec."""
        path = ROLES / role / "meta" / "argument_specs.yml"
        if path not in self._files:
            # Plain YAML without templates. Ansible's loader takes five times as long.
            self._files[path] = yaml_load(path.read_text(encoding="utf-8"))
        return self._files[path]["argument_specs"]["main"].get("options") or {}

    def checked(self, role: str, given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The given variables of a role, converted by its argument spec, and the problems with them."""
        options = {name: option for name, option in self.options(role).items() if name in given}
        wrong = check_values(options, given)
        if wrong:
            return given, wrong
        result = ArgumentSpecValidator(options).validate(given)
        return result.validated_parameters, [str(message) for message in result.error_messages]

    def _read(self, role: str, part: str) -> dict[str, Any]:
        path = ROLES / role / part / "main.yml"
        if path not in self._files:
            # The loader's own cache returns a deep copy each time, which costs more than everything else here.
            self._files[path] = (_load(self._loader, path) if path.exists() else {}) or {}
        return self._files[path]


def _load(loader: Any, path: Path) -> Any:
    """A file of ours, with its templates.

    From ansible-core 2.19 on, the loader must be told to trust the templates. Earlier loaders do not have this argument.
    """
    trust = "trusted_as_template"
    known = trust in inspect.signature(loader.load_from_file).parameters
    return loader.load_from_file(str(path), **({trust: True} if known else {}))


class HostVariables:
    """The variables of one host."""

    def __init__(self, roles: RoleVariables, raw: dict[str, Any], templar: Any) -> None:
        self._roles = roles
        self._raw = raw
        self._templar = templar
        self._inputs: dict[str, tuple[dict[str, Any], list[str]]] = {}
        self.names = raw.keys()

    def get(self, name: str, default: Any = None) -> Any:
        return self._templar.template(self._raw[name]) if name in self._raw else default

    def inputs(self, role: str) -> tuple[dict[str, Any], list[str]]:
        """The variables of a role on this host, and the problems with their values, as sentences.

        Each value has the type that the role declares. Without that, `-e name=false` would be a non-empty string, and true.
        """
        if role not in self._inputs:
            given = {name: self.get(name) for name in self._roles.options(role) if name not in LATE}
            self._inputs[role] = self._roles.checked(role, given)
        return self._inputs[role]

    def engine(self, family: str, registries: list[dict[str, Any]]) -> dict[str, Any]:
        """The variable __docker_engine_variables of the role docker_engine, for a family of systems.

        `registries` are those of the inventory, which are the same for all hosts. Ansible would need 30 templates a host for it.
        Each of them only names one of the role's inputs, which are already known here. A contract test compares the two.
        """
        inputs, _problems = self.inputs("docker_engine")
        packages = self._raw["__docker_engine_families"][family]
        return {
            **{name[len("docker_engine_") :]: value for name, value in inputs.items()},
            **{name: value for name, value in packages.items() if name != "packages"},
            "package_names": packages["packages"],
            "registries": registries,
        }
