# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab: hosts to try flotilla.swarm on, as containers with systemd and sshd.

    lab.py check        say in one sentence why a lab cannot run here, or nothing
    lab.py image        build what the hosts are made of, unless it is there
    lab.py up           boot the hosts that are missing; wait until ssh answers on all
    lab.py down         remove this lab; containers, networks and volumes of others stay
    lab.py clean        remove every lab of this checkout, and what `up` changed on this machine
    lab.py url          where the sample stack answers
    lab.py push NAME:TAG [KEY=VALUE ...]    push a sample image, with that environment, to the lab's registry
    lab.py list         the labs on this machine and their hosts
    lab.py images       the images that labs are made of; `images --remove` removes them
    lab.py inventory    write the inventory of this lab and say where it is
    lab.py subnet       the subnet of this lab, chosen if LAB_SUBNET is auto

Everything has a default and can be set by environment:

    LAB_PREFIX=flotilla  LAB_SUBNET=172.30.80.0/24 (or auto)  LAB_MANAGERS=3  LAB_WORKERS=2
    LAB_SUITE=bookworm (bullseye, trixie, sid)  LAB_IMAGE=bare (engine: docker is installed)
    LAB_REGISTRY=yes (no)  LAB_MIRROR=(a Debian mirror; default: the one this machine uses)
    LAB_PULL=auto (never)

