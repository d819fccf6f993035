"""The desired state behind the packet stage, and what is said where this machine cannot have it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from certs import dev_ca
from deploy.local import netns, packet
from deploy.local.effective import derive
from deploy.local.namespaces import WIRE, Hold, Names, Network
from deploy.local.place import Loopback, place_of
from deploy.local.processes import StackError
from deploy.local.settings import Settings
from dpu_app.store.load import load_file

LISTENERS = {
    "blue-0": "192.0.2.10:8443",
    "green-0": "192.0.2.10:8444",
    "blue-1": "[2001:db8:a::10]:8443",
    "green-1": "[2001:db8:a::10]:8444",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    dev_ca.main([])
    return Settings(run_dir=tmp_path)


def loaded(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def test_each_vip_and_group_has_a_listener_and_the_whole_is_valid(settings: Settings) -> None:
    effective = derive(settings, "up-abc")
    document = loaded(effective.path)
    assert {listener["name"]: listener["address"] for listener in document["listeners"]} == LISTENERS
    assert (effective.host, effective.port, effective.vips) == ("192.0.2.10", 443, ["192.0.2.10", "2001:db8:a::10"])
    assert [address for _, address in effective.workers] == ["10.99.0.2:7101", "10.99.0.2:7102"]
    desired = load_file(effective.path).desired
    assert desired.packet is not None and desired.packet.interface == "up-abc"


def test_packet_section_of_the_file_itself_is_kept(settings: Settings) -> None:
    document = loaded(settings.config)
    vip = {"service": "own", "address": "198.51.100.7", "port": 443}
    document["packet"] = {"interface": "eth0", "vips": [vip]}
    config = settings.run_dir / "own.yaml"
    with config.open("w") as file:
        YAML().dump(document, file)
    effective = derive(replace(settings, config=config), "up-abc")
    after = loaded(effective.path)
    assert after["packet"] == {"interface": "up-abc", "vips": [vip]}
    assert [listener["address"] for listener in after["listeners"]] == ["198.51.100.7:443"]


def test_packet_section_without_a_tcp_vip_is_an_error(settings: Settings) -> None:
    document = loaded(settings.config)
    document["packet"] = {"interface": "eth0", "vips": [{"service": "x", "address": "192.0.2.1", "protocol": "udp"}]}
    with pytest.raises(StackError, match="no TCP VIP"):
        packet.add_packet(document, "up-abc", settings.run_dir)


def test_names_carry_the_folder_and_fit_into_an_interface_name(tmp_path: Path) -> None:
    one, other = Names.of(tmp_path / "a"), Names.of(tmp_path / "b")
    assert one == Names.of(tmp_path / "a") and not set(one.all) & set(other.all) and one.uplink != other.uplink
    assert len(one.uplink) <= 15


def test_one_folder_has_one_stack_at_a_time(tmp_path: Path) -> None:
    hold = Hold(tmp_path)
    with pytest.raises(StackError, match="another stack"):
        Hold(tmp_path)
    hold.close()
    Hold(tmp_path).close()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("effective_capabilities", lambda: 0, "CAP_BPF"),
        ("BPFFS", Path("/nowhere"), "mount -t bpf"),
        ("HEADERS", Path("/nowhere"), "apt-get install linux-headers"),
        ("programs_missing", lambda: ["ip"], "iproute2"),
        ("namespaces_refused", lambda: ["no network namespace"], "no network namespace"),
    ],
)
def test_what_is_missing_is_said_with_its_fix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: object, said: str
) -> None:
    everything: dict[str, Callable[[], Any] | Path] = {
        "effective_capabilities": lambda: (1 << 64) - 1,
        "BPFFS": Path("/"),
        "HEADERS": Path("/"),
        "programs_missing": list,
        "namespaces_refused": list,
    }
    for item, good in everything.items():
        monkeypatch.setattr(packet, item, good)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: True)
    assert packet.missing() == []
    monkeypatch.setattr(packet, name, value)
    assert said in packet.missing()[0]
    with pytest.raises(StackError, match="the packet stage cannot run here"):
        place_of(Settings(run_dir=tmp_path, packet="1"), print)
    notes: list[str] = []
    assert isinstance(place_of(Settings(run_dir=tmp_path, packet="auto"), notes.append), Loopback)
    assert "without the packet stage" in notes[0]


@pytest.mark.skipif(bool(packet.missing()), reason="; ".join(packet.missing()))
def test_namespaces_of_a_crashed_run_go_with_everybody_in_them(tmp_path: Path) -> None:
    crashed = Network(Names.of(tmp_path), ["192.0.2.10"])
    crashed.build()
    left = subprocess.Popen([*netns.prefix(crashed.names.host, own_sysfs=True), "sleep", "60"])
    place = place_of(Settings(run_dir=tmp_path, packet="1"), print)
    try:
        place.open(["192.0.2.10", "2001:db8:a::10"])
        assert left.wait(10) == -9
        with place.inside("client"):
            assert WIRE in Path("/proc/thread-self/net/dev").read_text()
        assert WIRE not in Path("/proc/thread-self/net/dev").read_text()
    finally:
        place.close()
    assert not any(netns.exists(name) for name in crashed.names.all) and not crashed.pins.exists()


@pytest.mark.skipif(bool(packet.missing()), reason="; ".join(packet.missing()))
def test_run_on_loopback_clears_namespaces_of_its_folder_unless_somebody_lives_in_them(tmp_path: Path) -> None:
    crashed = Network(Names.of(tmp_path), ["192.0.2.10"])
    crashed.build()
    hold = Hold(tmp_path)
    with pytest.raises(StackError, match="another stack"):
        place_of(Settings(run_dir=tmp_path), print)
    hold.close()
    place_of(Settings(run_dir=tmp_path), print)
    assert not any(netns.exists(name) for name in crashed.names.all)
