# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The logical export: what is in it, that it is of one moment, and the files that it leaves."""

from __future__ import annotations

import copy
import datetime
import json
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle import backup_files, export
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.export_content import (
    Listed,
    counts_of,
    export_lines,
    export_of,
    network_spec,
    parse_export,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._nodes.marks import marked, paused

RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
DOCUMENTS: dict[str, Any] = {
    "/info": {"ServerVersion": "26.1.5", "Swarm": {"NodeAddr": "192.0.2.11", "NodeID": "n1"}},
    "/swarm": {
        "ID": "c1",
        "JoinTokens": {"Worker": "SWMTKN-1-x"},
        "Spec": {
            "Name": "default",
            "CAConfig": {"NodeCertExpiry": 7776000000000000, "SigningCAKey": "private"},
            "EncryptionConfig": {"AutoLockManagers": True},
        },
        "SubnetSize": 24,
    },
    "/nodes": [
        {
            "ID": "n1",
            "Spec": {
                "Role": "manager",
                "Availability": "active",
                "Labels": {"flotilla.swarm.host": "m1", "zone": "a"},
            },
            "Description": {"Hostname": "host-1", "Engine": {"EngineVersion": "26.1.5"}},
            "Status": {"State": "ready", "Addr": "192.0.2.11"},
        }
    ],
    "/networks": [
        {
            "Name": "shop_default",
            "Id": "net1",
            "Scope": "swarm",
            "Driver": "overlay",
            "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.0.1.0/24"}]},
            "Options": {"com.docker.network.driver.overlay.vxlanid_list": "4097", "encrypted": ""},
            "ConfigFrom": {"Network": ""},
            "Containers": None,
            "Created": "2026-11-29T07:44:39Z",
        },
        {"Name": "bridge", "Id": "local", "Scope": "local"},
    ],
    "/networks/hostnet": {"Name": "host", "Id": "hostnet"},
    "/configs": [{"ID": "c1", "Version": {"Index": 3}, "Spec": {"Name": "motd", "Data": "aGk="}}],
    "/secrets": [{"ID": "s1", "Spec": {"Name": "token", "Labels": {}, "Data": "bm8="}}],
    "/services": [
        {
            "ID": "v1",
            "Version": {"Index": 7},
            "UpdateStatus": {"State": "updating"},
            "Spec": {
                "Name": "web",
                "Labels": {},
                "TaskTemplate": {
                    "ContainerSpec": {"Image": "web:1", "Secrets": [{"SecretID": "s1"}]},
                    "Networks": [{"Target": "net1"}, {"Target": "hostnet"}],
                },
                "Mode": {"Replicated": {"Replicas": 2}},
            },
        }
    ],
}


class FakeReader:
    """An engine with these documents. `changes` are made before the reads of /swarm, one each."""

    def __init__(self, *changes: Any) -> None:
        self.documents = copy.deepcopy(DOCUMENTS)
        self.changes = list(changes)
        self.reads = 0

    def get(self, path: str, attempt: str, **query: Any) -> Any:
        if path == "/swarm":
            self.reads += 1
            if self.changes:
                self.changes.pop(0)(self.documents)
        return copy.deepcopy(self.documents[path])


def listed(**parts: Any) -> Listed:
    found = {name: copy.deepcopy(DOCUMENTS[f"/{name}"]) for name in ("swarm", "nodes", "networks", "configs", "secrets", "services")}  # fmt: skip
    return Listed(**{**found, **parts})


def test_it_has_all_that_a_manager_tells_and_no_secret() -> None:
    found = export.take_export(FakeReader())
    content = found.content
    assert counts_of(content) == {
        "nodes": 1,
        "networks": 1,
        "configs": 1,
        "secrets": 1,
        "services": 1,
    }
    assert (found.address, found.engine_version, found.autolock) == ("192.0.2.11", "26.1.5", True)
    assert content["cluster_id"] == "c1"
    assert content["nodes"][0] == {
        "id": "n1",
        "name": "m1",
        "host": "m1",
        "hostname": "host-1",
        "address": "192.0.2.11",
        "role": "manager",
        "availability": "active",
        "labels": {"flotilla.swarm.host": "m1", "zone": "a"},
        "engine_version": "26.1.5",
    }
    assert content["configs"][0]["spec"]["Data"] == "aGk="
    assert content["secrets"] == [
        {"id": "s1", "name": "token", "spec": {"Name": "token", "Labels": {}}, "used_by": ["web"]}
    ]
    assert content["predefined_networks"] == {"hostnet": "host"}
    text = json.dumps(content)
    for hidden in ("SWMTKN", "private", "bm8="):
        assert hidden not in text


