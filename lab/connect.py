# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connections to the hosts: one shared ssh connection for each, and an inventory."""

from __future__ import annotations

import http.client
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from settings import TOP, Host, Lab, run


def socket_dir() -> Path:
    """A short path, because the path of a socket can have 107 characters at most, and ssh adds 17."""
    return Path.home() / ".ansible" / "cp"


def ssh_options(lab: Lab) -> list[str]:
    """One connection a host, shared by ansible, testinfra and people.

    The hosts' keys are as throw-away as the hosts, and their addresses come back with other keys.
    """
    return [
        "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
        "-o", "ControlMaster=auto", "-o", "ControlPersist=300s", "-o", f"ControlPath=~/.ansible/cp/{lab.prefix}-%h",
        "-o", "ServerAliveInterval=10", "-o", "PreferredAuthentications=publickey",
    ]  # fmt: skip


def close_connections(prefix: str, address: str = "*") -> None:
    """Close shared connections. They outlive their host, and would hang at the next host with that address."""
    socket_dir().mkdir(parents=True, exist_ok=True)
    for path in socket_dir().glob(f"{prefix}-{address}"):
        if re.fullmatch(rf"{re.escape(prefix)}-[0-9.]+", path.name):
            run(("ssh", "-o", f"ControlPath={path}", "-O", "exit", "lab"), check=False)
            path.unlink(missing_ok=True)


def forget_connections(lab: Lab, hosts: Iterable[Host]) -> None:
    socket_dir().mkdir(parents=True, exist_ok=True)
    for host in hosts:
        close_connections(lab.prefix, host.address)


def page(address: str, port: int, seconds: float = 2.0) -> str:
    """What a web server answers, or nothing."""
    connection = http.client.HTTPConnection(address, port, timeout=seconds)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        return answer.read().decode().strip() if answer.status == 200 else ""
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


SHOWN_STATE = '"{{ inventory_dir }}/../../.lab/flotilla"'


def inventory_text(lab: Lab, state: str) -> str:
    """The inventory of a lab, in the shape of inventories/lab/hosts.yml."""
    lines = ["---", "all:", "  vars:"]
    # The mesh and virtual addresses need IPVS, which the kernel under container hosts may not have.
    if lab.own_kernels:
        lines.append("    lab_mesh: true")
    lines += [
        f"    lab_state: {state}",
        "    ansible_user: root",
        '    ansible_ssh_private_key_file: "{{ lab_state }}/ssh_key"'
        if "{{" in state
        else f"    ansible_ssh_private_key_file: {state}/ssh_key",
        "    ansible_python_interpreter: /usr/bin/python3",
        "    ansible_ssh_common_args: >-",
    ]
    options = ssh_options(lab)
    lines += [f"      {options[i]} {options[i + 1]}" for i in range(0, len(options), 2)]
    lines.append("  children:")
    for group in ("swarm_managers", "swarm_workers"):
        members = [host for host in lab.hosts if host.group == group]
        lines += [f"    {group}:", "      hosts:" if members else "      hosts: {}"]
        lines += [
            f"        {host.name}: {{ansible_host: {host.address}, swarm_zone: {host.zone}}}"
            for host in members
        ]
    return "\n".join(lines) + "\n"


def inventory_dir(lab: Lab) -> Path:
    """The inventory of the default lab is in the checkout. Other labs have theirs in their state directory."""
    shown = TOP / "inventories" / "lab"
    same = inventory_text(lab, SHOWN_STATE) == without_comments((shown / "hosts.yml").read_text())
    if same and lab.registry:
        return shown
    return lab.state / "inventory"


def without_comments(text: str) -> str:
    return "".join(
        line for line in text.splitlines(keepends=True) if not line.lstrip().startswith("#")
    )


def write_inventory(lab: Lab) -> None:
    where = lab.state / "inventory"
    where.mkdir(parents=True, exist_ok=True)
    (where / "hosts.yml").write_text(inventory_text(lab, str(lab.state)))
    group_vars = where / "group_vars"
    if group_vars.is_symlink():
        group_vars.unlink()
    elif group_vars.exists():
        shutil.rmtree(group_vars)
    shown = TOP / "inventories" / "lab" / "group_vars"
    if lab.registry:
        group_vars.symlink_to(os.path.relpath(shown, where))
        return
    for file in shown.rglob("*.yml"):
        if file.name != "registry.yml":
            link = group_vars / file.relative_to(shown)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(file, link.parent))
