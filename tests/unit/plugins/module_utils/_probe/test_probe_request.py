# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a probe creates: the image of a node, the nodes of a run, the specs, the program as one file, and what options are refused."""

from __future__ import annotations

import inspect
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model.documents import Node
from ansible_collections.flotilla.swarm.plugins.module_utils._probe import prober
from ansible_collections.flotilla.swarm.plugins.module_utils._probe.carry_out import wanted_of
from ansible_collections.flotilla.swarm.plugins.module_utils._probe.entries import match_entries
from ansible_collections.flotilla.swarm.plugins.module_utils._probe.image import (
    archive_of,
    node_root,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._probe.request import (
    Place,
    Wanted,
    overlays_of,
    places_of,
    program_of,
    publish,
    service_spec,
)

OPTIONS: dict[str, Any] = {
    "overlays": ["plain"], "networks": [], "mesh": True, "port": 0, "window": 20, "limit": 600, "nodes": [], "run": "",
}  # fmt: skip


def a_node(name: str, **changes: Any) -> Node:
    values = {
        "id": f"id-{name}", "hostname": name, "role": "worker", "availability": "active", "state": "ready", "addr": "192.0.2.1",
        "labels": {}, "leader": False, "reachability": None, "manager_addr": None, "engine_version": "26.1.5",
    }  # fmt: skip
    return Node(**{**values, **changes})


def a_root(path: Path) -> Path:
    """A host with one /usr."""
    for folder in ("usr/bin", "usr/lib", "usr/lib64"):
        (path / folder).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (path / name).symlink_to(f"usr/{name}")
    python = path / "usr" / "bin" / "python3.99"
    python.write_text("")
    python.chmod(0o755)
    (path / "usr" / "bin" / "python3").symlink_to("python3.99")
    return path


def test_the_image_has_links_to_usr_and_nothing_else(tmp_path: Path) -> None:
    root = node_root(str(a_root(tmp_path)))
    assert (root.reason, root.python) == ("", "/usr/bin/python3.99")
    with tarfile.open(fileobj=io.BytesIO(archive_of(root))) as archive:
        links = {each.name: each.linkname for each in archive if each.issym()}
        others = [each for each in archive if not each.issym()]
    assert links == {
        "bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "python": "/usr/bin/python3.99"
    }  # fmt: skip
    assert all(each.isdir() for each in others)


def test_a_host_whose_libraries_are_not_in_usr_is_not_probed(tmp_path: Path) -> None:
    root = a_root(tmp_path)
    (root / "lib").unlink()
    (root / "lib").mkdir()
    assert node_root(str(root)).reason == "its /lib is not part of /usr"


def test_a_host_without_python_is_not_probed(tmp_path: Path) -> None:
    root = a_root(tmp_path)
    (root / "usr" / "bin" / "python3").unlink()
    assert "no /usr/bin/python3" in node_root(str(root)).reason


def test_nodes_that_cannot_run_a_task_say_why() -> None:
    nodes = [
        a_node("a"),
        a_node("b", state="down"),
        a_node("c", availability="pause"),
        a_node("d"),
        a_node("e", labels={"flotilla.swarm.host": "web1"}),
    ]
    images = {"id-a": "", "id-b": "", "id-c": "", "id-e": "its /lib is not part of /usr"}
    reasons = {place.name: place.reason for place in places_of(nodes, images)}
    assert reasons["a"] == ""
    assert reasons["b"] == "its state is down"
    assert reasons["c"].startswith("its availability is pause")
    assert reasons["d"] == "it is not in the inventory, or did not answer"
    assert reasons["web1"] == "its /lib is not part of /usr"


@pytest.mark.parametrize(
    ("manager", "address"), [("192.0.2.7:2377", "192.0.2.7"), ("[2001:db8::7]:2377", "2001:db8::7")]
)
def test_the_address_of_a_manager_is_that_of_its_manager(manager: str, address: str) -> None:
    """The leader can report itself at 0.0.0.0."""
    node = a_node("a", role="manager", addr="0.0.0.0", manager_addr=manager)
    (place,) = places_of([node], {})
    assert (place.address, place.manager) == (address, manager)


def test_the_specs_name_only_our_own_and_keep_nodes_without_the_image_out() -> None:
    places = [Place("1", "a", "x", ""), Place("2", "b", "x", "", reason="down")]
    spec = service_spec("flotilla-probe-plain", "r", places, "c", "n", 0)
    publish(spec, 0, 7979)
    task = spec["TaskTemplate"]
    assert spec["Labels"] == {"flotilla.swarm.probe": "r"}
    assert task["Placement"]["Constraints"] == ["node.id!=2"]
    assert task["ContainerSpec"]["Mounts"][0]["ReadOnly"]
    assert "PublishedPort" not in spec["EndpointSpec"]["Ports"][0]
    assert "EndpointSpec" not in service_spec("flotilla-probe-host", "r", places, "c", "host", 1)


def test_networks_are_in_the_order_that_was_asked_for() -> None:
    networks = [{"Name": "shop", "Id": "s", "Options": {"encrypted": ""}, "IPAM": {"Config": [{"Subnet": "10.0.9.0/24"}]}}]  # fmt: skip
    found = overlays_of(Wanted(overlays=("encrypted",), networks=("shop",)), networks)
    assert [(each.where, each.encrypted, each.own, each.subnet) for each in found] == [
        ("encrypted", True, True, ""),
        ("net-1", True, False, "10.0.9.0/24"),
    ]


def test_the_program_is_one_file_of_the_standard_library() -> None:
    """A node that is not in its request says so and ends."""
    request = {"run": "r", "nodes": [["it's", "x", ""]], "limit": 1}
    program = program_of(inspect.getsource(prober), request)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-", "host", "0"],
        input=program,
        capture_output=True,
        text=True,
        env={"NODE": "other"},
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"probe": "r", "error": "node other is not of this run"}


def test_entries_lead_from_an_address_over_its_hardware_address_to_a_host() -> None:
    neighbours = [
        {"dst": "10.0.1.2", "lladdr": "02:42:0A:00:01:02"},
        {"dst": "10.0.1.3", "lladdr": "02:42:0a:00:01:03"},
        {"dst": "10.0.1.4"},
    ]
    forwarding = [{"mac": "02:42:0a:00:01:02", "dst": "192.0.2.2"}, {"mac": "33:33:00:00:00:01"}]
    assert match_entries(neighbours, forwarding) == {
        "10.0.1.2": ("02:42:0a:00:01:02", "192.0.2.2"),
        "10.0.1.3": ("02:42:0a:00:01:03", ""),
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"run": "a b"}, "run is 'a b'"),
        ({"run": "x" * 9}, "it must be up to 8 letters"),
        ({"overlays": []}, "set mesh to false"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SwarmError, match="Could not start") as caught:
        wanted_of({**OPTIONS, **given})
    assert words in caught.value.message
    assert caught.value.code == "bad_option"
