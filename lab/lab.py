# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab: hosts to try flotilla.swarm on, as containers with systemd and sshd, or with a kernel of their own as well.

    lab.py check        print why a lab cannot run on this machine, or nothing
    lab.py image        build the images of the hosts, unless they exist
    lab.py up           boot the hosts that are missing; wait until ssh answers on all
    lab.py down         remove this lab, and nothing of other labs and projects
    lab.py cut HOST     take the host's power away; `up` gives it back
    lab.py reset HOST   take it away for a moment: the host boots again
    lab.py freeze HOST  stop the host as it is, so that it answers nothing; `lab.py thaw HOST` lets it go on
    lab.py clean        remove every lab of this checkout, and what `up` changed on this machine
    lab.py url          print the URL of the sample stack
    lab.py push NAME:TAG [KEY=VALUE ...]    push a sample image, with that environment, to the lab's registry
    lab.py list         list the labs on this machine and their hosts
    lab.py images       list the images of labs; `images --remove` removes them
    lab.py inventory    write the inventory of this lab and print its path
    lab.py subnet       print the subnet of this lab, and reserve it if LAB_SUBNET is auto

Everything has a default and can be set by environment:

    LAB_PREFIX=flotilla  LAB_SUBNET=172.30.80.0/24 (or auto)  LAB_MANAGERS=3  LAB_WORKERS=2
    LAB_KIND=container (uml: each host has a kernel of its own, with IPVS and ESP; see lab/kernel.py)
    LAB_SUITE=bookworm (bullseye, trixie, sid)  LAB_IMAGE=bare (engine: docker is installed)
    LAB_REGISTRY=yes (no)  LAB_MIRROR=(a Debian mirror; default: the one this machine uses)
    LAB_PULL=auto (never)  LAB_COMPILED=no (yes: see lab/host/keep_compiled.py)

State of a lab (ssh key, inventory, CA) is in .lab/PREFIX. Only the standard library is used, so that
the lab works before anything is installed.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import kernel
import registry
from connect import (
    close_connections,
    forget_connections,
    inventory_dir,
    page,
    ssh_options,
    write_inventory,
)
from images import build_image, capabilities, images
from machine import check, raise_limits, restore_limits
from settings import (
    LABEL,
    TOP,
    Host,
    Lab,
    LabError,
    docker,
    in_parallel,
    live_subnet,
    locked,
    network_of,
    read_lab,
    run,
    say,
    setting,
)

VOLUMES = ("/var/lib/docker", "/var/lib/containerd", "/var/lib/docker-registry")
# A kernel of its own has one disk.
DISK = ("/disk",)
REGISTRY = "registry"
SAMPLES = {"hello:1": {"VERSION": "1"}, "hello:2": {"VERSION": "2"}}
STACK_PORT = 8080


def labelled(kind: str, prefix: str) -> list[str]:
    """The names of the objects of a lab. The lab never changes anything else."""
    listing = {
        "container": ("ps", "-a", "--format", "{{.Names}}"),
        "network": ("network", "ls", "--format", "{{.Name}}"),
        "volume": ("volume", "ls", "--format", "{{.Name}}"),
    }[kind]
    return docker(*listing, "--filter", f"label={LABEL}={prefix}").split()


def refuse_foreign(prefix: str) -> None:
    """Two checkouts on one machine must not use each other's hosts."""
    for kind, command in (("container", ("ps", "-a")), ("network", ("network", "ls"))):
        owners = docker(
            *command, "--filter", f"label={LABEL}={prefix}", "--format", f'{{{{.Label "{LABEL}.of"}}}}'
        )  # fmt: skip
        for owner in owners.splitlines():
            if owner != str(TOP):
                raise LabError(
                    f"The lab {prefix} has a {kind} of the checkout {owner or '(unknown)'}:"
                    " choose another LAB_PREFIX, or remove it from there."
                )


def own(lab: Lab) -> tuple[str, ...]:
    return ("--label", f"{LABEL}={lab.prefix}", "--label", f"{LABEL}.of={TOP}")


def make_key(lab: Lab) -> str:
    lab.state.mkdir(parents=True, exist_ok=True)
    if not lab.key.exists():
        run(
            (
                "ssh-keygen",
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-C",
                f"lab {lab.prefix}",
                "-f",
                str(lab.key),
            )
        )
    return lab.key.with_suffix(".pub").read_text().strip()


