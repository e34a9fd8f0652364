# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The variables of our roles, as each host has them: what the inventory says, else the role's default.

A role sees only its own host's defaults, and the plan needs those of all hosts. So the files of the
roles are read here, and there is no second place that says what is in them.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.yaml import yaml_load

from ansible_collections.flotilla.swarm.plugins.module_utils._variables import check_values

# The roles of which the plan reads and checks the variables, in the order in which they run.
PLANNED = ("swarm", "docker_engine", "swarm_stack")
ROLES = Path(__file__).resolve().parents[2] / "roles"


class RoleVariables:
    """The roles' files, read once, and templated for one host after the other."""

    def __init__(self, loader: Any, templar: Any, hostvars: Any) -> None:
        self._loader = loader
        self._templar = templar
        self._hostvars = hostvars
        self._files: dict[Path, dict[str, Any]] = {}

    def known_names(self) -> frozenset[str]:
        """Every variable that one of our roles or playbooks takes."""
        found = {name for path in ROLES.iterdir() for name in self._defaults(path.name)}
        for path in (ROLES.parent / "playbooks").rglob("*.yml"):
            found.update(re.findall(r"\bswarm_[a-z_]+\b", path.read_text(encoding="utf-8")))
        return frozenset(found)

    def of(self, host: str) -> HostVariables:
        """The variables of a host, with the defaults of our roles below them."""
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
            # Plain YAML: there is nothing to template in it, and Ansible's loader takes five times as long.
            self._files[path] = yaml_load(path.read_text(encoding="utf-8"))
        return self._files[path]["argument_specs"]["main"].get("options") or {}

    def checked(self, role: str, given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Some of a role's variables as its argument spec has them, and what is wrong with them."""
        options = {name: option for name, option in self.options(role).items() if name in given}
        wrong = check_values(options, given)
        if wrong:
            return given, wrong
        result = ArgumentSpecValidator(options).validate(given)
        return result.validated_parameters, [str(message) for message in result.error_messages]

    def _read(self, role: str, part: str) -> dict[str, Any]:
        path = ROLES / role / part / "main.yml"
        if path not in self._files:
            # The loader's own cache hands out a deep copy each time, which costs more than all the rest.
            self._files[path] = (_load(self._loader, path) if path.exists() else {}) or {}
        return self._files[path]


def _load(loader: Any, path: Path) -> Any:
    """A file of ours, with its templates.

    From ansible-core 2.19 on the loader has to be told that they are meant as such; before, it does not know the word.
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
        """What a role would get on this host, and what is wrong with its values, a sentence each.

        Each value is of the type that the role declares: C(-e name=false) is a string, and a true one.
        """
        if role not in self._inputs:
            given = {name: self.get(name) for name in self._roles.options(role)}
            self._inputs[role] = self._roles.checked(role, given)
        return self._inputs[role]

    def engine(self, family: str) -> dict[str, Any]:
        """What the role docker_engine calls __docker_engine_variables, for a family of systems.

        Templating it takes 30 templates a host, each of which only names one of the role's inputs, and these are
        known already. A contract test holds the two against each other.
        """
        inputs, _problems = self.inputs("docker_engine")
        packages = self._raw["__docker_engine_families"][family]
        return {
            **{name[len("docker_engine_") :]: value for name, value in inputs.items()},
            **{name: value for name, value in packages.items() if name != "packages"},
            "package_names": packages["packages"],
        }
