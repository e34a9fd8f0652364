# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The MTU of networks: what the engine makes of it, and what is wrong with a value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._model.mtu import (
    ESP_BLOCK,
    LARGEST_MTU,
    LEAST_MTU,
    MTU_OPTION,
    container_mtu,
    default_mtu,
    hosts_mtu,
    is_encrypted,
    mtu_of,
    wrong_mtu,
)


# What an engine gave the containers: 1450 and 1350 were read on 20.10.24, the rest is from libnetwork's maxMTU.
@pytest.mark.parametrize(
    ("mtu", "encrypted", "left"),
    [
        (1500, False, 1450),
        (1400, False, 1350),
        (1500, True, 1424),
        (1400, True, 1324),
        (9000, True, 8924),
    ],
)
def test_what_is_left_for_containers(mtu: int, encrypted: bool, left: int) -> None:
    assert container_mtu(mtu, encrypted) == left


@given(st.integers(LEAST_MTU, LARGEST_MTU))
def test_an_encrypted_packet_fits(mtu: int) -> None:
    inner = container_mtu(mtu, True)
    # What ESP encrypts is UDP, VXLAN and Ethernet around the packet, padding to four bytes, and two bytes about the padding.
    clear = 8 + 8 + 14 + inner
    padded = -(-(clear + 2) // ESP_BLOCK) * ESP_BLOCK
    assert 20 + 4 + 4 + 8 + padded + 8 <= mtu
    assert inner % ESP_BLOCK == 0


@given(st.integers(LEAST_MTU, LARGEST_MTU), st.booleans())
def test_what_arrives_fits_the_number_to_set(arrives: int, encrypted: bool) -> None:
    assert arrives - ESP_BLOCK < container_mtu(hosts_mtu(arrives, encrypted), encrypted) <= arrives


@pytest.mark.parametrize(
    ("options", "mtu"),
    [
        (None, 1500),
        ({}, 1500),
        ({MTU_OPTION: "1400"}, 1400),
        ({MTU_OPTION: "x"}, 1500),
        ({MTU_OPTION: "0"}, 1500),
    ],
)
def test_the_mtu_of_a_network(options: Any, mtu: int) -> None:
    assert mtu_of({"Options": options}) == mtu


@pytest.mark.parametrize(
    ("config", "mtu"),
    [
        (None, 1500),
        ({"default-network-opts": {"overlay": {MTU_OPTION: "1400"}}}, 1400),
        ({"default-network-opts": {"bridge": {MTU_OPTION: "1400"}}}, 1500),
        ({"default-network-opts": {"overlay": "x"}}, 1500),
    ],
)
def test_the_mtu_that_an_engine_gives(config: Any, mtu: int) -> None:
    assert default_mtu(config) == mtu


def test_a_network_is_encrypted_by_an_option_without_a_value() -> None:
    assert is_encrypted({"Options": {"encrypted": ""}})
    assert not is_encrypted({"Options": None})


@pytest.mark.parametrize("value", [None, "", "auto", 576, "1500", 65535])
def test_a_good_value(value: Any) -> None:
    assert wrong_mtu("swarm_network_mtu", value) is None


@pytest.mark.parametrize(
    "value", [0, 575, 65536, "1e3", "-1400", True, "automatic", [1400], 1400.5]
)
def test_a_wrong_value_is_named(value: Any) -> None:
    found = wrong_mtu("swarm_network_mtu", value)
    assert found is not None
    assert found.startswith("swarm_network_mtu is ")
    assert "576 to 65535" in found
