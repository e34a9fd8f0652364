# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter that chooses the acting manager."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Callable

from ..module_utils._cluster import acting


def acting_manager(observed: Mapping[str, Any], busy: Collection[str] = ()) -> str:
    """See acting_manager.yml."""
    return acting.acting_manager(observed, busy)


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"acting_manager": acting_manager}
