# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Sets up the registry of a host: observes it, carries out the plan of `plan`, and asks the registry whether it answers."""

from __future__ import annotations

import base64
import contextlib
import grp
import http.client
import os
import pwd
import secrets
import shutil
import socket
import ssl
import stat
import time
from collections.abc import Iterator

from .._common.errors import SwarmError, failure_of
from .._common.waiting import Clock, poll
from .._host import service
from .._host.files import read, text_of, write_whole
from .certificates import (
    Runner,
    is_issued,
    issue,
    make_authority,
    open_text,
    public_key,
    put_key,
    read_certificate,
)
from .plan import Held, Observed, RegistryPlan
from .settings import (
    CA,
    CA_KEY,
    CERTIFICATE,
    DEBIAN_SERVICE,
    FOLDER,
    GC_SERVICE,
    GC_TIMER,
    HTPASSWD,
    KEY,
    MIRROR_SECRET,
    MIRROR_SERVICE,
    MODE,
    PROGRAM,
    RENEW_TIMER,
    RESTART_DUE,
    SECRET,
    SERVICE,
    USER,
    User,
    Wanted,
    mirror_secret,
    registry_files,
    renewal_files,
)

# The packages by the program that each is needed for. The names are those of Debian and Ubuntu.
_PACKAGES = {PROGRAM: "docker-registry", "htpasswd": "apache2-utils", "openssl": "openssl"}
# The cost of a hash. A login takes about 60 ms of a core.
_BCRYPT = "10"
# Seconds: for one answer, and until a registry that was started answers.
_ANSWER, _START = 5.0, 30.0


