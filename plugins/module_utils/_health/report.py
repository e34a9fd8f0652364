# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The verdict as a module returns it, and as people read it. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from .._model.labels import HOST_LABEL, ZONE_LABEL
from .check import WELL

# Nobody reads longer tables: they show only the rows that need attention.
MOST_ROWS = 40
# Shown even when they are ok.
_ALWAYS_SHOWN = ("quorum", "zones", "nodes", "services")


def finish(
    seen: dict[str, Any], accept: Collection[str], how: str, attempts: int
) -> dict[str, Any]:
    """The result with its report, in the format `how`, and with `msg` and `failure` if the verdict is not in `accept`."""
    result = {**seen, "changed": False, "attempts": attempts}
    if how == "json":
        result["report"] = json.dumps({k: v for k, v in result.items() if k != "picture"})
    else:
        result["report"] = "" if how == "none" else render(seen, how == "table")
    if seen["verdict"] in accept:
        return result
    worst = "; ".join(
        f"{check['name']}: {check['message']}"
        for check in seen["checks"]
        if check["status"] not in WELL
    )
    code = next(
        (check["data"]["code"] for check in seen["checks"] if "code" in check["data"]), None
    )
    result["msg"] = f"The swarm is {seen['verdict']}, accepted is {' or '.join(accept)}. {worst}."
    result["failure"] = {"code": code or "not_accepted", "details": {"verdict": seen["verdict"]}}
    return result


def render(result: dict[str, Any], every: bool = False) -> str:
    """Nodes by zone, services and the verdict, as aligned text; of the checks that are ok the main ones, or `every` one."""
    blocks = []
    if result["nodes"]:
        blocks.append("NODES\n" + _node_table(result["nodes"]))
    if result["services"]:
        blocks.append("SERVICES\n" + _service_table(result["services"]))
    lines = [f"VERDICT  {result['verdict']}"]
    width = max([len(check["name"]) for check in result["checks"]] + [8])
    for check in result["checks"]:
        quiet = check["status"] == "skipped" or (
            check["status"] == "ok" and check["name"] not in _ALWAYS_SHOWN
        )
        if quiet and not every:
            continue
        advised = check["advice"] and check["status"] not in ("ok", "skipped")
        advice = f": {check['advice']}" if advised else ""
        lines.append(f"  {check['status']:<10}{check['name']:<{width}}  {check['message']}{advice}")
    blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _names_of(node: dict[str, Any]) -> str:
    """The inventory name, and the engine's hostname beside it if it differs."""
    name = node["labels"].get(HOST_LABEL) or node["hostname"]
    return str(name) if name == node["hostname"] else f"{name} ({node['hostname']})"


def _node_table(nodes: list[dict[str, Any]]) -> str:
    rows = []
    for node in sorted(
        nodes, key=lambda node: (node["labels"].get(ZONE_LABEL, "~"), _names_of(node))
    ):
        away = "" if node["availability"] == "active" else f", {node['availability']}"
        rows.append(
            (
                node["state"] == "ready" and not away,
                (
                    node["labels"].get(ZONE_LABEL, "-"),
                    _names_of(node),
                    "leader" if node["leader"] else node["role"],
                    node["state"] + away,
                    node["engine_version"] or "?",
                ),
            )
        )
    return _table(("zone", "node", "role", "state", "engine"), rows)


def _service_table(services: list[dict[str, Any]]) -> str:
    rows = []
    for row in services:
        tasks = f"{row['running']}/{row['wanted']}"
        well = row["running"] >= row["wanted"] and not row["trouble"]
        rows.append((well, (row["name"], row["mode"], tasks, row["image"])))
    return _table(("service", "mode", "tasks", "image"), rows)


def _table(head: tuple[str, ...], found: Sequence[tuple[bool, tuple[Any, ...]]]) -> str:
    shown = [row for well, row in found if not well] if len(found) > MOST_ROWS else None
    rows = [head, *([row for _well, row in found] if shown is None else shown[:MOST_ROWS])]
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(head))]
    lines = [
        "  " + "   ".join(f"{cell!s:<{width}}" for cell, width in zip(row, widths)).rstrip()
        for row in rows
    ]
    if len(rows) <= len(found):
        lines.append(f"  and {len(found) - len(rows) + 1} more")
    return "\n".join(lines)