def make_network(lab: Lab) -> None:
    name = network_of(lab.prefix)
    found = live_subnet(lab.prefix)
    if found and name not in labelled("network", lab.prefix):
        raise LabError(f"The network {name} exists and is not of a lab: choose another LAB_PREFIX.")
    if found and found != str(lab.subnet):
        raise LabError(
            f"The lab {lab.prefix} runs in {found}, not in {lab.subnet}:"
            " `make lab-down` first, or choose another LAB_PREFIX."
        )
    if not found:
        done = run(
            ("docker", "network", "create", "--subnet", str(lab.subnet), *own(lab), name),
            check=False,
        )
        if done.returncode != 0:
            raise LabError(
                f"The network {lab.subnet} cannot be made ({done.stderr.strip()}):"
                " set LAB_SUBNET to one that is free, or to auto."
            )


def claim_network() -> Lab:
    """The lab, after its network has been created. A free subnet is reserved from then on."""
    check()
    with locked("subnet"):
        lab = read_lab()
        refuse_foreign(lab.prefix)
        make_network(lab)
    return lab


def shares_kernel(lab: Lab) -> tuple[str, ...]:
    """What the container of a host has that shares the kernel of this machine."""
    mounts = ["-v", "/lib/modules:/lib/modules:ro"] if Path("/lib/modules").is_dir() else []
    if lab.keeps_compiled:
        for path in sorted((TOP / "lab" / "host").glob("keep_compiled.*")):
            mounts += ["-v", f"{path}:/usr/lib/python3/dist-packages/{path.name}:ro"]
    return (
        "--cgroupns=private", "--tmpfs=/run", "--tmpfs=/tmp:exec,mode=1777", "--stop-signal=SIGRTMIN+3",
        # A host that reboots comes back. A host that is killed or stopped from outside stays down.
        "--restart=on-failure", "--add-host", f"registry.lab:{lab.address(9)}", *mounts,
    )  # fmt: skip


def kind_of(lab: Lab, name: str) -> str:
    """The hosts of a lab are of one kind, which a lab that runs keeps."""
    if name == REGISTRY:
        return f"{lab.suite} registry"
    return f"{lab.suite} {lab.image}{' uml' if lab.own_kernels else ''}"


def boot(lab: Lab, host: Host, tag: str, public_key: str, disk: str | None) -> None:
    name = f"{lab.prefix}-{host.name}"
    own_kernel = disk is not None and host.name != REGISTRY
    more = kernel.options(lab, host, str(disk)) if own_kernel else shares_kernel(lab)
    volume = f"type=volume,volume-label={LABEL}={lab.prefix},volume-label={LABEL}.of={TOP}"
    docker(
        "create", "--name", name, "--hostname", host.name,
        *own(lab), "--label", f"{LABEL}.host={host.name}",
        "--label", f"{LABEL}.kind={kind_of(lab, host.name)}", *capabilities(tag),
        "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined",
        "--security-opt=systempaths=unconfined",
        # The engine inside needs a volume, because it cannot use an overlay on an overlay.
        *(f"--mount={volume},dst={path}" for path in (DISK if own_kernel else VOLUMES)), *more,
        "--network", network_of(lab.prefix), "--ip", host.address, "--network-alias", host.name,
        "-e", f"LAB_AUTHORIZED_KEY={public_key}", tag, *(kernel.COMMAND if own_kernel else ()),
    )  # fmt: skip
    if host.name == REGISTRY:
        for file in ("registry.crt", "registry.key"):
            docker("cp", str(lab.state / "registry" / file), f"{name}:/etc/docker/registry/{file}")
    docker("start", name)


def wait_for_ssh(lab: Lab, hosts: Iterable[Host], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    logins = ssh_options(lab)
    # Hosts with an engine in their image are ready when the engine answers.
    ready = (
        "timeout 30 sh -c 'until docker version; do sleep 0.2; done'"
        if lab.image == "engine"
        else "true"
    )

    def wait(host: Host) -> None:
        while True:
            if port_answers(host.address):
                done = run(
                    ("ssh", *logins, "-i", str(lab.key), f"root@{host.address}", ready), check=False
                )
                if done.returncode == 0:
                    return
            if time.monotonic() > deadline:
                raise LabError(
                    f"{host.name} ({host.address}) did not answer by ssh within {seconds:.0f} s:"
                    f" see `docker logs {lab.prefix}-{host.name}`."
                )
            time.sleep(0.2)

    in_parallel(wait, hosts)


def port_answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=1):
            return True
    except OSError:
        return False