class RegistrySetup:
    """The registry of this host. `code` is what the daily renewal runs, with the interpreter `python`."""

    def __init__(self, run: Runner, wanted: Wanted, code: bytes, python: str) -> None:
        self._run = run
        self._wanted = wanted
        self._files = registry_files(wanted)
        self._renewal = renewal_files(wanted, code, python)

    def observe(self) -> Observed:
        """What the host has. Raises bad_option for a given certificate that cannot be used, not_root and os_error."""
        wanted, units = self._wanted, self._units()
        missing = tuple(name for program, name in _PACKAGES.items() if not shutil.which(program))
        try:
            if "openssl" not in missing and not wanted.own_ca:
                self._check_given()
            running = frozenset(n for n, u in units.items() if u.get("ActiveState") == "active")
            known = units.get(GC_SERVICE, {}).get("ActiveState") == "activating"
            return Observed(
                now=time.time(),
                missing=missing,
                foreign=DEBIAN_SERVICE in running,
                masked=units.get(DEBIAN_SERVICE, {}).get("LoadState") == "masked",
                files=service.observe(self._run, self._files, GC_TIMER),
                renewal=service.observe(self._run, self._renewal, RENEW_TIMER),
                held=self._held("openssl" in missing),
                folders=tuple(self._wrong_folders()),
                secret=os.path.exists(SECRET),
                mirror_secret=wanted.mirror is None or text_of(MIRROR_SECRET) == self._mirror(),
                passwords=self._passwords(missing),
                running=running,
                enabled=frozenset(
                    name for name, unit in units.items() if unit.get("UnitFileState") == "enabled"
                ),
                silent=frozenset(n for n in wanted.services if n in running and not self._fine(n)),
                restart_due=os.path.exists(RESTART_DUE),
                left_read_only=os.path.exists(MODE) and not known,
            )
        except OSError as error:
            raise failure_of("observe the registry", error) from error

    def apply(self, plan: RegistryPlan, done: list[str]) -> None:
        """Carry the plan out; `done` grows as it goes. Raises openssl_failed, systemctl_failed, registry_failed and those of
        files."""
        if plan.mask:
            self._systemctl("mask", DEBIAN_SERVICE)
            done.append(f"mask {DEBIAN_SERVICE}")
        if plan.install:
            # The role installs them, and calls again.
            return
        try:
            self._write(plan, done)
        except OSError as error:
            raise failure_of("set up the registry", error) from error
        if plan.stop_mirror:
            self._systemctl("disable", "--now", MIRROR_SERVICE)
            done.append(f"stop {MIRROR_SERVICE}")
        service.apply(self._run, plan.files, self._files, done)
        service.apply(self._run, plan.renewal, self._renewal, done)
        if plan.leave_read_only:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(MODE)
            self._systemctl("try-restart", SERVICE)
            done.append("leave the read-only mode")
        for name, _why in plan.restart:
            self._systemctl("enable", name)
            self._systemctl("restart", name)
            done.append(f"restart {name}")

    def verify(self, clock: Clock | None = None) -> None:
        """Raise registry_failed unless the registry and its mirror answer as they must."""
        for name in self._wanted.services:

            def ask(name: str = name) -> str:
                return self._ask(name, (200,))

            problem, fine = poll(ask, lambda seen: not seen, _START, 0.5, clock)
            if not fine:
                raise SwarmError(
                    "registry_failed",
                    f"Could not set up the registry: {name} {problem}. Its journal says: {self._journal(name)}. See"
                    f" journalctl -u {name} on the host.",
                )
        with contextlib.suppress(FileNotFoundError):
            os.unlink(RESTART_DUE)

    def authority(self) -> str:
        """The certificate that engines must trust; empty where there is none."""
        return (text_of(CA) if self._wanted.own_ca else self._wanted.ca) or ""

    # Observe

    def _units(self) -> dict[str, dict[str, str]]:
        names = (DEBIAN_SERVICE, SERVICE, MIRROR_SERVICE, GC_SERVICE)
        # Without systemd, nothing is there, and the first change fails.
        output = self._run(
            ["systemctl", "show", "-p", "Id,LoadState,ActiveState,UnitFileState", "--", *names]
        )[1]
        units = [
            dict(line.split("=", 1) for line in part.splitlines() if "=" in line)
            for part in output.split("\n\n")
        ]
        # A masked unit has no other name, and systemd lists the units in the order of the command.
        return dict(zip(names, units))

    def _check_given(self) -> None:
        wanted = self._wanted
        certificate = read_certificate(self._run, wanted.certificate)
        problem = ""
        if certificate is None:
            problem = "registry_certificate is not a certificate in PEM"
        elif public_key(self._run, wanted.key) != certificate.key:
            problem = (
                "registry_certificate_key is not the key of registry_certificate, or has a password"
            )
        elif certificate.ends < time.time():
            problem = "registry_certificate has expired"
        elif not _is_for(wanted.name, certificate.names):
            names = ", ".join(sorted(certificate.names)) or "no name"
            problem = f"registry_certificate is for {names}, and registry_name is {wanted.name}"
        if problem:
            raise SwarmError(
                "bad_option",
                f"Could not set up the registry: {problem}. Give a pair that fits, or none for an authority on the host.",
            )

    def _held(self, blind: bool) -> Held:
        wanted = self._wanted
        key, certificate = text_of(KEY), text_of(CERTIFICATE)
        private = _mode_of(KEY) == 0o640
        if blind or not wanted.own_ca:
            given = (key, certificate) == (wanted.key, wanted.certificate)
            return Held(given=given and private)
        ca = text_of(CA)
        return Held(
            ca=read_certificate(self._run, ca) if ca else None,
            ca_key=public_key(self._run, text_of(CA_KEY)),
            certificate=read_certificate(self._run, certificate) if certificate else None,
            key=public_key(self._run, key) if private else "",
            issued=bool(ca and certificate) and is_issued(self._run),
        )

    def _wrong_folders(self) -> Iterator[str]:
        wanted = self._wanted
        for path in (wanted.storage, *([wanted.mirror.storage] if wanted.mirror else [])):
            try:
                fine = stat.S_ISDIR(os.stat(path).st_mode) and os.stat(path).st_uid == _uid()
            except FileNotFoundError:
                fine = False
            if not fine:
                yield path

    def _passwords(self, missing: tuple[str, ...]) -> dict[str, bool]:
        lines = _lines()
        wanted = {user.name: user for user in self._wanted.users}
        if _PACKAGES["htpasswd"] in missing:
            return dict.fromkeys(lines, False)
        private = _mode_of(HTPASSWD) == 0o640
        return {name: private and name in wanted and self._is(wanted[name]) for name in lines}

    def _is(self, user: User) -> bool:
        """Whether this is the password of the user."""
        words = ["htpasswd", "-iv", HTPASSWD, user.name]
        code, _output, _errors = self._run(words, data=user.password)
        return code == 0

    def _mirror(self) -> str:
        mirror = self._wanted.mirror
        # The secret only signs the state of uploads, and a mirror takes none.
        return mirror_secret(mirror, "unused") if mirror else ""

    # Apply

    def _write(self, plan: RegistryPlan, done: list[str]) -> None:
        os.makedirs(FOLDER, mode=0o755, exist_ok=True)
        if plan.restart:
            os.makedirs(os.path.dirname(RESTART_DUE), mode=0o755, exist_ok=True)
            write_whole(RESTART_DUE, b"")
        group = grp.getgrnam(USER).gr_gid
        for path in plan.folders:
            os.makedirs(path, mode=0o750, exist_ok=True)
            os.chown(path, _uid(), group)
            done.append(f"create {path}")
        if plan.authority:
            make_authority(self._run)
            done.append(f"{plan.authority} the certificate authority")
        if plan.issue or (plan.authority and not is_issued(self._run)):
            issue(self._run, frozenset({self._wanted.name}), group)
            done.append("issue a certificate")
        if plan.put_given:
            put_key(self._wanted.key, group)
            write_whole(CERTIFICATE, self._wanted.certificate.encode())
            os.chmod(CERTIFICATE, 0o644)
            done.append("write the given certificate")
        if plan.secret:
            write_whole(SECRET, f"REGISTRY_HTTP_SECRET={secrets.token_hex(32)}\n".encode())
        if plan.mirror_secret:
            write_whole(MIRROR_SECRET, self._mirror().encode())
        if plan.set_passwords or plan.remove_users:
            self._write_users(plan, group)
            done += [f"set the password of user {name}" for name in plan.set_passwords]
            done += [f"remove user {name}" for name in plan.remove_users]

    def _write_users(self, plan: RegistryPlan, group: int) -> None:
        """docker-registry reads the file again when it changes."""
        kept = _lines()
        lines = [
            self._line(user) if user.name in plan.set_passwords else kept[user.name]
            for user in self._wanted.users
        ]
        # Its group and mode are part of what was wrong, so they are right before it has its name.
        write_whole(f"{HTPASSWD}.new", "".join(f"{line}\n" for line in lines).encode())
        os.chown(f"{HTPASSWD}.new", 0, group)
        os.chmod(f"{HTPASSWD}.new", 0o640)
        os.rename(f"{HTPASSWD}.new", HTPASSWD)

    def _line(self, user: User) -> str:
        words = ["htpasswd", "-niB", "-C", _BCRYPT, user.name]
        code, output, errors = self._run(words, data=user.password)
        line: str = output.strip()
        if code or not line.startswith(f"{user.name}:$2"):
            raise SwarmError(
                "htpasswd_failed",
                f"Could not set the password of user {user.name} of the registry: htpasswd says: {errors.strip() or 'nothing'}.",
            )
        return line

    def _systemctl(self, *words: str) -> None:
        code, _output, errors = self._run(["systemctl", *words])
        if code:
            raise SwarmError(
                "systemctl_failed", f"Could not {words[0]} {words[-1]}: {errors.strip()}."
            )

    # Verify

    def _fine(self, name: str) -> bool:
        # A wrong password is put right without a restart.
        return not self._ask(name, (200, 401))

    def _ask(self, name: str, accept: tuple[int, ...]) -> str:
        """What is wrong with the answer of a service; empty if nothing is."""
        wanted = self._wanted
        mirror = wanted.mirror if name == MIRROR_SERVICE else None
        port = mirror.port if mirror else wanted.port
        pair = f"{wanted.login.name}:{wanted.login.password}".encode()
        headers = {} if mirror else {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        try:
            with socket.create_connection(("127.0.0.1", port), _ANSWER) as plain:
                connection = http.client.HTTPConnection(wanted.name, port)
                connection.sock = self._tls().wrap_socket(plain, server_hostname=wanted.name)
                connection.request("GET", "/v2/", headers=headers)
                status = connection.getresponse().status
                connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            return f"does not answer at port {port} ({error})"
        return "" if status in accept else f"answers at port {port} with the status {status}"

    def _tls(self) -> ssl.SSLContext:
        ca = self.authority()
        if ca:
            return ssl.create_default_context(cadata=ca)
        # A given certificate without an authority: engines know it, and this host may not.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def _journal(self, name: str) -> str:
        words = ["journalctl", "-u", name, "-n", "20", "-o", "cat", "--no-pager"]
        lines = [line for line in self._run(words)[1].splitlines() if line.strip()]
        telling = [line for line in lines if "level=fatal" in line or "rror" in line]
        return (telling or lines or ["nothing"])[-1].strip().rstrip(".")


def _is_for(name: str, names: frozenset[str]) -> bool:
    wildcard = "*." + name.partition(".")[2]
    return name.lower() in {each.lower() for each in names} or wildcard.lower() in names


def _mode_of(path: str) -> int | None:
    """The mode of a file that belongs to root and the registry's group; None for any other."""
    try:
        about = os.stat(path)
        group = grp.getgrnam(USER).gr_gid
    except (FileNotFoundError, KeyError):
        return None
    return stat.S_IMODE(about.st_mode) if (about.st_uid, about.st_gid) == (0, group) else None


def _uid() -> int:
    try:
        return pwd.getpwnam(USER).pw_uid
    except KeyError:
        return -1


def _lines() -> dict[str, str]:
    """The lines of the file with the users, by user."""
    text = (read(HTPASSWD) or b"").decode("utf-8", "replace")
    return {line.partition(":")[0]: line for line in text.splitlines() if ":" in line}


# The daily renewal


def renew(run: Runner) -> bool:
    """Renew the certificate if its time is almost over, for the names that it has; whether it did."""
    certificate = read_certificate(run, open_text(CERTIFICATE))
    if certificate is None or not certificate.due(time.time()):
        return False
    issue(run, certificate.names, grp.getgrnam(USER).gr_gid)
    for name in (SERVICE, MIRROR_SERVICE):
        code, _output, errors = run(["systemctl", "try-restart", name])
        if code:
            raise SwarmError("systemctl_failed", f"Could not restart {name}: {errors.strip()}.")
    return True