def test_a_network_can_be_created_from_its_spec() -> None:
    assert network_spec(DOCUMENTS["/networks"][0]) == {
        "Name": "shop_default",
        "Scope": "swarm",
        "Driver": "overlay",
        "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.0.1.0/24"}]},
        "Options": {"encrypted": ""},
    }


def test_what_a_drain_in_progress_has_written_is_left_out() -> None:
    quiet = export_of(listed())
    nodes, services = copy.deepcopy(DOCUMENTS["/nodes"]), copy.deepcopy(DOCUMENTS["/services"])
    nodes[0]["Spec"] = paused(nodes[0]["Spec"])
    services[0]["Spec"] = marked(services[0]["Spec"], ["n1"])
    assert export_of(listed(nodes=nodes, services=services)) == quiet


@pytest.mark.parametrize("label", ["flotilla.swarm.leaving", "flotilla.swarm.restarting"])
def test_a_node_has_the_availability_that_it_had_before_a_run_drained_it(label: str) -> None:
    nodes = copy.deepcopy(DOCUMENTS["/nodes"])
    nodes[0]["Spec"].update(Availability="drain")
    nodes[0]["Spec"]["Labels"][label] = "pause"
    (node,) = export_of(listed(nodes=nodes))["nodes"]
    assert node["availability"] == "pause"
    assert label not in node["labels"]


def test_a_rebalance_in_progress_does_not_count_its_replicas() -> None:
    services = copy.deepcopy(DOCUMENTS["/services"])
    services[0]["Spec"]["Labels"]["flotilla.swarm.rebalancing"] = "2"
    services[0]["Spec"]["Mode"]["Replicated"]["Replicas"] = 5
    assert export_of(listed(services=services)) == export_of(listed())


def rename(number: int) -> Any:
    def change(documents: dict[str, Any]) -> None:
        documents["/services"][0]["Spec"]["Name"] = f"web{number}"

    return change


def test_a_swarm_that_changes_is_read_until_it_rests() -> None:
    reader = FakeReader(rename(1), rename(2), rename(3))
    assert export.take_export(reader).content["services"][0]["name"] == "web3"
    assert reader.reads == 4


def test_a_swarm_that_never_rests_is_not_exported() -> None:
    with pytest.raises(SwarmError, match="has changed between each of 8 reads") as error:
        export.take_export(FakeReader(*map(rename, range(20))))
    assert error.value.code == "out_of_sequence"


def test_the_progress_of_an_update_is_no_change() -> None:
    def progress(documents: dict[str, Any]) -> None:
        documents["/services"][0]["UpdateStatus"]["State"] = "completed"
        documents["/services"][0]["Version"]["Index"] += 1

    reader = FakeReader(lambda _documents: None, progress)
    export.take_export(reader)
    assert reader.reads == 2


def test_the_plan_says_what_is_exported_and_where_to() -> None:
    lines = export_lines(export_of(listed()), "/backups/c1/x.json.age", 2, "m1")
    assert lines[0] == "PLAN  export of swarm c1, acting on m1"
    assert "  + 1 secret   names and the services that use them, without their data" in lines
    assert lines[-1] == "  > /backups/c1/x.json.age, for 2 recipients"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "format 2"),
        ({"services": {}}, "no list of services"),
        ({"configs": [{}]}, "a config in it has no name"),
        ({"secrets": [{"name": "x"}]}, "secret x has no spec"),
        ({"cluster_id": None}, "which swarm"),
    ],
)
def test_what_is_no_export_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SwarmError, match=words) as error:
        parse_export({**export_of(listed()), **change}, "the file x")
    assert error.value.code == "bad_backup"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_anything_else_is_refused_without_a_traceback(document: Any) -> None:
    with pytest.raises(SwarmError):
        parse_export(document, "the file x")


# The files, with a program in place of age ----------------------------------------------------------------


