"""How each server of the comparison is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.adapters import ADAPTERS, Adapter, CaddyServer

_BY_NAME: dict[str, Adapter] = {adapter.name: adapter for adapter in ADAPTERS}
_FOLDER = Path("/data")


def _install(folder: Path, name: str, prints: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{prints}'\n")
    program.chmod(0o755)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the whole PATH, besides the shell's."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/nonexistent")
    return tmp_path


def test_ours_listens_on_the_port_given() -> None:
    command = _BY_NAME["ours-memory"].command(4321, _FOLDER)
    assert command[1:4] == ["-m", "twisted", "durable-streams"]
    assert command[command.index("--listen") + 1] == "tcp:4321:interface=127.0.0.1"
    assert command[command.index("--storage") + 1] == "memory"


def test_ours_keeps_durable_streams_in_the_folder() -> None:
    command = _BY_NAME["ours-local"].command(4321, _FOLDER)
    assert command[command.index("--data-dir") + 1] == "/data"
    assert command[command.index("--storage") + 1] == "local"


def test_node_gets_a_folder_only_to_be_durable() -> None:
    assert _BY_NAME["node-memory"].command(4321, _FOLDER)[-1:] == ["4321"]
    assert _BY_NAME["node-file"].command(4321, _FOLDER)[-2:] == ["4321", "/data"]


@pytest.mark.parametrize("name", ["electric-memory", "electric-wal", "caddy-memory", "caddy-file"])
def test_a_server_that_is_not_installed_is_left_out_with_a_reason(name: str, elsewhere: Path) -> None:
    assert "not on the PATH" in str(_BY_NAME[name].lack()) or "is on the PATH" in str(_BY_NAME[name].lack())


def test_electrics_server_syncs_in_one_of_its_modes(elsewhere: Path) -> None:
    _install(elsewhere, "durable-streams-server", "--durability must be wal|memory")
    program = str(elsewhere / "durable-streams-server")
    assert _BY_NAME["electric-wal"].lack() is None
    start = [program, "--port", "4321", "--data-dir", "/data", "--durability"]
    assert _BY_NAME["electric-wal"].command(4321, _FOLDER) == [*start, "wal"]
    assert _BY_NAME["electric-memory"].command(4321, _FOLDER) == [*start, "memory"]


def test_two_peers_with_one_program_name_are_told_apart(elsewhere: Path) -> None:
    _install(elsewhere, "durable-streams-server", "http.handlers.durable_streams")
    assert _BY_NAME["electric-wal"].lack() is not None
    assert _BY_NAME["caddy-file"].lack() is None


def test_a_caddy_without_the_module_is_no_peer(elsewhere: Path) -> None:
    _install(elsewhere, "caddy", "http.handlers.static_response")
    assert _BY_NAME["caddy-file"].lack() is not None


def test_caddy_is_configured_by_a_file(elsewhere: Path, tmp_path: Path) -> None:
    _install(elsewhere, "caddy", "http.handlers.durable_streams")
    command = _BY_NAME["caddy-file"].command(4321, tmp_path)
    assert command[:3] == [str(elsewhere / "caddy"), "run", "--config"]
    written = Path(command[3]).read_text()
    assert "http://:4321" in written
    assert "bind 127.0.0.1" in written
    assert f"data_dir {tmp_path}/data" in written


def test_caddy_in_memory_has_no_folder() -> None:
    assert "data_dir" not in CaddyServer("caddy-memory", False).configuration(4321, _FOLDER)
