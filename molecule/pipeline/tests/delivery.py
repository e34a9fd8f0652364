# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the drills share: who is who in the lab, a git server over ssh, and somebody who commits to it.

m1 m2 m3   the managers, which run tasks
w1         a worker, with the registry and the git server
w2         the builder, outside of the swarm
"""

from __future__ import annotations

import base64
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import drive
from drive import SOAK as SOAK
from drive import soak as soak

FILES = drive.TOP / "molecule" / "pipeline" / "files"
GIT_HOST, REGISTRY_HOST, BUILDER = "w1", "w1", "w2"
GIT_ROOT = "/srv/git"
GITOPS, GITOPS_TIMER = "flotilla-swarm-gitops.service", "flotilla-swarm-gitops.timer"
# Passwords and tokens of the lab. No output has them.
PASSWORDS = {"builder": "builds-Zq7-everything", "swarm": "pulls-Xk3-everything"}


def playbook(name: str, *flags: str, inventory: Path | None = None, **extra: Any) -> drive.Run:
    """A run of a playbook of the collection. Its output has no password."""
    run = drive.play(
        *flags,
        playbook=drive.TOP / "playbooks" / f"{name}.yml",
        inventory=inventory or inventory_path(),
        **extra,
    )
    for password in PASSWORDS.values():
        assert password not in run.text
        assert base64.b64encode(password.encode()).decode() not in run.text
    return run


def done(run: drive.Run) -> drive.Run:
    """A run that must succeed."""
    assert run.code == 0, run.text[-6000:]
    return run


def journal(since: str = "-3 min") -> str:
    """What GitOps has said on each manager."""
    found = drive.on_each(
        drive.MANAGERS,
        lambda host: drive.ssh(
            host, f"journalctl -q -o cat --since '{since}' -u {GITOPS}", check=False
        ),
    )
    return "\n".join(f"{host}:\n{text}" for host, text in found.items() if text.strip())


# The inventory


def inventory_path() -> Path:
    return drive.STATE / "pipeline"


def lab_hosts() -> dict[str, dict[str, Any]]:
    """The hosts of the lab, with their addresses and zones."""
    lab = yaml.safe_load((drive.INVENTORY / "hosts.yml").read_text(encoding="utf-8"))["all"]
    return {
        name: dict(values or {})
        for group in lab["children"].values()
        for name, values in group["hosts"].items()
    }


def address(host: str) -> str:
    return str(lab_hosts()[host]["ansible_host"])


def registry() -> str:
    """The registry, as in the names of images."""
    return f"{address(REGISTRY_HOST)}:5000"


def nodes() -> list[str]:
    """The hosts of the inventory of the scenario that are nodes of the swarm."""
    document = yaml.safe_load((inventory_path() / "hosts.yml").read_text(encoding="utf-8"))["all"]
    groups = ("swarm_managers", "swarm_workers")
    return [host for group in groups for host in document["children"][group]["hosts"]]


def write_inventory(**variables: Any) -> Path:
    """The inventory of the scenario, with these variables for all hosts."""
    lab = yaml.safe_load((drive.INVENTORY / "hosts.yml").read_text(encoding="utf-8"))["all"]
    hosts = lab_hosts()
    groups = {
        "swarm_managers": ["m1", "m2", "m3"],
        "swarm_workers": ["w1"],
        "swarm_registry": [REGISTRY_HOST],
        "swarm_builders": [BUILDER],
    }
    children = {
        group: {"hosts": {name: hosts[name] for name in names}} for group, names in groups.items()
    }
    path = inventory_path()
    path.mkdir(parents=True, exist_ok=True)
    document = {"all": {"vars": {**lab["vars"], **variables}, "children": children}}
    (path / "hosts.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


# The git server, and those who use it


@cache
def ssh_key(name: str) -> Path:
    """A private key of the scenario; its public key is beside it."""
    path = drive.STATE / f"key-{name}"
    if not path.exists():
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)], check=True
        )
    return path


def serve_git(*users: str) -> None:
    """Make the git server: a user `git` with git's own shell, which these keys can use."""
    keys = "\n".join(ssh_key(user).with_suffix(".pub").read_text().strip() for user in users)
    drive.ssh(
        GIT_HOST,
        f"""
        command -v git > /dev/null || {{ apt-get -qq update && apt-get -qq install -y git > /dev/null; }}
        id git > /dev/null 2>&1 || useradd --create-home --shell "$(command -v git-shell)" git
        mkdir -p {GIT_ROOT} ~git/.ssh
        printf '%s\\n' {shlex.quote(keys)} | sed 's/^/restrict /' > ~git/.ssh/authorized_keys
        chown -R git: {GIT_ROOT} ~git/.ssh
        """,
    )