State of a lab (ssh key, inventory, CA) is in .lab/PREFIX. Only the standard library is used, so that
the lab works before anything is installed.
"""

from __future__ import annotations

import functools
import hashlib
import http.client
import ipaddress
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import registry

LABEL = "flotilla.lab"
REPOSITORY = "flotilla-lab"
SUITES = ("bullseye", "bookworm", "trixie", "sid")
ZONES = ("a", "b", "c")
PACKAGES = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "python3",
    "sudo",
    "iproute2",
    "iptables",
    "procps",
    "kmod",
    "ca-certificates",
    "curl",
]
VOLUMES = ("/var/lib/docker", "/var/lib/containerd", "/var/lib/docker-registry")
REGISTRY = "registry"
SAMPLES = {"hello:1": {"VERSION": "1"}, "hello:2": {"VERSION": "2"}}
STACK_PORT = 8080
MAX_HOSTS = 25

TOP = Path(__file__).resolve().parent.parent
IMAGE_FILES = TOP / "lab" / "image"
BEFORE = TOP / ".cache" / "max_user_instances"
INOTIFY_INSTANCES = 4096
DEFAULT_SUBNET = "172.30.80.0/24"


class LabError(Exception):
    """What is wrong and what to do, in one sentence."""


@dataclass(frozen=True)
class Host:
    name: str
    group: str
    zone: str
    address: str


@dataclass(frozen=True)
class Lab:
    """What was asked for by environment."""

    prefix: str
    subnet: ipaddress.IPv4Network
    suite: str
    image: str
    hosts: tuple[Host, ...]
    registry: bool

    @property
    def state(self) -> Path:
        return TOP / ".lab" / self.prefix

    @property
    def key(self) -> Path:
        return self.state / "ssh_key"

    def address(self, offset: int) -> str:
        return str(self.subnet[offset])


def say(text: str) -> None:
    print(text, flush=True)


def run(
    command: Sequence[str],
    *,
    check: bool = True,
    stdin: str | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        text=True,
        input=stdin,
        stdin=None if stdin is not None else subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    if check and done.returncode != 0:
        lines = [
            line
            for line in (done.stderr or done.stdout).splitlines()
            if line.strip() and "--help" not in line
        ]
        raise LabError(
            f"`{' '.join(command[:3])} ...` failed: {(lines or ['no message'])[0].strip()}"
        )
    return done


def docker(
    *args: str, check: bool = True, stdin: str | None = None, timeout: float | None = None
) -> str:
    return run(("docker", *args), check=check, stdin=stdin, timeout=timeout).stdout.strip()


def in_parallel(work: Callable[[Host], None], hosts: Iterable[Host]) -> None:
    hosts = list(hosts)
    with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
        for done in [pool.submit(work, host) for host in hosts]:
            done.result()


# ---------------------------------------------------------------------------- what was asked for


def setting(name: str, default: str) -> str:
    return os.environ.get(name, "").strip() or default


def number(name: str, default: int, low: int) -> int:
    text = setting(name, str(default))
    if not text.isdigit() or not low <= int(text) <= MAX_HOSTS:
        raise LabError(f"{name} is {text!r}: give a number from {low} to {MAX_HOSTS}.")
    return int(text)


def one_of(name: str, default: str, allowed: Sequence[str]) -> str:
    text = setting(name, default)
    if text not in allowed:
        raise LabError(f"{name} is {text!r}: give one of {', '.join(allowed)}.")
    return text


def read_lab() -> Lab:
    prefix = setting("LAB_PREFIX", "flotilla")
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", prefix):
        raise LabError(
            f"LAB_PREFIX is {prefix!r}: give at most 31 lower-case letters, digits and dashes, a letter first."
        )
    managers = number("LAB_MANAGERS", 3, 0)
    workers = number("LAB_WORKERS", 2, 0)
    if not 1 <= managers + workers <= MAX_HOSTS:
        raise LabError(
            f"LAB_MANAGERS and LAB_WORKERS make {managers + workers} hosts: a lab has 1 to {MAX_HOSTS}."
        )
    subnet = read_subnet(prefix)
    hosts = []
    for group, letter, count, offset in (
        ("swarm_managers", "m", managers, 10),
        ("swarm_workers", "w", workers, 100),
    ):
        hosts += [
            Host(f"{letter}{i}", group, ZONES[(i - 1) % len(ZONES)], str(subnet[offset + i]))
            for i in range(1, count + 1)
        ]
    return Lab(
        prefix=prefix,
        subnet=subnet,
        suite=one_of("LAB_SUITE", "bookworm", SUITES),
        image=one_of("LAB_IMAGE", "bare", ("bare", "engine")),
        hosts=tuple(hosts),
        registry=one_of("LAB_REGISTRY", "yes", ("yes", "no")) == "yes",
    )


def read_subnet(prefix: str) -> ipaddress.IPv4Network:
    text = setting("LAB_SUBNET", DEFAULT_SUBNET)
    if text == "auto":
        text = live_subnet(prefix) or free_subnet()
    try:
        subnet = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise LabError(f"LAB_SUBNET is {text!r}: {error}.") from error
    if subnet.prefixlen > 25:
        raise LabError(f"LAB_SUBNET is {text!r}: a lab needs a /25 or larger.")
    return subnet


def live_subnet(prefix: str) -> str:
    found = run(
        (
            "docker",
            "network",
            "inspect",
            "-f",
            "{{range .IPAM.Config}}{{.Subnet}}{{end}}",
            f"{prefix}-lab",
        ),
        check=False,
    )
    return found.stdout.strip() if found.returncode == 0 else ""


def free_subnet() -> str:
    """The first /24 from the default on that neither a Docker network nor a route of this machine uses."""
    taken = run(("ip", "-4", "-o", "route", "show", "table", "all"), check=False).stdout
    for network in docker("network", "ls", "-q").split():
        taken += (
            docker(
                "network",
                "inspect",
                "-f",
                "{{range .IPAM.Config}}{{.Subnet}} {{end}}",
                network,
                check=False,
            )
            + "\n"
        )
    used = [
        ipaddress.ip_network(text, strict=False)
        for text in re.findall(r"\d+\.\d+\.\d+\.\d+/\d+", taken)
    ]
    first = int(ipaddress.IPv4Address(DEFAULT_SUBNET.partition("/")[0]))
    for step in range(1, 120):
        candidate = ipaddress.IPv4Network((first + 256 * step, 24))
        if not any(candidate.overlaps(network) for network in used if network.prefixlen):
            return str(candidate)
    raise LabError(
        "LAB_SUBNET is auto and no /24 behind 172.30.80.0 is free: set LAB_SUBNET to one that is."
    )


# ---------------------------------------------------------------------------- can it run here


def check() -> None:
    if sys.platform != "linux":
        raise LabError(
            f"A lab needs Linux, and this is {sys.platform}: use a Linux machine or virtual machine."
        )
    for tool, package in (
        ("docker", "docker.io (docker-cli from Debian 13 on)"),
        ("ssh", "openssh-client"),
    ):
        if shutil.which(tool) is None:
            raise LabError(f"A lab needs the command {tool}: install the package {package}.")
    answer = run(("docker", "info", "-f", "{{.OSType}} {{.ServerVersion}}"), check=False)
    if answer.returncode != 0 or answer.stdout.split()[:1] != ["linux"]:
        reason = (answer.stderr or answer.stdout).strip().splitlines() or ["no answer"]
        if "permission denied" in reason[0].lower():
            raise LabError(
                "A lab needs the Docker engine, and this user may not use it: run as root or join the group docker."
            )
        raise LabError(
            f"A lab needs a Docker engine on this machine, and none answers ({reason[0]}): run `make engine` as root."
        )
    endpoint = os.environ.get("DOCKER_HOST", "")
    if endpoint and not endpoint.startswith("unix://"):
        raise LabError(
            f"A lab needs the engine of this machine, and DOCKER_HOST is {endpoint}: unset it."
        )
    if not Path("/sys/fs/cgroup").is_dir() or not any(Path("/sys/fs/cgroup").iterdir()):
        raise LabError(
            "A lab needs control groups, and /sys/fs/cgroup is empty here: mount them, or use a machine that has them."
        )


def raise_limits(tag: str) -> None:
    """Every systemd takes some inotify instances of the one user root: 128 are used up by a dozen hosts."""
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    found = int(limit.read_text())
    if found >= INOTIFY_INSTANCES:
        return
    try:
        limit.write_text(str(INOTIFY_INSTANCES))
    except OSError:
        # Who may use the engine without being root can do it in a container: the limit is the kernel's.
        command = f"echo {INOTIFY_INSTANCES} > {limit}"
        done = run(
            (
                "docker",
                "run",
                "--rm",
                "--security-opt=systempaths=unconfined",
                "--cap-add=SYS_ADMIN",
                tag,
                "sh",
                "-c",
                command,
            ),
            check=False,
        )
        if done.returncode != 0:
            raise LabError(
                f"A lab needs more inotify instances than {found}: as root, run"
                f" `sysctl -w fs.inotify.max_user_instances={INOTIFY_INSTANCES}`."
            ) from None
    BEFORE.parent.mkdir(exist_ok=True)
    if not BEFORE.exists():
        BEFORE.write_text(f"{found}\n")
    say(
        f"limits  fs.inotify.max_user_instances {found} -> {INOTIFY_INSTANCES}; `make clean` puts it back"
    )


def restore_limits() -> None:
    if not BEFORE.exists():
        return
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    if limit.read_text().strip() == str(INOTIFY_INSTANCES):
        try:
            limit.write_text(BEFORE.read_text())
        except OSError:
            say(
                f"limits  fs.inotify.max_user_instances stays at {INOTIFY_INSTANCES}: only root can put it back"
            )
    BEFORE.unlink()


# ---------------------------------------------------------------------------- images


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def script(name: str) -> str:
    return (IMAGE_FILES / name).read_text()


def image_tag(suite: str, kind: str) -> str:
    """The tag says what is in the image, so that a change of an input builds a new one."""
    base = digest(suite, " ".join(PACKAGES), script("bare.sh"), script("init.sh"))
    if kind == "bare":
        return f"{REPOSITORY}:{suite}-bare-{base}"
    return f"{REPOSITORY}:{suite}-{kind}-{digest(base, script(kind + '.sh'))}"


def have_image(tag: str) -> bool:
    return run(("docker", "image", "inspect", tag), check=False).returncode == 0


def debian_sources(suite: str) -> list[str]:
    """The Debian mirror that this machine uses, or none: then mmdebstrap takes Debian's own."""
    mirror = setting("LAB_MIRROR", "").rstrip("/")
    if not mirror and shutil.which("apt-get"):
        for line in run(
            ("apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN)"), check=False
        ).stdout.splitlines():
            uri, _space, origin = line.partition(" ")
            if origin == "Debian" and "security" not in uri and "backports" not in uri:
                mirror = uri.rstrip("/")
                break
    if not mirror:
        return []
    sources = [f"deb {mirror} {suite} main"]
    if suite != "sid":
        security = (
            f"{mirror.removesuffix('/debian')}/debian-security"
            if mirror.endswith("/debian")
            else ""
        )
        if security:
            sources.append(f"deb {security} {suite}-security main")
    return sources


