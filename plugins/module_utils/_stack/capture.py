# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What the CLI would write for a stack, and everything that it and the engine find wrong with it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from .._api.reader import EngineReader
from .._common.errors import SwarmError
from .._common.waiting import Clock
from .._model.services import container_of
from .._spec.band import check_band, within_band
from .._spec.changes import with_platforms
from .cli import cli_takes, run_cli
from .cli_output import cli_failure, cli_reasons, forbidden
from .inputs import Inputs, compose_texts, read_file, write_files, write_login, write_private
from .login import with_login_label
from .plan import StackSnapshot, plan_service, replacing_tasks
from .private import private_directory
from .refusals import (
    local_networks,
    secret_plugins,
    shared_ports,
    taken_subnets,
    too_long,
    unknown_drivers,
)
from .rotation import LIMITS, overlay, version_of
from .writes import KINDS, Decide, Refusal, Run, Write

# The CLI stops at the first error, in the random order of a hash table: of two services, the second comes first in one of
# eight runs. After so many runs without a new error all are known; so many errors, and so many seconds, are enough.
MORE_RUNS = 40
MOST_REASONS = 10
REASONS_TIME = 30


@dataclass(frozen=True)
class Capture:
    """A stack as Docker's own CLI understands it: each run of the CLI starts from the same inputs."""

    stack: str
    params: dict[str, Any]
    inputs: Inputs
    # Whether the CLI has the option --detach; the oldest ones never wait.
    detaches: bool
    # A Compose file that renames what is rotated; made once, so that a deploy writes the names that were planned.
    renames: str | None

    @property
    def logs_in(self) -> bool:
        """Whether services get the logins of their registries."""
        return bool(self.params["with_registry_auth"] or self.inputs.registries)

    def run(
        self, live: StackSnapshot, forward: Decide | None = None, only: int | None = None
    ) -> Run:
        """Run the CLI to plan, or to write what `forward` lets through; `only` gives it one Compose file, by number, to find
        the errors in it."""
        params = self.params
        arguments = ["stack", "deploy", "--resolve-image", params["resolve_image"]]
        if self.detaches:
            arguments.append("--detach=true")
        if self.logs_in:
            arguments.append("--with-registry-auth")
        with private_directory() as directory:
            texts, folder = _lay_out(self.inputs, directory, self.detaches)
            environment = self.inputs.environment
            if self.inputs.registries:
                environment = {**environment, **write_login(directory, self.inputs.registries)}
            paths = list(params["compose"] or [])
            if self.renames is not None:
                texts.append(self.renames)
            if len(texts) == 1:
                paths.append("-")
            else:
                for number, text in enumerate(texts):
                    paths.append(os.path.join(folder, f".flotilla-compose-{number}.yml"))
                    write_private(paths[-1], text.encode())
            for path in paths if only is None else [paths[only]]:
                arguments += ["-c", path]
            run = run_cli(
                params["docker_host"][len("unix://") :],
                [*arguments, "--", self.stack],
                stdin=texts[0] if len(texts) == 1 else "",
                environment=environment,
                directory=folder,
                forward=forward,
                adjust=lambda write: _adjusted(write, live, self.inputs.registries),
                timeout=max(300, params["wait_timeout"]),
            )
            refuse_relative_mounts(self.stack, run.writes, directory, folder)
            return run

    def check(self, run: Run, attempt: str, objections: Collection[str] = ()) -> None:
        """Raise what is wrong with a run, in the words of the engine and of the CLI; `attempt` is plan or deploy.

        `objections` are those of the caller. Codes: cli_timeout, forbidden, refused, cli_failed, and those of `adjust`.
        """
        if run.error is not None:
            raise run.error
        if run.timed_out:
            raise SwarmError(
                "cli_timeout",
                f"Could not {attempt} stack {self.stack}: docker stack deploy timed out. Raise wait_timeout, or check that the"
                " engine answers.",
            )
        failure = None
        if run.returncode != 0 or run.refusals:
            refusals = sorted({(r.write.kind, r.write.name, r.message) for r in run.refusals})
            reasons = self._reasons(run) if attempt == "plan" and not refusals else []
            failure = cli_failure(self.stack, attempt, run.output, refusals, reasons)
        if objections:
            raise forbidden(self.stack, attempt, objections, failure)
        if failure is not None:
            raise failure

    def _reasons(self, run: Run) -> list[str]:
        """All errors of the CLI, each with the file that it is in if there are several."""
        clock = Clock()
        end = clock.now() + REASONS_TIME
        found = {*_errors(run), *self._all_errors(None, clock, end)}
        names = [str(path) for path in self.params["compose"] or []]
        given = enumerate(self.inputs.definitions, 1)
        names += [f"Compose file {number}" for number, text in given if text is not None]
        if len(names) == 1:
            return sorted(found)
        end = clock.now() + REASONS_TIME
        alone = [self._all_errors(number, clock, end) for number in range(len(names))]
        wheres = {
            reason: [name for name, reasons in zip(names, alone) if reason in reasons]
            for reason in found
        }
        return sorted(
            f"{', '.join(where)}: {reason}" if where else reason for reason, where in wheres.items()
        )

    def _all_errors(self, only: int | None, clock: Clock, end: float) -> set[str]:
        """Run the CLI on all Compose files, or on one, until it reports nothing new: it reports only one of several errors."""
        found: set[str] = set()
        left = MORE_RUNS
        while left and len(found) < MOST_REASONS and (not found or clock.now() < end):
            run = self.run(StackSnapshot(), None, only)
            if run.returncode == 0:
                break
            left = left - 1 if found.issuperset(_errors(run)) else MORE_RUNS
            found.update(_errors(run))
        return found


