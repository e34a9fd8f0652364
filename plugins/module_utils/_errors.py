# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The one exception that modules turn into a failed result."""

from __future__ import annotations

from typing import Any


class SwarmError(Exception):
    """Something that stops a module, in one sentence that says what to do.

    `code` is for machines and never changes for the same cause; `details` is data that goes with it.
    """

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    def as_failure(self) -> dict[str, Any]:
        return {"code": self.code, "details": self.details}