def build_image(suite: str, kind: str) -> str:
    tag = image_tag(suite, kind)
    if have_image(tag):
        return tag
    started = time.monotonic()
    if kind == "bare":
        if setting("LAB_PULL", "auto") == "never" or not pull_base(suite, tag):
            bootstrap_base(suite, tag)
    else:
        parent = build_image(suite, "bare")
        say(f"image   {suite}: adding the layer {kind}")
        add_layer(parent, tag, f"{script(kind + '.sh')}")
    say(f"image   {tag} is ready after {time.monotonic() - started:.0f} s")
    return tag


def pull_base(suite: str, tag: str) -> bool:
    """Where a registry answers, pulling the base is quicker than making it."""
    base = f"debian:{suite}-slim" if suite != "sid" else "debian:sid-slim"
    if not have_image(base):
        try:
            if run(("docker", "manifest", "inspect", base), check=False, timeout=6).returncode != 0:
                return False
        except subprocess.TimeoutExpired:
            return False
        say(f"image   {suite}: pulling {base}")
        if run(("docker", "pull", "-q", base), check=False).returncode != 0:
            return False
    say(f"image   {suite}: adding systemd and sshd to {base}")
    add_layer(base, tag, script("bare.sh"), "install", *PACKAGES, init=True)
    return True


