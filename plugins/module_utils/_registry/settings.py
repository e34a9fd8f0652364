# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a registry must be: the options of the user, checked, and the files and units that they mean. Pure.

Debian's program runs under our own units. One that is read-only has a configuration of its own, because docker-registry 2.8 ignores
the environment variable for it and only logs that it does.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._common.errors import SwarmError, shown
from .._host.units import CODE_DIR, CONFIG_DIR, UNIT_DIR, HostFile, calendar_timer, config_text
from .._host.units import quoted as quoted_word

FOLDER = f"{CONFIG_DIR}/registry"
CONFIG, READ_ONLY, MIRROR_CONFIG = (
    f"{FOLDER}/{name}.yml" for name in ("config", "readonly", "mirror")
)
CA, CA_KEY = f"{FOLDER}/ca.crt", f"{FOLDER}/ca.key"
CERTIFICATE, KEY = f"{FOLDER}/registry.crt", f"{FOLDER}/registry.key"
HTPASSWD = f"{FOLDER}/htpasswd"
# Environment files, which systemd reads as root.
SECRET, MIRROR_SECRET = f"{FOLDER}/secret.env", f"{FOLDER}/mirror.env"
CODE = f"{CODE_DIR}/registry.pyz"
# On a tmpfs, so that neither outlives a boot: the configuration while garbage is collected, and a restart that is due.
MODE = "/run/flotilla.swarm/registry-mode"
RESTART_DUE = "/run/flotilla.swarm/registry-restart"

PROGRAM, USER = "/usr/bin/docker-registry", "docker-registry"
DEBIAN_SERVICE = "docker-registry.service"
SERVICE, MIRROR_SERVICE = "flotilla-registry.service", "flotilla-registry-mirror.service"
GC_SERVICE, GC_TIMER = "flotilla-registry-gc.service", "flotilla-registry-gc.timer"
RENEW_SERVICE, RENEW_TIMER = "flotilla-registry-renew.service", "flotilla-registry-renew.timer"

# Defaults of the role that other parts of the collection need to know where a registry is.
PORT, MIRROR_PORT = 5000, 5001
_DOCKER_HUB = ("registry-1.docker.io", "docker.io", "index.docker.io")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}")
_FOLDER = re.compile(r"/[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)+")
_URL = re.compile(r"https?://([A-Za-z0-9.-]+)(?::[0-9]{1,5})?/?")
# Bytes that bcrypt looks at.
_LONGEST_PASSWORD = 72
# Days, and what is left of a certificate's time when it is renewed.
CA_DAYS, CERTIFICATE_DAYS = 3650, 365
_LAST_PART = 1 / 3
# Folders in which a registry's files would be in the way of the system.
_SYSTEM = ("/etc", "/usr", "/bin", "/sbin", "/lib", "/boot", "/dev", "/proc", "/sys", "/run")


@dataclass(frozen=True)
class Certificate:
    """A certificate. The times are in seconds since 1970, and `key` is a hash of its public key."""

    begins: float
    ends: float
    names: frozenset[str]
    key: str

    def due(self, now: float) -> bool:
        """Whether it is time to renew it."""
        return now > self.ends - (self.ends - self.begins) * _LAST_PART