def begin_capture(
    stack: str, params: dict[str, Any], inputs: Inputs, reader: EngineReader
) -> Capture:
    """Find out what the CLI of this host supports, and what must be renamed; raises no_cli, bad_option and bad_data."""
    detaches = cli_takes("stack deploy", "--detach")
    renames = None
    if any((params["rotate"] or {}).values()):
        with private_directory() as directory:
            texts, folder = _lay_out(inputs, directory, detaches)
            renames = _renames(stack, params, texts, folder, reader)
    return Capture(stack, params, inputs, detaches, renames)


def _lay_out(inputs: Inputs, directory: str, detaches: bool) -> tuple[list[str], str]:
    """The Compose files as text, and the folder with the files beside them."""
    # A CLI without --detach takes a file without a version for one of Compose 1.
    texts = compose_texts(inputs.definitions, "" if detaches else "3.9")
    return texts, write_files(os.path.join(directory, "files"), inputs.files)


def _renames(
    stack: str, params: dict[str, Any], texts: list[str], folder: str, reader: EngineReader
) -> str:
    """The Compose file that renames what is rotated; its relative paths start where the others' do."""
    for kind in LIMITS:
        for key, path in (params["rotate"][kind] or {}).items():
            if not isinstance(path, str) or not path:
                raise SwarmError(
                    "bad_option",
                    f"Could not plan stack {stack}: rotate.{kind}.{key} must be the path of its file.",
                )
    paths = params["compose"] or []
    folder = os.path.dirname(paths[0]) if paths else folder
    first = texts[0] if texts else read_file(paths[0]).decode("utf-8", "replace")
    data = {
        kind: {
            key: (str(path), read_file(os.path.join(folder, str(path))))
            for key, path in (params["rotate"][kind] or {}).items()
        }
        for kind in LIMITS
    }
    return overlay(stack, str(reader.swarm()["ID"]), version_of(first), data)


def _errors(run: Run) -> list[str]:
    """Why the CLI stopped; a long list of allowed values may precede its last lines."""
    return cli_reasons(run.output)[-4:]


def _adjusted(
    write: Write, live: StackSnapshot, registries: list[dict[str, str]]
) -> dict[str, Any]:
    check_band(write.spec)
    current = live.spec_of("service", write.name)
    spec = with_platforms(within_band(write.spec, current), current)
    return with_login_label(replacing_tasks(spec, current, live.network_names()), registries)


def refusals_of(
    writes: Iterable[Write], live: StackSnapshot, reader: EngineReader
) -> list[Refusal]:
    """What the engine would refuse, or accept and not carry out, given all writes together."""
    by_kind: dict[str, dict[str, Write]] = {kind: {} for kind in KINDS}
    for write in writes:
        by_kind[write.kind][write.name] = write
    specs = {
        kind: {name: write.spec for name, write in found.items()} for kind, found in by_kind.items()
    }
    networks, services = specs["network"], specs["service"]
    drivers = {
        name: str(spec["Driver"].get("Name"))
        for name, spec in specs["secret"].items()
        if spec.get("Driver") and live.spec_of("secret", name) is None
    }
    known = set()
    if drivers:
        known = secret_plugins(reader.nodes()) | legacy_plugins(drivers.values())
    changing = {n: s for n, s in services.items() if plan_service(n, s, live).action != "none"}
    previous = {name: live.spec_of("service", name) for name in changing}
    found = {
        "network": [*taken_subnets(networks, live.networks)],
        "secret": [*unknown_drivers(drivers, known)],
        "service": [
            *local_networks(networks, services),
            *shared_ports(services),
            *too_long(changing, previous),
        ],
    }
    return [
        Refusal(by_kind[kind][name], 400, words)
        for kind, objections in found.items()
        for name, words in objections
    ]


def legacy_plugins(names: Iterable[str]) -> set[str]:
    """Those of these plugins that are installed as files instead of engine objects (moby: pkg/plugins/discovery.go)."""
    found = set()
    for name in names:
        if os.path.basename(name) != name:
            continue
        paths = [f"/run/docker/plugins/{name}.sock", f"/run/docker/plugins/{name}/{name}.sock"]
        for folder in ("/etc/docker/plugins", "/usr/lib/docker/plugins"):
            for ending in ("spec", "json"):
                paths += [f"{folder}/{name}.{ending}", f"{folder}/{name}/{name}.{ending}"]
        if any(map(os.path.exists, paths)):
            found.add(name)
    return found


def refuse_relative_mounts(
    stack: str, writes: Iterable[Write], directory: str, folder: str
) -> None:
    """Refuse mounts from the private folder of this run, with relative_mount: no node has it."""
    relative = sorted(
        f"service {write.name} mounts {os.path.relpath(mount['Source'], folder)} at {mount.get('Target')}"
        for write in writes
        for mount in container_of(write.spec).get("Mounts") or []
        if str(mount.get("Source") or "").startswith(directory + os.sep)
    )
    if relative:
        raise SwarmError(
            "relative_mount",
            f"Could not plan stack {stack}: {'; '.join(relative)}, a path relative to a Compose file that is on no node."
            " Give the path on the nodes, or use a config or a volume.",
            mounts=relative,
        )