def bootstrap_base(suite: str, tag: str) -> None:
    if shutil.which("mmdebstrap") is None:
        raise LabError(
            "No image registry answers, and the command mmdebstrap is missing: install the package mmdebstrap."
        )
    say(
        f"image   {suite}: no image registry answers, making it with mmdebstrap; takes about half a minute, once"
    )
    sources = debian_sources(suite)
    bootstrap = [
        "mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}",
        '--aptopt=Acquire::Check-Valid-Until "false"', '--aptopt=Acquire::Languages "none"',
        f"--customize-hook=upload '{IMAGE_FILES / 'init.sh'}' /init.sh",
        f"--customize-hook=chroot \"$1\" sh < '{IMAGE_FILES / 'bare.sh'}'",
        suite, "-", *sources,
    ]  # fmt: skip
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    if keyring.exists():
        bootstrap.insert(1, f"--keyring={keyring}")
    labels = ["-c", f"LABEL {LABEL}.image={suite}", "-c", 'CMD ["/init.sh"]']
    with (
        subprocess.Popen(
            bootstrap, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        ) as made,
        subprocess.Popen(
            ("docker", "import", *labels, "-", tag), stdin=made.stdout, stdout=subprocess.DEVNULL
        ) as taken,
    ):
        assert made.stdout is not None
        assert made.stderr is not None
        made.stdout.close()
        complaint = made.stderr.read().decode(errors="replace").strip().splitlines()
        if made.wait() != 0:
            taken.wait()
            docker("rmi", tag, check=False)
            raise LabError(
                f"mmdebstrap could not make {suite}: {next((x for x in complaint if 'E:' in x), complaint[-1:])}"
            )
    if not have_image(tag):
        raise LabError(f"docker import did not take the image {tag}.")


@functools.cache
def capabilities(image: str) -> tuple[str, ...]:
    """What --privileged would give, for machines whose root lacks CAP_SYS_RESOURCE and is refused that flag.

    There, an old engine takes "all" for more than it has, unless that one is dropped; a new engine knows
    what it has, and does not let one be dropped that it lacks.
    """
    flags = ("--cap-add=ALL", "--cap-drop=SYS_RESOURCE")
    probe = run(("docker", "create", *flags, image, "true"), check=False)
    if probe.returncode == 0:
        docker("rm", probe.stdout.strip())
        return flags
    return flags[:1]


def add_layer(parent: str, tag: str, text: str, *args: str, init: bool = False) -> None:
    """Run a script in a container of the parent image and commit the result: no image builder is needed."""
    name = f"{REPOSITORY}-build-{os.getpid()}"
    mask = (*capabilities(parent), "--security-opt=seccomp=unconfined")
    docker(
        "create",
        "-i",
        "--name",
        name,
        "--label",
        f"{LABEL}.build=1",
        *mask,
        parent,
        "sh",
        "-s",
        *args,
    )
    try:
        if init:
            docker("cp", str(IMAGE_FILES / "init.sh"), f"{name}:/init.sh")
        run(("docker", "start", "-ai", name), stdin=text)
        docker("commit", "-c", f"LABEL {LABEL}.image=1", "-c", 'CMD ["/init.sh"]', name, tag)
    finally:
        docker("rm", "-fv", name, check=False)


def images(remove: bool) -> None:
    for line in docker(
        "image",
        "ls",
        "--filter",
        f"label={LABEL}.image",
        "--format",
        "{{.Repository}}:{{.Tag}} {{.Size}}",
    ).splitlines():
        tag, size = line.split(" ", 1)
        if not remove:
            say(f"{tag:<48} {size}")
        elif run(("docker", "rmi", tag), check=False).returncode == 0:
            say(f"removed image {tag}")
        else:
            say(f"kept image {tag}: another lab uses it")