@dataclass(frozen=True)
class User:
    """Somebody who can log in, and then pull and push."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Mirror:
    """A pull-through mirror of another registry."""

    url: str
    port: int
    storage: str
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def of_docker_hub(self) -> bool:
        """Engines use a mirror by itself only for Docker Hub."""
        found = _URL.fullmatch(self.url)
        return bool(found and found.group(1) in _DOCKER_HUB)


@dataclass(frozen=True)
class Wanted:
    """A registry as the options describe it."""

    name: str
    port: int
    users: tuple[User, ...]
    login: User
    storage: str
    # As PEM. Without a certificate, the host has a certificate authority of its own.
    certificate: str = ""
    key: str = field(default="", repr=False)
    ca: str = ""
    mirror: Mirror | None = None
    gc_schedule: str = ""
    gc_untagged: bool = False
    gc_timeout: int = 7200

    @property
    def address(self) -> str:
        """As in the name of an image."""
        return f"{self.name}:{self.port}"

    @property
    def own_ca(self) -> bool:
        """Whether the host issues the certificate itself."""
        return not self.certificate

    @property
    def services(self) -> tuple[str, ...]:
        """The services that must run."""
        return (SERVICE, *([MIRROR_SERVICE] if self.mirror else []))

    def trust(self, ca: str) -> dict[str, str]:
        """The certificate of the authority, by the addresses for which engines must trust it. `ca` is that of the host."""
        ca = ca if self.own_ca else self.ca
        if not ca and not self.own_ca:
            return {}
        ports = [self.port, *([self.mirror.port] if self.mirror else [])]
        return {f"{self.name}:{port}": ca for port in ports}

    @property
    def engine_mirror(self) -> str:
        """What engines use as the mirror of Docker Hub; empty if there is none."""
        if self.mirror is None or not self.mirror.of_docker_hub:
            return ""
        return f"https://{self.name}:{self.mirror.port}"


def parse_wanted(options: Mapping[str, Any]) -> Wanted:
    """The options of swarm_registry; raises bad_option with all that is wrong with them, by the names of the role's variables."""
    users = tuple(User(str(u["name"]), str(u["password"])) for u in options["users"] or [])
    login = options["login"] or (users[0].name if users else "")
    mirror = None
    if options["mirror_of"]:
        mirror = Mirror(
            options["mirror_of"].rstrip("/"),
            options["mirror_port"],
            options["mirror_storage"],
            options["mirror_username"] or "",
            options["mirror_password"] or "",
        )
    wanted = Wanted(
        name=options["name"],
        port=options["port"],
        users=users,
        login=next((user for user in users if user.name == login), User(login, "")),
        storage=options["storage"],
        certificate=_pem(options["certificate"]),
        key=_pem(options["certificate_key"]),
        ca=_pem(options["ca_certificate"]),
        mirror=mirror,
        gc_schedule=options["gc_schedule"].strip(),
        gc_untagged=options["gc_untagged"],
        gc_timeout=options["gc_timeout"],
    )
    problems = [
        *_problems_of_place(wanted),
        *_problems_of_users(wanted, login),
        *_problems_of_certificate(wanted),
        *(_problems_of_mirror(wanted, mirror) if mirror else []),
    ]
    if problems:
        raise SwarmError("bad_option", f"Could not set up the registry: {'; '.join(problems)}.")
    return wanted


def _pem(text: str | None) -> str:
    return f"{text.strip()}\n" if text and text.strip() else ""


def _problems_of_place(wanted: Wanted) -> list[str]:
    problems = []
    if not _NAME.fullmatch(wanted.name) or ".." in wanted.name:
        problems.append(
            f"registry_name is {shown(wanted.name)}: it must be a host name or an IPv4 address, such as registry.example.com"
        )
    for variable, port in _ports(wanted).items():
        if not 1 <= port <= 65535:
            problems.append(f"{variable} is {port}: it must be a port from 1 to 65535")
    for variable, folder in _folders(wanted).items():
        within_system = any(f"{folder}/".startswith(f"{each}/") for each in _SYSTEM)
        if not _FOLDER.fullmatch(folder) or ".." in folder.split("/") or within_system:
            problems.append(
                f"{variable} is {shown(folder)}: it must be a folder of its own such as /var/lib/docker-registry, with letters,"
                " digits, dots, dashes and underscores"
            )
    if wanted.gc_timeout < 60:
        problems.append(
            f"registry_gc_timeout is {wanted.gc_timeout}: it must be 60 seconds or more"
        )
    return problems


def _ports(wanted: Wanted) -> dict[str, int]:
    ports = {"registry_port": wanted.port}
    return {**ports, **({"registry_mirror_port": wanted.mirror.port} if wanted.mirror else {})}


def _folders(wanted: Wanted) -> dict[str, str]:
    folders = {"registry_storage": wanted.storage}
    if wanted.mirror:
        folders["registry_mirror_storage"] = wanted.mirror.storage
    return folders


