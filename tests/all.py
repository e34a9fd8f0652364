# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All checks, some at a time, each with its own log: what `make test`, `make soak` and .ci/run call.

    all.py [CHECK ...]          lint, unit, cores, course, or the name of a scenario; without arguments, all
    all.py --soak [CHECK ...]   the same with long series, all lessons and guides of the course, and what only `make soak` runs:
                                probe, of the network between hosts

JOBS=3 is how many checks run at once, and V=1 shows everything as it happens, one check after the other.
SEED repeats the random choices of an earlier run. A scenario's lab.env says in which suites it runs
(SUITES="bookworm trixie"; LAB_SUITE chooses one for all) and about how many MINUTES it takes:
the longest begins first.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
LOGS = TOP / ".cache" / "test-logs"
PYTHON = str(TOP / ".venv" / "bin" / "python")

# The settings of long series.
SOAK = {
    "BARE_KILLS": "10",
    "FAULTS_KILLS": "10",
    "GITOPS_KILLS": "10",
    "MEMBERSHIP_KILLS": "20",
    "REBOOT_KILLS": "8",
    "FLOTILLA_SOAK": "1",
}
# Scenarios that run on more suites than in `make test`.
SOAK_SUITES = {
    "engine": ("bullseye", "bookworm", "trixie", "sid"),
    "pipeline": ("bookworm", "trixie"),
    "stack": ("bookworm", "trixie"),
}

# `make test` has no minutes left for these.
SOAK_ONLY = ("probe",)
# And of the course, it has minutes for what a reader follows first.
LESSONS = "1 get_started"

# What hosts of a scenario have at its beginning, other than in `make test`.
SOAK_IMAGES = {"mesh": "bare"}

# The ansible-core of scenarios that do not use the one of .venv, by the names of tests/cores.sh.
CORES = {"cluster": ("oldest",)}
SOAK_CORES = {"cluster": ("oldest", "newest")}

# In the output of pytest: the heading of a test that failed, and its error.
FAILURE = re.compile(
    r"^_{3,} (.+?) _{3,}$(?:\n(?!E  |_{3,} ).*)*\n(E  .*(?:\nE(?: .*)?$)*)", re.MULTILINE
)

SUMMARY = re.compile(
    r"^=+ (.* passed.*) =+$|^((?:lint|cores): \d+ .*|course  \d+ of .*)$", re.MULTILINE
)


@dataclass
class Check:
    """One row of the table."""

    title: str
    command: Sequence[str]
    # The approximate minutes with two other checks running. The longest check begins first.
    minutes: float
    environment: dict[str, str] = field(default_factory=dict)
    seconds: float = 0
    passed: bool = False

    @property
    def log(self) -> Path:
        return LOGS / f"{self.title.replace(',', '').replace(' ', '-')}.log"


def lab_environment(scenario: str) -> dict[str, str]:
    """What molecule/SCENARIO/lab.env sets, by the shell that will read it."""
    path = TOP / "molecule" / scenario / "lab.env"
    if not path.exists():
        return {}
    names = ("SUITES", "MINUTES", "LAB_KIND")
    script = f'{"=; ".join(names)}=; . "{path}"; echo "{"|".join("$" + name for name in names)}"'
    text = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    return dict(zip(names, text.strip().split("|")))


def can_run(name: str) -> bool:
    """Whether this machine can have the hosts of a check. If not, say why."""
    kind = lab_environment(name).get("LAB_KIND")
    if not kind:
        return True
    done = subprocess.run(
        [PYTHON, "lab/lab.py", "check"],
        cwd=TOP,
        env={**os.environ, "LAB_KIND": kind},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"==> {name} is left out. {done.stderr.strip()}", flush=True)
    return not done.returncode


def scenarios() -> list[str]:
    return sorted(path.parent.name for path in TOP.glob("molecule/*/molecule.yml"))


def default_names(soak: bool) -> list[str]:
    names = ["lint", "unit", "cores", "course", *(n for n in scenarios() if n != "default")]
    return [name for name in names if soak or name not in SOAK_ONLY]


def checks_of(name: str, soak: bool) -> list[Check]:
    if name == "lint":
        return [Check(name, ["tests/lint.sh"], 13)]
    if name == "unit":
        seed = [f"--hypothesis-seed={os.environ['SEED']}"] if soak else []
        return [Check(name, [PYTHON, "-m", "pytest", *seed, "tests/unit"], 20 if soak else 7)]
    if name == "cores":
        # The long series of generated cases are those of unit.
        few = {"FLOTILLA_SOAK": ""}
        return [
            Check(name, ["tests/cores.sh", *(["--all"] if soak else [])], 40 if soak else 9, few)
        ]
    if name == "course":
        prefix = f"{os.environ.get('LAB_PREFIX') or 'flotilla'}-course"
        command = ["make", "course", f"N={'' if soak else LESSONS}"]
        return [Check(name, command, 45 if soak else 3, {"LAB_PREFIX": prefix})]
    if name not in scenarios() or name == "default":
        known = default_names(soak)
        sys.exit(f"tests: {name} is not a check: choose from {', '.join(known)}.")
    settings = lab_environment(name)
    suites = settings.get("SUITES", "").split() or ["bookworm"]
    if soak:
        suites = list(SOAK_SUITES.get(name, suites))
    if os.environ.get("LAB_SUITE"):
        suites = [os.environ["LAB_SUITE"]]
    prefix = f"{os.environ.get('LAB_PREFIX') or 'flotilla'}-{name}"
    cores = (SOAK_CORES if soak else CORES).get(name, ("",))
    return [
        Check(
            f"{name} on {suite}" + (f", {core} core" if core else ""),
            ["lab/scenario.sh", name],
            float(settings.get("MINUTES") or 1),
            {
                "LAB_SUITE": suite,
                "LAB_PREFIX": "-".join(
                    (
                        prefix,
                        *([suite] if len(suites) > 1 else []),
                        *([core] if len(cores) > 1 else []),
                    )
                ),
                "LAB_SUBNET": "auto",
                **({"CORE": core} if core else {}),
                **({"LAB_IMAGE": SOAK_IMAGES[name]} if soak and name in SOAK_IMAGES else {}),
            },
        )
        for suite in suites
        for core in cores
    ]