# ---------------------------------------------------------------------------- hosts


def labelled(kind: str, prefix: str) -> list[str]:
    """Names of what belongs to a lab; nothing else is ever touched."""
    listing = {
        "container": ("ps", "-a", "--format", "{{.Names}}"),
        "network": ("network", "ls", "--format", "{{.Name}}"),
        "volume": ("volume", "ls", "--format", "{{.Name}}"),
    }[kind]
    return docker(*listing, "--filter", f"label={LABEL}={prefix}").split()


def refuse_foreign(prefix: str) -> None:
    """Two checkouts on one machine must not take each other's hosts for their own."""
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


def make_network(lab: Lab) -> str:
    name = f"{lab.prefix}-lab"
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
    return name


def boot(lab: Lab, host: Host, network: str, tag: str, public_key: str) -> None:
    name = f"{lab.prefix}-{host.name}"
    modules = ("-v", "/lib/modules:/lib/modules:ro") if Path("/lib/modules").is_dir() else ()
    volume = f"type=volume,volume-label={LABEL}={lab.prefix},volume-label={LABEL}.of={TOP}"
    docker(
        "create", "--name", name, "--hostname", host.name,
        *own(lab), "--label", f"{LABEL}.host={host.name}",
        "--label", f"{LABEL}.kind={lab.suite} {(host.group and lab.image) or 'registry'}",
        *capabilities(tag), "--cgroupns=private",
        "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined",
        "--security-opt=systempaths=unconfined",
        "--tmpfs=/run", "--tmpfs=/tmp:exec,mode=1777", "--stop-signal=SIGRTMIN+3",
        # The engine inside cannot put its overlays on an overlay.
        *(f"--mount={volume},dst={path}" for path in VOLUMES), *modules,
        "--network", network, "--ip", host.address, "--network-alias", host.name,
        "--add-host", f"registry.lab:{lab.address(9)}", "-e", f"LAB_AUTHORIZED_KEY={public_key}", tag,
    )  # fmt: skip
    if host.name == REGISTRY:
        for file in ("registry.crt", "registry.key"):
            docker("cp", str(lab.state / "registry" / file), f"{name}:/etc/docker/registry/{file}")
    docker("start", name)


