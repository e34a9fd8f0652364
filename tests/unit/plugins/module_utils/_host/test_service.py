# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is installed on a host for a part of the collection, and how it is stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._gitops import units as gitops
from ansible_collections.flotilla.swarm.plugins.module_utils._host import service
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle import backup_units


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root of its own for the folders of the service."""
    for name in ("CODE_DIR", "CONFIG_DIR", "UNIT_DIR"):
        folder = f"{tmp_path}{getattr(service, name)}"
        Path(folder).mkdir(parents=True)
        monkeypatch.setattr(service, name, folder)
    return tmp_path


@pytest.mark.parametrize(
    ("part", "paths"),
    [
        (
            "backup",
            [
                *(backup_units.CODE, backup_units.CONFIG),
                *(
                    f"/etc/systemd/system/{name}"
                    for name in (
                        backup_units.NOW_SERVICE,
                        backup_units.TIMER_SERVICE,
                        backup_units.TIMER,
                    )
                ),
            ],
        ),
        (
            "gitops",
            [
                *(gitops.CODE, gitops.CONFIG, gitops.KEYS),
                *(f"/etc/systemd/system/{name}" for name in (gitops.SERVICE, gitops.TIMER)),
            ],
        ),
    ],
)
def test_all_files_of_a_part_are_found_and_none_of_another(
    part: str, paths: list[str], host: Path
) -> None:
    for path in (*paths, "/etc/flotilla.swarm/builder.json", "/etc/systemd/system/docker.service"):
        Path(f"{host}{path}").write_text("")
    assert service.installed(part) == sorted(f"{host}{path}" for path in paths)
    assert service.installed("probe") == []


def test_timers_are_stopped_before_services(host: Path) -> None:
    said = []

    def run(words: list[str]) -> tuple[int, str, str]:
        said.append(" ".join(words))
        return 5, "", "not loaded"

    units = [f"{service.UNIT_DIR}/x.{kind}" for kind in ("service", "timer")]
    service.stop(run, [*units, f"{service.CONFIG_DIR}/x.json"])
    assert said == ["systemctl disable --now -- x.timer", "systemctl stop -- x.service"]
