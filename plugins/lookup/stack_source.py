# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: stack_source
short_description: Read the Compose files of a stack on the controller
author:
  - The Flotilla authors (@flotilla-swarm)
description:
  - Reads the Compose files of a stack on the controller, and the files that they name by a relative path.
  - Returns them as options of M(flotilla.swarm.swarm_stack), so that no file must be copied to a host first.
  - The lookup decrypts files that are encrypted with Ansible Vault.
options:
  _terms:
    description:
      - The stacks, as in the variable C(swarm_stack_stacks) of the role P(flotilla.swarm.swarm_stack#role). Each is a dictionary
        with C(name), and with C(compose) or C(definition). It can have C(environment), C(env_files), C(template), C(files),
        C(rotate) and C(profiles).
      - Paths are searched as with M(ansible.builtin.copy), then next to the inventory and in the current directory.
      - Paths in a Compose file start at the directory of the first file. Paths in an inline definition start at the directory of
        the inventory, or of the playbook if there is no inventory.
    type: list
    elements: dict
    required: true
  profile:
    description:
      - The name of the entry in C(profiles) to apply. Its lists extend the lists of the stack. Its dictionaries are merged into
        those of the stack. Other values replace those of the stack. A stack without C(profiles) stays as it is.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show what the first deploy creates
  ansible.builtin.debug:
    msg: "{{ lookup('flotilla.swarm.stack_source', {'name': 'hello', 'compose': ['stacks/hello.yml']}).plan }}"
"""

RETURN = r"""
_raw:
  description: One dictionary for each stack.
  type: list
  elements: dict
  contains:
    definition:
      description: The text of the Compose files, without the conditions in C(depends_on), which Docker's CLI does not accept.
      type: list
      elements: str
    environment:
      description: The variables of the Compose files. Those of the env files come first.
      type: dict
    files:
      description: The files that the Compose files name, encoded with Base64, by their paths there.
      type: dict
    rotate:
      description:
        - If the stack has C(rotate=true), the value for O(flotilla.swarm.swarm_stack#module:rotate).
        - It leaves out secrets and configs that are external, that have a C(name), or whose path is absolute.
      type: dict
    depends_on:
      description: The value for O(flotilla.swarm.swarm_stack#module:depends_on).
      type: dict
    ignored_keys:
      description: The value for O(flotilla.swarm.swarm_stack#module:ignored_keys).
      type: list
      elements: str
    plan:
      description: What the first deploy creates, as far as the Compose files show it.
      type: list
      elements: str
"""

import json
import os
from typing import Any

from ansible.errors import AnsibleError, AnsibleFileNotFound, AnsibleLookupError
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

from ..module_utils._common.errors import SwarmError
from ..module_utils._stack.compose import outline, with_profile
from ..module_utils._stack.plan import plan_lines
from ..module_utils._stack.source import COMPOSE, REFERENCED, source_of


class LookupModule(LookupBase):
    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        self.set_options(var_options=variables, direct=kwargs)
        try:
            return [self._stack(term, variables or {}) for term in terms]
        except SwarmError as error:
            raise AnsibleLookupError(error.message) from error
        except RecursionError as error:
            raise AnsibleLookupError("A stack is nested too deeply.") from error

    def _stack(self, stack: Any, variables: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(stack, dict) or not stack.get("name"):
            raise AnsibleLookupError(
                "A stack is a dictionary with a name and compose or definition."
            )
        _check_types(stack)
        stack = with_profile(stack, self.get_option("profile"))
        _check_types(stack)
        name, given = str(stack["name"]), stack.get("definition")
        if bool(given) == bool(stack.get("compose")):
            raise AnsibleLookupError(f"Stack {name} needs either compose or definition.")
        if given:
            folder = str(variables.get("inventory_dir") or self._loader.get_basedir())
        else:
            folder = os.path.dirname(self._find(name, str(stack["compose"][0]), variables))

        def read_file(kind: str, path: str) -> bytes:
            if kind == REFERENCED:
                return self._read(name, os.path.join(folder, path))
            found = self._find(name, path, variables)
            if kind == COMPOSE and stack.get("template"):
                return self._template(name, found, variables).encode("utf-8", "surrogatepass")
            return self._read(name, found)

        source = source_of(stack, read_file)
        steps = outline(name, list(source.documents), source.environment, source.rotate)
        return {**source.options(), "plan": plan_lines(name, steps, "a future manager")}

    def _find(self, name: str, path: str, variables: dict[str, Any]) -> str:
        found = self.find_file_in_search_path(variables, "files", path, ignore_missing=True)
        # The user's files are not next to the playbooks of this collection.
        places = [found] if found else []
        for folder in (variables.get("inventory_dir"), os.getcwd()):
            places.append(os.path.join(str(folder or "."), path))
        for place in places:
            if os.path.exists(place):
                return str(place)
        raise AnsibleLookupError(
            f"Stack {name}: the file {path} is neither beside the playbook or the inventory"
            " nor in the current folder."
        )

    def _template(self, name: str, path: str, variables: dict[str, Any]) -> str:
        template = lookup_loader.get(
            "ansible.builtin.template", loader=self._loader, templar=self._templar
        )
        try:
            made = template.run([path], variables)[0]
        except AnsibleError as error:
            raise AnsibleLookupError(f"Stack {name}: could not fill in {path}: {error}") from error
        # The template lookup returns text that looks like JSON as data.
        return made if isinstance(made, str) else json.dumps(made)

    def _read(self, name: str, path: str) -> bytes:
        try:
            with open(self._loader.get_real_file(path), "rb") as file:
                return file.read()
        except AnsibleFileNotFound:
            # Ansible would append its own message, which names options of modules.
            raise AnsibleLookupError(f"Stack {name}: there is no file {path}.") from None
        except OSError as error:
            why = error.strerror or "it cannot be opened"
            raise AnsibleLookupError(f"Stack {name}: could not read {path}: {why}.") from None
        except Exception as error:
            raise AnsibleLookupError(f"Stack {name}: could not read {path}: {error}") from error


_TYPES = {
    "compose": (list, "a list"),
    "env_files": (list, "a list"),
    "environment": (dict, "a dictionary"),
    "files": (dict, "a dictionary"),
    "profiles": (dict, "a dictionary"),
}


def _check_types(stack: dict[str, Any]) -> None:
    """The argument specs of the role check the same, but not inside a profile."""
    for key, (kind, words) in _TYPES.items():
        value = stack.get(key)
        if value is not None and not isinstance(value, kind):
            raise AnsibleLookupError(f"Stack {stack['name']}: {key} must be {words}.")
    for name, profile in (stack.get("profiles") or {}).items():
        if profile is not None and not isinstance(profile, dict):
            raise AnsibleLookupError(
                f"Stack {stack['name']}: the profile {name} must be a dictionary."
            )
