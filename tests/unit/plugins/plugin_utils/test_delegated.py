# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host that is lost in the middle of a task."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.flotilla.swarm.plugins.plugin_utils._delegated import lost

ERROR = AnsibleConnectionFailure("Connection refused.")


def test_of_a_delegated_task_it_is_a_failure() -> None:
    said = lost("change the nodes", "m1", ERROR)
    assert said["failed"]
    assert (
        said["msg"]
        == "Could not change the nodes: m1, which acted, cannot be reached any more (Connection refused). Run again."
    )


@pytest.mark.parametrize("host", [None, ""])
def test_on_its_own_host_it_stays_unreachable(host: str | None) -> None:
    with pytest.raises(AnsibleConnectionFailure):
        lost("change the nodes", host, ERROR)
