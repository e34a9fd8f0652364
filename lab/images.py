# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images of the hosts: a base, and a layer for each kind of host."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

from settings import LABEL, TOP, LabError, docker, locked, run, say, setting

REPOSITORY = "flotilla-lab"
IMAGE_FILES = TOP / "lab" / "image"
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


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def script(name: str) -> str:
    return (IMAGE_FILES / name).read_text()


def image_tag(suite: str, kind: str) -> str:
    """The tag hashes the content of the image, so that a changed input builds a new image."""
    base = digest(suite, " ".join(PACKAGES), script("bare.sh"), script("init.sh"))
    if kind == "bare":
        return f"{REPOSITORY}:{suite}-bare-{base}"
    return f"{REPOSITORY}:{suite}-{kind}-{digest(base, script(kind + '.sh'))}"


def have_image(tag: str) -> bool:
    return run(("docker", "image", "inspect", tag), check=False).returncode == 0


def debian_sources(suite: str) -> list[str]:
    """The Debian mirror of this machine, or none. Without one, mmdebstrap uses Debian's own."""
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
    """Build an image if it is missing, and return its tag. Labs that boot together build it once."""
    tag = image_tag(suite, kind)
    if not have_image(tag):
        with locked(f"image-{tag.rpartition(':')[2]}"):
            if not have_image(tag):
                make_image(suite, kind, tag)
    return tag


def make_image(suite: str, kind: str, tag: str) -> None:
    started = time.monotonic()
    if kind == "bare":
        if setting("LAB_PULL", "auto") == "never" or not pull_base(suite, tag):
            bootstrap_base(suite, tag)
    else:
        parent = build_image(suite, "bare")
        say(f"image   {suite}: adding the layer {kind}")
        add_layer(parent, tag, f"{script(kind + '.sh')}")
    say(f"image   {tag} is ready after {time.monotonic() - started:.0f} s")


def pull_base(suite: str, tag: str) -> bool:
    """If a registry answers, pulling the base is quicker than building it."""
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
    """The rights of --privileged, for machines whose root lacks CAP_SYS_RESOURCE and cannot use that flag.

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
    for name in docker("volume", "ls", "-q", "--filter", f"label={LABEL}.image").split():
        if not remove:
            say(f"{name:<48} a disk")
        elif run(("docker", "volume", "rm", name), check=False).returncode == 0:
            say(f"removed disk {name}")
        else:
            say(f"kept disk {name}: another lab uses it")