def up(lab: Lab) -> None:
    if lab.own_kernels:
        kernel.check_kernel()
    disk = kernel.disk_of(lab) if lab.own_kernels else None
    tag = kernel.kernel_image() if lab.own_kernels else build_image(lab.suite, lab.image)
    tags = {host.name: tag for host in lab.hosts}
    hosts = list(lab.hosts)
    if lab.registry:
        tags[REGISTRY] = build_image(lab.suite, REGISTRY)
        hosts.append(Host(REGISTRY, "", "", lab.address(9)))
        registry.make_certificates(lab.state / "registry", lab.address(9))
    if not lab.own_kernels:
        raise_limits(tag)
    public_key = make_key(lab)
    listed = docker(
        "ps", "-a", "--filter", f"label={LABEL}={lab.prefix}", "--filter", f"label={LABEL}.host",
        "--format", f'{{{{.Label "{LABEL}.host"}}}}|{{{{.Label "{LABEL}.kind"}}}}|{{{{.State}}}}',
    )  # fmt: skip
    there = {line.split("|")[0]: line.split("|")[1:] for line in listed.splitlines()}
    for name, (kind, _state) in sorted(there.items()):
        if kind != kind_of(lab, name) and name != REGISTRY:
            raise LabError(
                f"The lab {lab.prefix} has {name} as {kind}, and {kind_of(lab, name)} is asked for:"
                f" `make lab-down` first, or choose another LAB_PREFIX."
            )
    missing = [host for host in hosts if host.name not in there]
    state = {name: state for name, (_kind, state) in there.items()}
    frozen = [host for host in hosts if state.get(host.name) == "paused"]
    stopped = [h for h in hosts if state.get(h.name) not in (None, "running", "paused")]
    if lab.own_kernels:
        kernel.check_memory(len(missing))
    write_inventory(lab)
    forget_connections(lab, missing + stopped)
    if missing:
        capabilities(tags[missing[0].name])
    in_parallel(lambda host: boot(lab, host, tags[host.name], public_key, disk), missing)
    in_parallel(lambda host: void(docker("start", f"{lab.prefix}-{host.name}")), stopped)
    in_parallel(lambda host: void(docker("unpause", f"{lab.prefix}-{host.name}")), frozen)
    wait_for_ssh(lab, lab.hosts, 240 if lab.own_kernels else 60)
    if lab.registry:
        fill_registry(lab)
    started = len(stopped) + len(frozen)
    kept = len(hosts) - len(missing) - started
    say(
        f"lab     {lab.prefix} in {lab.subnet}: {len(lab.hosts)} hosts{' and a registry' if lab.registry else ''};"
        f" {len(missing)} created, {started} started, {kept} kept"
    )


def fill_registry(lab: Lab, seconds: float = 60) -> None:
    address, ca = lab.address(9), lab.state / "registry" / "ca.crt"
    deadline = time.monotonic() + seconds
    while not registry.answers(address, ca):
        if time.monotonic() > deadline:
            raise LabError(
                f"The registry of lab {lab.prefix} did not answer at {address}:{registry.PORT} within {seconds:.0f} s."
            )
        time.sleep(0.2)
    for image, environment in SAMPLES.items():
        if not registry.answers(address, ca, image):
            push(lab, image, environment)


def push(lab: Lab, image: str, environment: dict[str, str]) -> None:
    found = subprocess.run(
        ("docker", "exec", f"{lab.prefix}-{REGISTRY}", "cat", "/usr/local/lib/busybox"),
        capture_output=True,
        check=False,
    )
    if found.returncode != 0:
        raise LabError(f"The lab {lab.prefix} has no registry that runs: `make lab` boots one.")
    pushed = registry.push(
        lab.address(9), lab.state / "registry" / "ca.crt", found.stdout, image, environment
    )
    say(f"image   {registry.NAME}:{registry.PORT}/{image} {pushed[:19]}")


def void(_value: object) -> None:
    return None


def down(prefix: str) -> None:
    refuse_foreign(prefix)
    containers, networks = labelled("container", prefix), labelled("network", prefix)
    close_connections(prefix)
    if containers:
        docker("rm", "-fv", *containers)
    for volume in labelled("volume", prefix):
        docker("volume", "rm", "-f", volume, check=False)
    if networks:
        docker("network", "rm", *networks)
    shutil.rmtree(TOP / ".lab" / prefix, ignore_errors=True)
    say(f"lab     {prefix}: removed {len(containers)} containers, {len(networks)} networks")


