"""Where sockets lie: private folders, short paths, and who may enter; secrets likewise."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from twelvefold.bus import serving
from twelvefold.bus.client import BusClient
from twelvefold.bus.endpoints import PATH_BYTES_MAX, endpoints
from twelvefold.bus.errors import EndpointTooLong, EndpointUnsafe, RoleRefused
from twelvefold.bus.keys import key_path, read_key, write_keys


def test_each_home_has_a_private_folder(tmp_path: Path) -> None:
    """Two homes get two folders, each 0700, and the same home always the same."""
    one, two = endpoints(tmp_path / "one", tmp_path), endpoints(tmp_path / "two", tmp_path)
    assert one.folder != two.folder
    assert stat.S_IMODE(one.folder.stat().st_mode) == 0o700
    assert endpoints(tmp_path / "one", tmp_path) == one


def test_a_path_that_is_too_long_is_explained(tmp_path: Path) -> None:
    """A socket path beyond the system's limit is an error that names length and remedy."""
    with pytest.raises(EndpointTooLong) as caught:
        endpoints(tmp_path, tmp_path / ("x" * 100))
    assert caught.value.length > PATH_BYTES_MAX
    assert "107" in caught.value.message()
    assert "TWELVEFOLD_RUNTIME_DIR" in (caught.value.help() or "")


def test_a_folder_open_to_others_is_refused(tmp_path: Path) -> None:
    """A socket folder that others may enter, or that is a link, is not used."""
    folder = endpoints(tmp_path, tmp_path).folder
    folder.chmod(0o755)
    with pytest.raises(EndpointUnsafe):
        endpoints(tmp_path, tmp_path)
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(EndpointUnsafe):
        endpoints(tmp_path, tmp_path)


def test_secrets_are_fresh_and_private(tmp_path: Path) -> None:
    """Each start writes new secrets that only the user can read."""
    first, second = write_keys(tmp_path), write_keys(tmp_path)
    assert first["orchestrator"] != second["orchestrator"]
    path = key_path(tmp_path, "supervisor")
    assert path.read_text() == second["supervisor"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_hello_meant_for_the_bus_before_is_no_refusal(bus_home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waited to be sent while the bus was started anew, with the secret of before: the client says another."""
    secrets = iter(["of before"])
    monkeypatch.setattr(serving, "read_key", lambda path: next(secrets, read_key(path)))
    client = bus_home.client(role="orchestrator")
    assert client.emit("work.wanted").position


def test_a_role_needs_its_secret(bus_home: Any) -> None:
    """The orchestrator's role is refused without this start's secret, and taken with it, also after a restart."""
    with BusClient(bus_home.endpoints, role="orchestrator", secret="guess") as stranger, pytest.raises(RoleRefused):
        stranger.head()
    orchestrator = bus_home.client(role="orchestrator", timeout_s=60)
    orchestrator.emit("timer.set", stream="run.1")
    bus_home.restart()
    orchestrator.emit("timer.set", stream="run.1")