def _problems_of_users(wanted: Wanted, login: str) -> list[str]:
    problems = []
    names = [user.name for user in wanted.users]
    if not names:
        problems.append(
            "registry_users is empty: set it, for example [{name: swarm, password: '{{ vault_registry_password }}'}]"
        )
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(f"registry_users has the user {shown(name)} twice")
    for user in wanted.users:
        if not _USER.fullmatch(user.name):
            problems.append(
                f"the user {shown(user.name)} in registry_users: a name has letters, digits, dots, dashes, underscores and @, begins"
                " with a letter or a digit, and is not longer than 63 characters"
            )
        size = len(user.password.encode("utf-8", "surrogateescape"))
        if not 1 <= size <= _LONGEST_PASSWORD or re.search(r"[\x00-\x1f\x7f]", user.password):
            problems.append(
                f"the password of {shown(user.name)} in registry_users: it must have 1 to {_LONGEST_PASSWORD} bytes, in one line"
            )
    if names and login not in names:
        problems.append(
            f"registry_login is {shown(login)}: it must be one of registry_users, {', '.join(names)}"
        )
    return problems


def _problems_of_certificate(wanted: Wanted) -> list[str]:
    if bool(wanted.certificate) != bool(wanted.key):
        return [
            "registry_certificate and registry_certificate_key belong together: set both or none"
        ]
    if wanted.ca and not wanted.certificate:
        return [
            "registry_ca_certificate is set without registry_certificate: set both, or none for an authority on the host"
        ]
    parts = {
        "registry_certificate": (wanted.certificate, "CERTIFICATE"),
        "registry_certificate_key": (wanted.key, "PRIVATE KEY"),
        "registry_ca_certificate": (wanted.ca, "CERTIFICATE"),
    }
    return [
        f"{variable} is no {what.lower()} in PEM"
        for variable, (text, what) in parts.items()
        if text and not re.search(rf"-----BEGIN [A-Z ]*{what}-----", text)
    ]


def _problems_of_mirror(wanted: Wanted, mirror: Mirror) -> list[str]:
    problems = []
    if not _URL.fullmatch(mirror.url):
        problems.append(
            f"registry_mirror_of is {shown(mirror.url)}: it must be a URL such as https://registry-1.docker.io, without a path and"
            " a password"
        )
    if mirror.url.partition("//")[2] in (
        f"{wanted.name}:{port}" for port in (wanted.port, mirror.port)
    ):
        problems.append(
            f"registry_mirror_of is {shown(mirror.url)}, which is this host: choose another registry"
        )
    if mirror.port == wanted.port:
        problems.append(
            f"registry_mirror_port is {mirror.port}, the port of the registry itself: choose another one"
        )
    first, second = f"{wanted.storage}/", f"{mirror.storage}/"
    if first.startswith(second) or second.startswith(first):
        problems.append(
            "registry_mirror_storage and registry_storage are one in the other: choose separate folders"
        )
    if bool(mirror.username) != bool(mirror.password):
        problems.append(
            "registry_mirror_username and registry_mirror_password belong together: set both or none"
        )
    if re.search(r"[\x00-\x1f\x7f]", mirror.username + mirror.password):
        problems.append(
            "registry_mirror_username or registry_mirror_password has more than one line"
        )
    return problems


def is_address(name: str) -> bool:
    """Whether the name of a registry is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


# Files. JSON is YAML as well.


def _config(port: int, storage: str, read_only: bool = False, **more: Any) -> str:
    return config_text(
        {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": False}},
            "storage": {
                "filesystem": {"rootdirectory": storage},
                "delete": {"enabled": True},
                "cache": {"blobdescriptor": "inmemory"},
                "maintenance": {
                    "readonly": {"enabled": read_only},
                    "uploadpurging": {
                        "enabled": not read_only,
                        "age": "168h",
                        "interval": "24h",
                        "dryrun": False,
                    },
                },
            },
            "http": {
                "addr": f":{port}",
                "tls": {"certificate": CERTIFICATE, "key": KEY, "minimumtls": "tls1.2"},
                "headers": {"X-Content-Type-Options": ["nosniff"]},
            },
            **more,
        }
    )


def _service(description: str, config: str, environment: str, storage: str) -> str:
    # While garbage is collected, this file names the configuration that is read-only.
    mode = f"EnvironmentFile=-{MODE}\n" if config == CONFIG else ""
    return f"""\
# Written by flotilla.swarm.
[Unit]
Description={description} (flotilla.swarm)
Wants=network-online.target
After=network-online.target
RequiresMountsFor={storage}
StartLimitIntervalSec=0

