# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives of images: what is read from both layouts of docker save, and that a smaller archive has what an engine needs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._images.archive import (
    Image,
    Layer,
    LayerFolder,
    parse_described,
    read_archive,
    write_archive,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._images.bring import plan_needs


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def a_layer(seed: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        entry = tarfile.TarInfo("file")
        entry.size = len(seed)
        tar.addfile(entry, io.BytesIO(seed))
    return stream.getvalue()


def config_of(layers: list[bytes]) -> bytes:
    rootfs = {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}
    return json.dumps({"os": "linux", "architecture": "amd64", "rootfs": rootfs}).encode()


def saved(layers: list[bytes], new: bool, packed: bool = False) -> bytes:
    """What docker save writes: engines from 25 on use the new layout."""
    config = config_of(layers)
    parts: list[tuple[str, bytes]] = []
    names = []
    for layer in layers:
        name = f"blobs/sha256/{digest(layer)[7:]}" if new else f"{digest(layer)[7:]}/layer.tar"
        names.append(name)
        parts.append((name, gzip.compress(layer) if packed else layer))
    place = f"blobs/sha256/{digest(config)[7:]}" if new else f"{digest(config)[7:]}.json"
    manifest = [{"Config": place, "RepoTags": ["shop:2"], "Layers": names}]
    parts += [(place, config), ("manifest.json", json.dumps(manifest).encode())]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in parts:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


LAYERS = [a_layer(b"one"), a_layer(b"two")]


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_both_layouts_are_read_also_compressed(new: bool, packed: bool, whole: bool) -> None:
    data = saved(LAYERS, new, packed)
    (image,) = read_archive(io.BytesIO(gzip.compress(data) if whole else data), "it")
    assert image.names == ("shop:2",)
    assert image.id == digest(config_of(LAYERS))
    assert [layer.diff_id for layer in image.layers] == [digest(layer) for layer in LAYERS]
    assert [layer.size for layer in image.layers] == [len(layer) for layer in LAYERS]
    assert parse_described(image.as_dict()) == image


def test_only_the_wanted_layers_become_files(tmp_path: Path) -> None:
    folder = LayerFolder(str(tmp_path))
    wanted = digest(LAYERS[1])
    read_archive(io.BytesIO(saved(LAYERS, False)), "it", folder, [wanted])
    assert folder.present() == {wanted: len(LAYERS[1])}
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [LAYERS[1]]


@pytest.mark.parametrize("cut", [0, 1, 100, 700, 3000])
def test_an_archive_that_is_cut_off_is_refused(cut: int) -> None:
    data = saved(LAYERS, True)[:cut]
    with pytest.raises(SwarmError) as caught:
        read_archive(io.BytesIO(data), "shop.tar", None)
    assert caught.value.code == "bad_archive"
    assert "shop.tar" in caught.value.message


@pytest.mark.parametrize("manifest", [b"{}", b"[1]", b'[{"Config": "none"}]', b"nonsense", b"[{"])
def test_a_manifest_that_is_none_is_refused(manifest: bytes) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(manifest)
        tar.addfile(entry, io.BytesIO(manifest))
    stream.seek(0)
    if manifest == b"{}":
        assert read_archive(stream, "it") == []
        return
    with pytest.raises(SwarmError) as caught:
        read_archive(stream, "it")
    assert caught.value.code == "bad_archive"


def test_a_layer_with_other_content_is_not_kept(tmp_path: Path) -> None:
    folder = LayerFolder(str(tmp_path))
    with pytest.raises(SwarmError) as caught:
        folder.add([b"other"], digest(LAYERS[0]))
    assert caught.value.code == "bad_archive"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../../etc/passwd", "sha256:..", "sha256:" + "0" * 63, ""])
def test_a_layer_has_no_other_name_than_its_hash(tmp_path: Path, name: str) -> None:
    with pytest.raises(SwarmError):
        LayerFolder(str(tmp_path)).file(name)


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=5), st.data())
def test_what_is_written_is_what_the_engine_needs(seeds: list[bytes], data: st.DataObject) -> None:
    import tempfile

    layers = [a_layer(seed) for seed in seeds]
    had = data.draw(st.integers(0, len(layers)))
    with tempfile.TemporaryDirectory() as place:
        folder = LayerFolder(place)
        for layer in layers[had:]:
            folder.add([layer])
        image = Image(
            digest(config_of(layers)),
            ("shop:2",),
            "linux",
            "amd64",
            config_of(layers),
            tuple(Layer(digest(layer), len(layer)) for layer in layers),
        )
        written = b"".join(write_archive([image], folder, {image.id: had}))
    with tarfile.open(fileobj=io.BytesIO(written)) as tar:
        (entry,) = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]
        names = tar.getnames()
        assert entry["RepoTags"] == ["shop:2"]
        assert len(entry["Layers"]) == len(layers)
        assert {name for name in names if name.endswith(".tar")} == {
            f"{digest(layer)[7:]}.tar" for layer in layers[had:]
        }


@given(
    st.lists(st.lists(st.sampled_from("abcdef"), max_size=5), max_size=4),
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5),
)
def test_a_layer_is_left_out_only_if_the_engine_has_it_in_its_place(
    others: list[list[str]], mine: list[str]
) -> None:
    image = Image("sha256:i", ("i",), "linux", "amd64", b"", tuple(Layer(x, 1) for x in mine))
    chains = {tuple(other[:end]) for other in others for end in range(1, len(other) + 1)}
    needs = plan_needs([image], [], chains, {})
    first = needs.first["sha256:i"]
    assert first == 0 or tuple(mine[:first]) in chains
    assert first == len(mine) or tuple(mine[: first + 1]) not in chains
    assert set(needs.layers) == set(mine[first:])


def test_what_an_interrupted_run_has_brought_is_not_brought_again() -> None:
    image = Image("sha256:i", ("i",), "linux", "amd64", b"", (Layer("a", 1), Layer("b", 2)))
    needs = plan_needs([image], [], set(), {"b": 2, "a": 5, "z": 9})
    # One of them has another size: it was cut off.
    assert (needs.layers, needs.spooled) == ({"a": 1}, {"b": 2})
    assert plan_needs([image], [image], set(), {}).images == ()