@pytest.fixture
def _age(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of age, which the machine may not have: its "encrypted" files are the reversed content."""

    def encrypt(path: str, recipients: Any, write: Any) -> None:
        class Stream:
            def write(self, data: bytes) -> None:
                Path(path).write_bytes(data[::-1])

        assert not Path(path).exists()
        stream: IO[bytes] = Stream()  # type: ignore[assignment]
        write(stream)

    monkeypatch.setattr(export, "new_identity", lambda: ("identity", "own"))
    monkeypatch.setattr(export, "encrypt", encrypt)
    monkeypatch.setattr(export, "decrypt", lambda path, identity: Path(path).read_bytes()[::-1])


NAME = export.name_for("m1", datetime.datetime(2026, 11, 29, 7, 45, tzinfo=datetime.timezone.utc))


def write(folder: Path) -> export.WrittenExport:
    return export.write_export(export.take_export(FakeReader()), str(folder), [RECIPIENT], NAME)


@pytest.mark.usefixtures("_age")
def test_a_backup_has_two_files_that_only_their_owner_can_read(tmp_path: Path) -> None:
    written = write(tmp_path / "backups")
    place = tmp_path / "backups" / "c1"
    assert sorted(path.name for path in place.iterdir()) == [
        "export-20261129T074500Z-m1.json.age",
        "export-20261129T074500Z-m1.meta.json",
    ]
    assert place.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in place.glob("*.json")} == {0o600}
    meta = json.loads((place / NAME.meta).read_text(encoding="utf-8"))
    assert meta == written.meta == backup_files.parse_meta(meta, "the meta file")
    assert (meta["address"], meta["autolock"], meta["kind"]) == ("192.0.2.11", True, "export")
    assert meta["size"] == (place / NAME.data).stat().st_size
    content = json.loads((place / NAME.data).read_bytes()[::-1])
    assert content["taken"] == "20261129T074500Z"
    assert parse_export(content, "it") == content


@pytest.mark.usefixtures("_age")
def test_what_a_killed_run_has_left_is_removed(tmp_path: Path) -> None:
    place = tmp_path / "c1"
    place.mkdir()
    (place / ".partial-export-20261128T000000Z-m1.json.age").write_bytes(b"half")
    write(tmp_path)
    assert not list(place.glob(".partial*"))
    assert backup_files.complete_backups(path.name for path in place.iterdir()) == [NAME]


@pytest.mark.usefixtures("_age")
def test_a_file_that_does_not_read_back_is_no_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "decrypt", lambda path, identity: b"other")
    with pytest.raises(SwarmError, match="what was read back is not what was written"):
        write(tmp_path)
    assert not list((tmp_path / "c1").iterdir())


def test_two_runs_do_not_write_into_one_folder_at_the_same_time(tmp_path: Path, clock: Any) -> None:
    with export.alone_in(str(tmp_path)):
        with pytest.raises(SwarmError) as error, export.alone_in(str(tmp_path), clock):
            pass
        assert error.value.code == "busy"
    with export.alone_in(str(tmp_path)):
        pass


@pytest.mark.parametrize("recipients", [[], ["--output=/etc/passwd"], ["AGE-SECRET-KEY-1XYZ"]])
def test_what_is_no_recipient_is_refused(recipients: list[str]) -> None:
    with pytest.raises(SwarmError) as error:
        export.refuse_recipients(recipients)
    assert error.value.code == "bad_option"


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in ("relative", str(tmp_path / "file" / "below")):
        with pytest.raises(SwarmError):
            export.refuse_folder(folder)
    export.refuse_folder(str(tmp_path / "new" / "folder"))


# Names ------------------------------------------------------------------------------------------------------


@given(
    kind=st.sampled_from([backup_files.RAFT, backup_files.EXPORT]),
    host=st.text(min_size=1, max_size=30),
)
def test_a_name_is_read_as_it_was_written(kind: str, host: str) -> None:
    name = backup_files.BackupName(kind, "20261129T074500Z", host)
    for text in (name.data, name.meta):
        assert "/" not in text
        found = backup_files.parse_name(text)
        assert found is not None
        assert (found.kind, found.taken, found.data) == (kind, name.taken, name.data)


def test_the_newest_complete_backup_comes_first() -> None:
    names = [
        "raft-20261129T074500Z-m1.tar.age",
        "raft-20261129T074500Z-m1.meta.json",
        "export-20261130T074500Z-m1.json.age",
        "raft-20261128T074500Z-m2.tar.age",
        "raft-20261128T074500Z-m2.meta.json",
        "notes.txt",
    ]
    found = backup_files.complete_backups(names)
    assert [name.data for name in found] == [names[0], names[3]]


@pytest.mark.parametrize("name", ["raft-1-m1.tar.age", "raft-20261129T074500Z-m1.json.age", "x"])
def test_other_files_are_no_backups(name: str) -> None:
    assert backup_files.parse_name(name) is None