@cache
def known_hosts() -> str:
    """The line of known_hosts for the git server."""
    key = drive.ssh(GIT_HOST, "cat /etc/ssh/ssh_host_ed25519_key.pub").split()
    return f"{address(GIT_HOST)} {key[0]} {key[1]}"


def url(repository: str) -> str:
    return f"ssh://git@{address(GIT_HOST)}{GIT_ROOT}/{repository}.git"


class Developer:
    """Somebody with a clone of a repository of the git server, which is created."""

    def __init__(self, repository: str) -> None:
        self.repository = repository
        path = f"{GIT_ROOT}/{repository}.git"
        drive.ssh(
            GIT_HOST,
            f"rm -rf {path}; git init -q --bare -b main {path} && chown -R git: {path}",
        )
        (drive.STATE / "known_hosts").write_text(known_hosts() + "\n")
        self.tree = Path(tempfile.mkdtemp(prefix=f"{repository}-", dir=drive.STATE))
        self.git("init", "-q", "-b", "main")
        self.git("remote", "add", "origin", url(repository))

    def git(self, *words: str) -> str:
        """A command of git in the clone."""
        ssh = ["ssh", "-F", "/dev/null", "-i", str(ssh_key("developer"))]
        options = [f"UserKnownHostsFile={drive.STATE / 'known_hosts'}", "IdentitiesOnly=yes"]
        environment = {
            **os.environ,
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_SSH_COMMAND": shlex.join([*ssh, *(w for o in options for w in ("-o", o))]),
            **{f"GIT_{who}_NAME": "Ada" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "ada@shop.example" for who in ("AUTHOR", "COMMITTER")},
        }
        ended = subprocess.run(
            ["git", *words],
            cwd=self.tree,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, f"git {' '.join(words)}: {ended.stdout}{ended.stderr}"
        return ended.stdout.strip()

    def write(self, files: Mapping[str, str | bytes | None]) -> None:
        """Write files, or remove those without content."""
        for name, content in files.items():
            path = self.tree / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(
        self,
        message: str,
        files: Mapping[str, str | bytes | None],
        *flags: str,
        force: bool = False,
    ) -> str:
        """Commit files and push them; the commit."""
        self.write(files)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message, *flags)
        self.git("push", "-q", *(["--force"] if force else []), "origin", "HEAD:main")
        return self.git("rev-parse", "HEAD")

    def pull(self) -> str:
        """Take over what others have pushed; the head."""
        self.git("fetch", "-q", "origin", "main")
        self.git("reset", "-q", "--hard", "FETCH_HEAD")
        return self.git("rev-parse", "HEAD")


@cache
def tools() -> str:
    """An image in the registry, with busybox and its applets."""
    name = f"{registry()}/tools:1"
    busybox()
    drive.ssh(
        BUILDER,
        f"""
        set -e; rm -rf /tmp/tools; mkdir -p /tmp/tools; cd /tmp/tools; cp /bin/busybox .
        printf 'FROM scratch\\nCOPY busybox /bin/busybox\\nRUN ["/bin/busybox", "--install", "-s", "/bin"]\\nENV PATH=/bin\\n' > Dockerfile
        docker build -q -t {name} . > /dev/null; docker push -q {name} > /dev/null
        """,
    )
    return name


def users() -> list[dict[str, str]]:
    """The users of the registry."""
    return [{"name": name, "password": password} for name, password in PASSWORDS.items()]


@cache
def busybox() -> bytes:
    """A static busybox from the hosts' own archive, for images without a base."""
    drive.ssh(
        BUILDER,
        "test -e /bin/busybox || { apt-get -qq update && apt-get -qq install -y busybox-static > /dev/null; }",
    )
    text = drive.ssh(BUILDER, "base64 -w0 /bin/busybox")
    return base64.b64decode(text)
