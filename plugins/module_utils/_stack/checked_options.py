# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The options of one of several stacks, checked as Ansible checks those of a module."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .._common.argspec import bad_options
from .._common.errors import SwarmError
from .options import STACK_LIMITS, STACK_OPTIONS, STACK_RULES


def options_of(stack: Any) -> dict[str, Any]:
    """All options of one of several stacks, converted to their types; raises bad_option."""
    if not isinstance(stack, dict):
        raise SwarmError(
            "bad_option", "Could not start: each stack must be a dictionary such as {name: shop}."
        )
    error = bad_options(STACK_OPTIONS, stack, STACK_LIMITS)
    if error is not None:
        raise error
    checked = ArgumentSpecValidator(STACK_OPTIONS, **STACK_RULES).validate(stack)
    if checked.error_messages:
        raise SwarmError("bad_option", f"Could not start: {'; '.join(checked.error_messages)}.")
    options: dict[str, Any] = checked.validated_parameters
    return options
