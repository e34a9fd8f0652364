# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter that says which nodes have to pass a probe of the network."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Callable

from ..module_utils._probe.gate import gate_of


def probe_gate(
    observed: Mapping[str, Any], acting: str | None, probed: Collection[str] = ()
) -> dict[str, Any]:
    """See probe_gate.yml."""
    return gate_of(observed, acting, probed).as_data()


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"probe_gate": probe_gate}