def wait_for_ssh(lab: Lab, hosts: Iterable[Host], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    logins = ssh_options(lab)
    # Hosts on which the engine is baked in are ready when it answers.
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
    check()
    refuse_foreign(lab.prefix)
    tags = {host.name: build_image(lab.suite, lab.image) for host in lab.hosts}
    hosts = list(lab.hosts)
    if lab.registry:
        tags[REGISTRY] = build_image(lab.suite, REGISTRY)
        hosts.append(Host(REGISTRY, "", "", lab.address(9)))
        registry.make_certificates(lab.state / "registry", lab.address(9))
    raise_limits(tags[lab.hosts[0].name])
    public_key = make_key(lab)
    network = make_network(lab)
    listed = docker(
        "ps", "-a", "--filter", f"label={LABEL}={lab.prefix}", "--filter", f"label={LABEL}.host",
        "--format", f'{{{{.Label "{LABEL}.host"}}}}|{{{{.Label "{LABEL}.kind"}}}}|{{{{.State}}}}',
    )  # fmt: skip
    there = {line.split("|")[0]: line.split("|")[1:] for line in listed.splitlines()}
    wanted = f"{lab.suite} {lab.image}"
    for name, (kind, _state) in sorted(there.items()):
        if kind != wanted and name != REGISTRY:
            raise LabError(
                f"The lab {lab.prefix} has {name} as {kind}, and {wanted} is asked for:"
                f" `make lab-down` first, or choose another LAB_PREFIX."
            )
    missing = [host for host in hosts if host.name not in there]
    stopped = [host for host in hosts if host.name in there and there[host.name][1] != "running"]
    write_inventory(lab)
    forget_connections(lab, missing + stopped)
    if missing:
        capabilities(tags[missing[0].name])
    in_parallel(lambda host: boot(lab, host, network, tags[host.name], public_key), missing)
    in_parallel(lambda host: void(docker("start", f"{lab.prefix}-{host.name}")), stopped)
    wait_for_ssh(lab, lab.hosts)
    if lab.registry:
        fill_registry(lab)
    kept = len(hosts) - len(missing) - len(stopped)
    say(
        f"lab     {lab.prefix} in {lab.subnet}: {len(lab.hosts)} hosts{' and a registry' if lab.registry else ''};"
        f" {len(missing)} created, {len(stopped)} started, {kept} kept"
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
    """The labs of this checkout, by what they left on this machine."""
    command = {"container": ("ps", "-a"), "network": ("network", "ls"), "volume": ("volume", "ls")}[
        kind
    ]
    return docker(
        *command, "--filter", f"label={LABEL}.of={TOP}", "--format", f'{{{{.Label "{LABEL}"}}}}'
    ).split()


def find_url(lab: Lab, seconds: float = 30) -> None:
    """The stack's port is on the hosts that run a task of it: ask all until one answers."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for host in lab.hosts:
            connection = http.client.HTTPConnection(host.address, STACK_PORT, timeout=1)
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                if answer.status == 200:
                    say(
                        f"url     http://{host.address}:{STACK_PORT}/ answers: {answer.read().decode().strip()}"
                    )
                    return
            except OSError:
                continue
            finally:
                connection.close()
        time.sleep(0.5)
    raise LabError(
        f"No host of lab {lab.prefix} answers on port {STACK_PORT} after {seconds:.0f} s:"
        " see `docker service ps hello_web` on a manager."
    )


def list_labs() -> None:
    rows = docker(
        "ps", "-a", "--filter", f"label={LABEL}",
        "--format", f'{{{{.Label "{LABEL}"}}}}|{{{{.Names}}}}|{{{{.Label "{LABEL}.kind"}}}}|{{{{.Status}}}}',
    )  # fmt: skip
    for row in sorted(rows.splitlines()):
        prefix, name, kind, status = row.split("|")
        say(f"{prefix:<16} {name:<24} {kind:<18} {status}")


# ---------------------------------------------------------------------------- ssh and inventory


def socket_dir() -> Path:
    """Short, because a socket's path may have 107 characters at most, and ssh adds 17 of its own."""
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
    """A shared connection outlives its host, and would then hang at the next host with that address."""
    socket_dir().mkdir(parents=True, exist_ok=True)
    for path in socket_dir().glob(f"{prefix}-{address}"):
        if re.fullmatch(rf"{re.escape(prefix)}-[0-9.]+", path.name):
            run(("ssh", "-o", f"ControlPath={path}", "-O", "exit", "lab"), check=False)
            path.unlink(missing_ok=True)


def forget_connections(lab: Lab, hosts: Iterable[Host]) -> None:
    socket_dir().mkdir(parents=True, exist_ok=True)
    for host in hosts:
        close_connections(lab.prefix, host.address)


SHOWN_STATE = '"{{ inventory_dir }}/../../.lab/flotilla"'


def inventory_text(lab: Lab, state: str) -> str:
    """The inventory of a lab, in the shape of inventories/lab/hosts.yml."""
    lines = ["---", "all:", "  vars:"]
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
    """The default lab has its inventory in the checkout, for people to read; every lab has one in its state."""
    shown = TOP / "inventories" / "lab"
    if inventory_text(lab, SHOWN_STATE) == without_comments((shown / "hosts.yml").read_text()):
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
    if not group_vars.is_symlink():
        group_vars.symlink_to(os.path.relpath(TOP / "inventories" / "lab" / "group_vars", where))


def main(argv: Sequence[str]) -> int:
    command = argv[0] if argv else ""
    try:
        if command == "check":
            check()
        elif command == "image":
            check()
            lab = read_lab()
            build_image(lab.suite, lab.image)
        elif command == "up":
            up(read_lab())
        elif command == "down":
            down(setting("LAB_PREFIX", "flotilla"))
        elif command == "list":
            list_labs()
        elif command == "images":
            images(remove="--remove" in argv)
        elif command == "push" and len(argv) > 1:
            push(read_lab(), argv[1], dict(pair.split("=", 1) for pair in argv[2:]))
        elif command == "clean":
            clean()
        elif command == "url":
            find_url(read_lab())
        elif command == "subnet":
            say(str(read_lab().subnet))
        elif command == "inventory":
            lab = read_lab()
            where = inventory_dir(lab)
            if where.is_relative_to(lab.state):
                write_inventory(lab)
            say(str(where))
        else:
            say((__doc__ or "").strip())
            return 2
    except (LabError, registry.RegistryError) as error:
        print(f"lab: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
