"""The project file: settings below `.env`, schedules and folders, and what is told of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from twelvefold.config_manager import ConfigManager
from twelvefold.errors import SettingInvalid
from twelvefold.project_errors import ProjectFileInvalid
from twelvefold.project_file import read_project_file
from twelvefold.settings import load_settings
from twelvefold.up_plan import read_procfile, up_plan

GOOD = """
[settings]
TWELVEFOLD_LEASE_S = 20
GREETING = "hello"
LOUD = true

[[schedule]]
name = "nightly"
cron = "0 3 * * *"
time_zone = "Europe/Berlin"
plan = "plans/nightly.toml"
input = { deep = [1, 2] }

[[schedule]]
name = "ping"
cron = "@hourly"
agent = "echo"

[[folder]]
name = "issues"
path = "inbox"
repo = "../cite"

[[folder]]
name = "data"
path = "/srv/drop"
pattern = ["*.csv", "*.json"]
plan = { pattern = "pipeline", steps = [{ agent = "echo" }] }
"""


def project(folder: Path, text: str, env: str = "") -> Path:
    (folder / "twelvefold.toml").write_text(text)
    if env:
        (folder / ".env").write_text(env)
    return folder


def test_what_a_project_file_says(tmp_path: Path) -> None:
    """Settings, schedules and folders are read, with what is left out."""
    found = read_project_file(project(tmp_path, GOOD))
    assert found.settings == {"TWELVEFOLD_LEASE_S": "20", "GREETING": "hello", "LOUD": "true"}
    assert [one.name for one in found.schedules] == ["nightly", "ping"]
    assert found.schedules[0].input == {"deep": [1, 2]} and found.schedules[1].time_zone == "UTC"
    assert found.folders[0].patterns == ("*.md", "*.markdown", "*.txt", "*.rst")
    assert found.folders[1].patterns == ("*.csv", "*.json")
    assert not read_project_file(tmp_path / "nowhere").has_triggers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = [", "not TOML"),
        ("colour = 3", "there is no `colour`"),
        ("[schedule]\nname = 'a'", "two brackets"),
        ("[[settings]]\nA = 1", "single brackets"),
        ("[settings]\nA = [1]", "a text, a number"),
        ("[[schedule]]\ncron = '@daily'\nagent = 'a'", "missing required field `name`"),
        ("[[schedule]]\nname = 'a'\ncron = '@daily'", "lacks what is to be done"),
        ("[[schedule]]\nname = 'a'\ncron = '61 * * * *'\nagent = 'a'", "no cron line"),
        ("[[schedule]]\nname = 'a'\ncron = '@daily'\ntime_zone = 'X'\nagent = 'a'", "no time zone"),
        ("[[schedule]]\nname = 'a'\ncron = '@daily'\nagent = 'a'\nplan = 'b'", "choose one"),
        ("[[schedule]]\nname = 'A b'\ncron = '@daily'\nagent = 'a'", "its name must be"),
        ("[[schedule]]\nname = 'a'\ncron = '@daily'\nissue = 'a.md'", "lacks `repo`"),
        ("[[schedule]]\nname = 'a'\ncron = '@daily'\nagent = 'a'\ncolour = 1", "unknown field `colour`"),
        ("[[folder]]\nname = 'a'\npath = 'x'", "lacks `repo`"),
        ("[[folder]]\nname = 'a'\npath = 'x'\nrepo = '.'\nissue = 'x'", "`issue` has no meaning"),
        ("[[folder]]\nname = 'a'\npath = 'x'\nrepo = '.'\npattern = []", "`pattern` is empty"),
        ("[[folder]]\nname = 'a'\npath = 'x'\nrepo = '.'\n" * 2, "two entries"),
        ("[[folder]]\nname = 3\npath = 'x'", "Expected `str`"),
    ],
)
def test_wrong_project_files(tmp_path: Path, text: str, words: str) -> None:
    """Each mistake is told with file and entry."""
    with pytest.raises(ProjectFileInvalid) as told:
        read_project_file(project(tmp_path, text))
    assert words in told.value.message() and "twelvefold.toml" in told.value.message()


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """A file that isn't UTF-8 is told so."""
    (tmp_path / "twelvefold.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ProjectFileInvalid, match="UTF-8"):
        read_project_file(tmp_path)


def test_settings_below_the_env_file(tmp_path: Path) -> None:
    """Environment over `.env` over project file over default, for our own settings, each with its origin."""
    (tmp_path / ".twelvefold").mkdir()
    project(tmp_path, "[settings]\nTWELVEFOLD_LEASE_S = 20\nTWELVEFOLD_PORT = 7000\nTWELVEFOLD_TIMEOUT_S = 9\n")
    (tmp_path / ".env").write_text("TWELVEFOLD_PORT=8000\nTWELVEFOLD_TIMEOUT_S=10\n")
    found = load_settings({"TWELVEFOLD_TIMEOUT_S": "11", "HOME": str(tmp_path)}, tmp_path)
    assert (found.lease_s, found.port, found.timeout_s) == (20.0, 8000, 11.0)
    kinds = [found.origins[name].kind for name in ("lease_s", "port", "timeout_s", "attempts_max")]
    assert kinds == ["project file", "env file", "environment", "default"]
    project(tmp_path, "[settings]\nTWELVEFOLD_LEASE_S = 'x'\n")
    with pytest.raises(SettingInvalid) as told:
        load_settings({"HOME": str(tmp_path)}, tmp_path)
    assert "project file" in told.value.message() and "twelvefold.toml" in told.value.help()


def test_a_programs_own_settings(tmp_path: Path) -> None:
    """`ConfigManager` has the same order, says where each value is from, and reads anew when asked to."""
    project(tmp_path, GOOD, "GREETING=from env\nEMPTY=\n")
    environ = {"LOUD": "no"}
    config = ConfigManager(tmp_path / ".env", environ)
    assert [config.get(key) for key in ("GREETING", "LOUD", "TWELVEFOLD_LEASE_S", "EMPTY", "NONE")] == [
        "from env", "no", "20", "", None,
    ]  # fmt: skip
    assert config.get("NONE", "default") == "default" and config.origin("NONE") is None
    origins = [str(config.origin(key)).split()[:2] for key in ("GREETING", "LOUD", "TWELVEFOLD_LEASE_S")]
    assert origins == [["env", "file"], ["environment", "LOUD"], ["project", "file"]]
    config.set("LOUD", "very")
    assert config.get("LOUD") == "very" and str(config.origin("LOUD")).endswith("set()")
    (tmp_path / ".env").unlink()
    project(tmp_path, "[settings]\nGREETING = 'new'\n")
    assert config.get("GREETING") == "from env"
    config.reload()
    assert (config.get("GREETING"), config.get("LOUD"), config.get("EMPTY")) == ("new", "no", None)
    project(tmp_path, "[settings")
    with pytest.raises(ProjectFileInvalid):
        config.reload()
    assert config.get("GREETING") == "new"


def test_up_serves_what_the_project_file_starts(tmp_path: Path) -> None:
    """`up` adds the line for schedules and folders, unless the Procfile has one; children get the file's settings."""
    (tmp_path / "Procfile").write_text("web: sleep 1\n")
    environ = {"HOME": str(tmp_path), "LOUD": "no"}
    settings = load_settings(environ, tmp_path)
    plain = up_plan(settings, read_procfile(tmp_path / "Procfile"), environ=environ)
    assert [line.name for line in plain.lines] == ["web", "projector"]
    project(tmp_path, GOOD)
    plan = up_plan(settings, read_procfile(tmp_path / "Procfile"), environ=environ)
    assert [(line.name, line.command) for line in plan.lines][1:2] == [("triggers", "twelvefold watch")]
    assert (plan.environ["GREETING"], plan.environ["LOUD"]) == ("hello", "no")
    (tmp_path / "Procfile").write_text("mine: twelvefold watch\n")
    own = up_plan(settings, read_procfile(tmp_path / "Procfile"), environ=environ)
    assert [line.name for line in own.lines] == ["mine", "projector"]