class Runner:
    """Runs checks, prints when one begins and ends, and shows the log of a failed one."""

    def __init__(self, jobs: int, verbose: bool) -> None:
        self._jobs = 1 if verbose else jobs
        self._verbose = verbose
        self._lock = threading.Lock()
        self._started = time.monotonic()

    def run(self, checks: Sequence[Check]) -> None:
        ordered = sorted(checks, key=lambda check: -check.minutes)
        with ThreadPoolExecutor(self._jobs) as pool:
            for done in [pool.submit(self._one, check) for check in ordered]:
                done.result()

    def _one(self, check: Check) -> None:
        self._say(f"{check.title}: begins")
        started = time.monotonic()
        with check.log.open("w", encoding="utf-8", buffering=1) as log:
            process = subprocess.Popen(
                check.command,
                cwd=TOP,
                env={**os.environ, **check.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                if self._verbose:
                    print(line, end="", flush=True)
            check.passed = process.wait() == 0
        check.seconds = time.monotonic() - started
        text = check.log.read_text(encoding="utf-8")
        summary = [a or b for a, b in SUMMARY.findall(text)][-1:]
        state = "ok" if check.passed else "FAILED"
        lines = []
        if not check.passed and not self._verbose:
            lines = [f"    {line}" for line in text.splitlines()[-80:]]
            lines.append(f"    the whole log: {check.log.relative_to(TOP)}")
        self._say(": ".join((check.title, f"{state} after {check.seconds:.0f} s", *summary)), lines)

    def _say(self, text: str, more: Sequence[str] = ()) -> None:
        at = time.monotonic() - self._started
        with self._lock:
            print(f"==> {at / 60:5.1f} min  {text}", *more, sep="\n", flush=True)


def table(checks: Sequence[Check], seconds: float) -> str:
    rows = [f"{'check':<28} {'result':<7} {'minutes':>7}"]
    for check in sorted(checks, key=lambda check: -check.seconds):
        result = "ok" if check.passed else "FAILED"
        rows.append(f"{check.title:<28} {result:<7} {check.seconds / 60:>7.1f}")
    together = sum(check.seconds for check in checks) / 60
    rows.append(f"{'one after the other':<36} {together:>7.1f}")
    rows.append(f"{'as they ran':<36} {seconds / 60:>7.1f}")
    return "\n".join(rows)


def failures(text: str) -> list[str]:
    """One line for each test that failed, from the log of a check; or the last lines of the log."""
    found = []
    for test, error in FAILURE.findall(text):
        words = " ".join(re.sub("^E ", "", error, flags=re.MULTILINE).split())
        if len(words) >= 800:
            # The beginning says what is wrong, and a verdict stands at the end.
            words = f"{words[:500]} ... {words[-300:]}"
        found.append(f"{test}: {words}")
    return found or text.splitlines()[-6:]


def number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdigit() or int(text) < 1:
        sys.exit(f"tests: {name} is {text!r}: give a whole number of at least 1.")
    return int(text)


def main(arguments: Sequence[str]) -> int:
    soak = "--soak" in arguments
    names = [word for word in arguments if word != "--soak"]
    # A check that is asked for by its name fails where it cannot run.
    names = names or [name for name in default_names(soak) if can_run(name)]
    os.environ["SEED"] = str(number("SEED", random.randint(1, 999_999_999)))
    if soak:
        for name, value in SOAK.items():
            os.environ.setdefault(name, value)
    checks = [check for name in names for check in checks_of(name, soak)]
    jobs = number("JOBS", 3)
    # Other logs stay, because they can belong to a parallel run.
    LOGS.mkdir(parents=True, exist_ok=True)
    print(f"==> SEED={os.environ['SEED']} repeats the random choices of this run", flush=True)
    started = time.monotonic()
    Runner(jobs, os.environ.get("V") == "1").run(checks)
    print(f"\n{table(checks, time.monotonic() - started)}\n")
    # Once more at the end, because CI may show only the last lines of the output.
    for check in checks:
        if not check.passed:
            print(f"{check.title}:")
            print(*(f"  {line}" for line in failures(check.log.read_text("utf-8"))), sep="\n")
    passed = sum(check.passed for check in checks)
    print(f"{passed} passed, {len(checks) - passed} failed", flush=True)
    return 0 if passed == len(checks) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