def clean() -> None:
    prefixes = {path.name for path in (TOP / ".lab").glob("*") if path.is_dir()}
    for kind in ("container", "network", "volume"):
        prefixes |= set(labels_of(kind))
    for prefix in sorted(prefixes):
        down(prefix)
    images(remove=True)
    restore_limits()


def labels_of(kind: str) -> list[str]:
    """The labs of this checkout, found by their objects on this machine."""
    command = {"container": ("ps", "-a"), "network": ("network", "ls"), "volume": ("volume", "ls")}[
        kind
    ]
    return docker(
        *command, "--filter", f"label={LABEL}.of={TOP}", "--format", f'{{{{.Label "{LABEL}"}}}}'
    ).split()


def find_url(lab: Lab, seconds: float = 60) -> None:
    """Where hosts share a kernel, only hosts with a task have the port, so one is to answer. With the mesh, every host is."""
    deadline = time.monotonic() + seconds
    silent = list(lab.hosts)
    while time.monotonic() < deadline:
        for host in list(silent):
            answer = page(host.address, STACK_PORT)
            if answer:
                say(f"url     http://{host.address}:{STACK_PORT}/ answers: {answer}")
                silent.remove(host)
                if not (lab.own_kernels and silent):
                    return
        time.sleep(0.5)
    raise LabError(
        f"{', '.join(host.name for host in silent)} of lab {lab.prefix} did not answer on port {STACK_PORT} within"
        f" {seconds:.0f} s: see `docker service ps hello_web` on a manager."
    )


def power(lab: Lab, verb: str, name: str) -> None:
    """A fault of one host: its power, or a freeze. What has been sent to it is lost; its disk has what was written to it."""
    hosts = {host.name: host for host in lab.hosts}
    if name not in hosts:
        raise LabError(
            f"There is no host {name} in the lab {lab.prefix}: choose one of {', '.join(hosts)}."
        )
    refuse_foreign(lab.prefix)
    forget_connections(lab, [hosts[name]])
    for command in POWER[verb]:
        docker(command, f"{lab.prefix}-{name}")
    say(f"lab     {lab.prefix}: {verb} {name}")


POWER = {
    "cut": ("kill",),
    "reset": ("kill", "start"),
    "freeze": ("pause",),
    "thaw": ("unpause",),
}


def list_labs() -> None:
    rows = docker(
        "ps", "-a", "--filter", f"label={LABEL}",
        "--format", f'{{{{.Label "{LABEL}"}}}}|{{{{.Names}}}}|{{{{.Label "{LABEL}.kind"}}}}|{{{{.Status}}}}',
    )  # fmt: skip
    for row in sorted(rows.splitlines()):
        prefix, name, kind, status = row.split("|")
        say(f"{prefix:<16} {name:<24} {kind:<18} {status}")


def check_lab() -> Lab:
    """The lab of the environment, if it can run on this machine."""
    check()
    lab = read_lab()
    if lab.own_kernels:
        kernel.check_kernel()
    return lab


def main(argv: Sequence[str]) -> int:
    command = argv[0] if argv else ""
    try:
        if command == "check":
            check_lab()
        elif command == "image":
            lab = check_lab()
            if lab.own_kernels:
                kernel.disk_of(lab)
            else:
                build_image(lab.suite, lab.image)
        elif command == "up":
            up(claim_network())
        elif command == "down":
            down(setting("LAB_PREFIX", "flotilla"))
        elif command == "list":
            list_labs()
        elif command == "images":
            images(remove="--remove" in argv)
        elif command == "push" and len(argv) > 1:
            push(read_lab(), argv[1], dict(pair.split("=", 1) for pair in argv[2:]))
        elif command in POWER and len(argv) > 1:
            power(read_lab(), command, argv[1])
        elif command == "clean":
            clean()
        elif command == "url":
            find_url(read_lab())
        elif command == "subnet":
            say(str(claim_network().subnet))
        elif command == "inventory":
            lab = read_lab()
            where = inventory_dir(lab)
            if where.is_relative_to(lab.state):
                write_inventory(lab)
            say(str(where))
        else:
            say((__doc__ or "").strip())
            return 2
    except (LabError, registry.RegistryError, OSError) as error:
        print(f"lab: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