[Service]
User={USER}
Environment=CONFIG={config}
EnvironmentFile={environment}
{mode}ExecStart={PROGRAM} serve ${{CONFIG}}
Restart=always
RestartSec=1
AmbientCapabilities=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"""


def _gc_service(wanted: Wanted) -> str:
    untagged = " --delete-untagged" if wanted.gc_untagged else ""
    begin = f"mkdir -p /run/flotilla.swarm && echo CONFIG={READ_ONLY} > {MODE} && systemctl try-restart {SERVICE}"
    # Also after a kill, and after the limit.
    end = f"rm -f {MODE} && systemctl try-restart {SERVICE}"
    return f"""\
# Written by flotilla.swarm.
[Unit]
Description=Garbage collection of the image registry (flotilla.swarm)
RequiresMountsFor={wanted.storage}
# The program fails in a registry to which nothing was pushed yet.
ConditionDirectoryNotEmpty={wanted.storage}/docker/registry/v2/repositories

[Service]
Type=oneshot
User={USER}
ExecStartPre=+/bin/sh -c {quoted_word(begin)}
ExecStart={PROGRAM} garbage-collect{untagged} {CONFIG}
ExecStopPost=+/bin/sh -c {quoted_word(end)}
TimeoutStartSec={wanted.gc_timeout}
Nice=10
IOSchedulingClass=idle
NoNewPrivileges=yes
"""


def _renew_service(python: str) -> str:
    return f"""\
# Written by flotilla.swarm.
[Unit]
Description=Renewal of the certificate of the image registry (flotilla.swarm)

[Service]
Type=oneshot
ExecStart={quoted_word(python)} -I {CODE}
UMask=0077
TimeoutStartSec=300
"""


def _unit(name: str, text: str | None) -> dict[str, HostFile]:
    return {f"{UNIT_DIR}/{name}": HostFile(None if text is None else text.encode())}


def registry_files(wanted: Wanted) -> dict[str, HostFile]:
    """The files of the registry, of its mirror and of the garbage collection, by path, without those that are secret."""
    auth = {"htpasswd": {"realm": "flotilla.swarm", "path": HTPASSWD}}
    mirror = wanted.mirror
    proxied = (
        _config(mirror.port, mirror.storage, proxy={"remoteurl": mirror.url}) if mirror else None
    )
    texts = {
        CONFIG: _config(wanted.port, wanted.storage, auth=auth),
        READ_ONLY: _config(wanted.port, wanted.storage, read_only=True, auth=auth),
        MIRROR_CONFIG: proxied,
    }
    timer = (
        calendar_timer("Schedule of the garbage collection of the registry", wanted.gc_schedule)
        if wanted.gc_schedule
        else None
    )
    return {
        **{path: HostFile(text.encode() if text else None) for path, text in texts.items()},
        **_unit(SERVICE, _service("Image registry", CONFIG, SECRET, wanted.storage)),
        **_unit(
            MIRROR_SERVICE,
            _service("Mirror of an image registry", MIRROR_CONFIG, MIRROR_SECRET, mirror.storage)
            if mirror
            else None,
        ),
        **_unit(GC_SERVICE, _gc_service(wanted)),
        **_unit(GC_TIMER, timer),
    }


def renewal_files(wanted: Wanted, code: bytes, python: str) -> dict[str, HostFile]:
    """The files of the daily renewal, which only a certificate of the host's own authority needs."""
    timer = calendar_timer("Schedule of the renewal of the registry's certificate", "*-*-* 05:10")
    return {
        CODE: HostFile(code if wanted.own_ca else None, 0o600),
        **_unit(RENEW_SERVICE, _renew_service(python) if wanted.own_ca else None),
        **_unit(RENEW_TIMER, timer if wanted.own_ca else None),
    }


def mirror_secret(mirror: Mirror, secret: str) -> str:
    """The environment of the mirror."""
    lines = [f"REGISTRY_HTTP_SECRET={secret}"]
    if mirror.username:
        lines.append(f"REGISTRY_PROXY_USERNAME={_in_environment(mirror.username)}")
        lines.append(f"REGISTRY_PROXY_PASSWORD={_in_environment(mirror.password)}")
    return "\n".join([*lines, ""])


def _in_environment(text: str) -> str:
    """A value in an EnvironmentFile (systemd.exec(5))."""
    return '"' + re.sub(r'([\\"$`])', r"\\\1", text) + '"'
