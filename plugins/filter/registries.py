# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters with the registries of the inventory, for engines and for stacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ..module_utils._common.errors import SwarmError
from ..module_utils._registry import inventory


def registries(hostvars: Mapping[str, Any], hosts: Iterable[str]) -> list[dict[str, Any]]:
    """See registries.yml."""
    return [_read(inventory.registry_of, hostvars, str(host)) for host in hosts]


def registry_logins(
    hostvars: Mapping[str, Any],
    hosts: Iterable[str],
    own: Iterable[Mapping[str, str]] | None = None,
) -> list[dict[str, str]]:
    """See registry_logins.yml."""
    return inventory.with_logins(own or (), registries(hostvars, hosts))


def _read(
    read: Callable[[str, Mapping[str, Any]], dict[str, Any]], hostvars: Mapping[str, Any], host: str
) -> dict[str, Any]:
    try:
        return read(host, hostvars[host])
    except SwarmError as error:
        raise AnsibleFilterError(error.message) from None


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"registries": registries, "registry_logins": registry_logins}
