"""Settings: where the home lies, which value of a setting holds, and where each came from."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from twelvefold.config_manager import ConfigManager
from twelvefold.errors import EnvFileInvalid, HomeUnusable, SettingInvalid
from twelvefold.home import make_home
from twelvefold.orchestration.home_lock import Holder, HomeLock
from twelvefold.settings import SETTINGS, Settings, load_settings

from .conftest import CommandLine


def settings(cwd: Path, **environ: str) -> Settings:
    return load_settings({"HOME": "/nowhere", "XDG_STATE_HOME": "/state", **environ}, cwd)


def test_home_is_the_nearest_twelvefold_folder_upwards(tmp_path: Path) -> None:
    """`.twelvefold/` of the nearest folder above wins over one further up."""
    (tmp_path / ".twelvefold").mkdir()
    near = tmp_path / "a"
    (near / ".twelvefold").mkdir(parents=True)
    deep = near / "b" / "c"
    deep.mkdir(parents=True)
    assert settings(deep).home == near / ".twelvefold"
    assert settings(tmp_path).home == tmp_path / ".twelvefold"


def test_sister_repositories_share_a_home(tmp_path: Path) -> None:
    """Without a `.twelvefold/`, repositories side by side and the folder around them have one home, a state folder."""
    for name in ("one", "two"):
        (tmp_path / name / ".git").mkdir(parents=True)
    (tmp_path / "one" / "deep").mkdir()
    homes = {settings(tmp_path / place).home for place in ("one", "two", "one/deep", ".")}
    assert len(homes) == 1
    (home,) = homes
    assert home.parent == Path("/state/twelvefold")


def test_repositories_in_other_folders_have_other_homes(tmp_path: Path) -> None:
    """Two groups of sisters don't meet in one log."""
    for name in ("x/one", "y/one"):
        (tmp_path / name / ".git").mkdir(parents=True)
    assert settings(tmp_path / "x/one").home != settings(tmp_path / "y/one").home


def test_a_relative_state_folder_is_ignored(tmp_path: Path) -> None:
    """As the XDG rules demand, a relative XDG_STATE_HOME counts as none."""
    home = load_settings({"HOME": "/users/me", "XDG_STATE_HOME": "state"}, tmp_path).home
    assert home.parent == Path("/users/me/.local/state/twelvefold")


def test_variable_overrides_the_home(tmp_path: Path) -> None:
    """TWELVEFOLD_HOME wins over a `.twelvefold/`, relative to where the command was given."""
    (tmp_path / ".twelvefold").mkdir()
    found = settings(tmp_path, TWELVEFOLD_HOME="elsewhere/home")
    assert found.home == tmp_path / "elsewhere/home"
    assert str(found.origins["home"]) == "environment TWELVEFOLD_HOME"


def test_finding_a_home_makes_nothing(tmp_path: Path) -> None:
    """Looking up settings leaves no file behind."""
    load_settings({"HOME": str(tmp_path)}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_home_is_made_for_its_user_alone(tmp_path: Path) -> None:
    """A home has mode 0700 whatever the umask, is ignored by git, and is tightened where it was open."""
    home = make_home(tmp_path / ".twelvefold")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert "*" in (home / ".gitignore").read_text().splitlines()
    home.chmod(0o755)
    assert stat.S_IMODE(make_home(home).stat().st_mode) == 0o700


def test_a_folder_that_was_there_stays_as_it_is(tmp_path: Path) -> None:
    """TWELVEFOLD_HOME pointed at somebody's folder neither hides its files from git nor changes its mode."""
    mine = tmp_path / "project"
    mine.mkdir(mode=0o755)
    make_home(mine)
    assert stat.S_IMODE(mine.stat().st_mode) == 0o755
    assert not (mine / ".gitignore").exists()


def test_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """A file in the home's place is an error that names it."""
    (tmp_path / "home").write_text("")
    with pytest.raises(HomeUnusable) as caught:
        make_home(tmp_path / "home")
    assert str(tmp_path / "home") in caught.value.message()


def test_precedence(tmp_path: Path) -> None:
    """Command line wins over environment, that over `.env`, that over the default; each says where it is from."""
    (tmp_path / ".env").write_text("TWELVEFOLD_PORT=1\nTWELVEFOLD_LEASE_S=2.5\nTWELVEFOLD_ATTEMPTS_MAX=9\n")
    found = load_settings(
        {"HOME": "/nowhere", "TWELVEFOLD_LEASE_S": "3", "TWELVEFOLD_ATTEMPTS_MAX": "8"},
        tmp_path,
        {"attempts_max": ("--attempts", "7")},
    )
    assert (found.port, found.lease_s, found.attempts_max, found.durability) == (1, 3.0, 7, "full")
    kinds = [found.origins[name].kind for name in ("port", "lease_s", "attempts_max", "durability")]
    assert kinds == ["env file", "environment", "command line", "default"]


def test_env_file_of_the_project_counts_below_it(tmp_path: Path) -> None:
    """The `.env` file beside `.twelvefold/` holds in the folders below, and its paths count from where it lies."""
    (tmp_path / ".twelvefold").mkdir()
    (tmp_path / ".env").write_text("TWELVEFOLD_RUNTIME_DIR=run\n")
    (tmp_path / "deep").mkdir()
    assert settings(tmp_path / "deep").runtime_dir == tmp_path / "run"


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    """`TWELVEFOLD_PORT=` is how a shell unsets for one command."""
    assert settings(tmp_path, TWELVEFOLD_PORT="").port == 5000


def test_runtime_dir_follows_xdg(tmp_path: Path) -> None:
    """Sockets lie below XDG_RUNTIME_DIR where that is a folder; else the bus chooses one in /tmp."""
    assert settings(tmp_path, XDG_RUNTIME_DIR=str(tmp_path)).runtime_dir == tmp_path / "twelvefold"
    assert settings(tmp_path, XDG_RUNTIME_DIR=str(tmp_path / "gone")).runtime_dir is None


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("TWELVEFOLD_DURABILITY", "fast"),
        ("TWELVEFOLD_LEASE_S", "0"),
        ("TWELVEFOLD_LEASE_S", "nan"),
        ("TWELVEFOLD_STOP_TIMEOUT_S", "-1"),
        ("TWELVEFOLD_PORT", "65536"),
        ("TWELVEFOLD_ATTEMPTS_MAX", "1.5"),
    ],
)
def test_bad_values_are_refused(tmp_path: Path, variable: str, text: str) -> None:
    """A value that a setting cannot have is an error that names variable, value and how to take it away."""
    with pytest.raises(SettingInvalid) as caught:
        settings(tmp_path, **{variable: text})
    assert variable in caught.value.message()
    assert repr(text) in caught.value.message()
    assert caught.value.help() == f"unset {variable}"


def test_each_setting_has_a_field_and_its_default_is_valid() -> None:
    """The table of settings and the object they end up in cannot drift apart."""
    fields = set(Settings.__struct_fields__) - {"project", "env_file", "origins"}
    assert {setting.field for setting in SETTINGS} == fields
    # This one has the name by which GitHub's own programs know it.
    named = {"github_api_url": "GITHUB_API_URL"}
    expected = [named.get(setting.field, f"TWELVEFOLD_{setting.field.upper()}") for setting in SETTINGS]
    assert [setting.variable for setting in SETTINGS] == expected


def test_bad_line_of_env_file_is_shown_without_secrets(tmp_path: Path) -> None:
    """A line that isn't NAME=value is named by file and line; what follows a `=` isn't shown."""
    (tmp_path / ".env").write_text("A=1\n\nAPI KEY = sk-123\n")
    with pytest.raises(EnvFileInvalid) as caught:
        settings(tmp_path)
    assert f"{tmp_path}/.env:3:1" in caught.value.message()
    assert "API KEY" in caught.value.message()
    assert "sk-123" not in caught.value.message()


def test_config_manager_puts_the_environment_first(tmp_path: Path) -> None:
    """`get` takes what was set, then the environment, then the file, then the default; `origin` tells which."""
    path = tmp_path / "my.env"
    path.write_text("A=file\nB='file b'\n")
    config = ConfigManager(str(path), {"A": "environment"})
    assert [config.get("A"), config.get("B"), config.get("C"), config.get("C", "d")] == [
        "environment",
        "file b",
        None,
        "d",
    ]
    config.set("A", "mine")
    assert config.get("A") == "mine"
    assert [str(config.origin(key)) for key in "AB"] == ["command line set()", f"env file {path}"]
    assert config.origin("C") is None


def test_config_manager_reloads(tmp_path: Path) -> None:
    """`reload` reads the file again and drops what was set; a file that is not there holds nothing."""
    path = tmp_path / ".env"
    config = ConfigManager(path, {})
    assert config.get("A") is None
    path.write_text("A=1\n")
    config.set("B", "2")
    config.reload()
    assert (config.get("A"), config.get("B")) == ("1", None)


def test_the_token_for_github_is_told_of_and_never_shown(twelvefold: CommandLine) -> None:
    """`config` lists which variable the token is in, masked, from the environment and from the files."""
    twelvefold("init")
    secret = "ghp_verysecret"
    told = twelvefold("config", "--json", GITHUB_TOKEN=secret, GH_HOST="ghe.example.org")
    (row,) = [row for row in told.json if row["name"] == "GITHUB_TOKEN"]
    assert (row["value"], row["origin"]) == ("********", "environment") and secret not in told.out
    (twelvefold.cwd / ".env").write_text(f"GH_TOKEN={secret}\n")
    (twelvefold.cwd / "twelvefold.toml").write_text("[settings]\nGITHUB_API_URL = 'https://ghe.example.org/api/v3'\n")
    told = twelvefold("config", "--json")
    rows = {row["name"]: (row["value"], row["origin"]) for row in told.json}
    assert rows["GH_TOKEN"] == ("********", "env file")
    assert rows["GITHUB_API_URL"] == ("https://ghe.example.org/api/v3", "project file")


def test_what_is_up_is_found_from_another_environment(tmp_path: Path) -> None:
    """A shell without XDG_RUNTIME_DIR, such as cron's, looks for sockets where those of the running `up` lie."""
    (tmp_path / ".twelvefold").mkdir()
    lock = HomeLock.acquire(tmp_path / ".twelvefold", Holder(4711, "a", runtime_dir=str(tmp_path / "run")))
    try:
        found = settings(tmp_path)
        assert found.runtime_dir == tmp_path / "run"
        assert "4711" in found.origins["runtime_dir"].name
        assert settings(tmp_path, TWELVEFOLD_RUNTIME_DIR=str(tmp_path / "mine")).runtime_dir == tmp_path / "mine"
    finally:
        lock.release()
    assert settings(tmp_path, XDG_RUNTIME_DIR=str(tmp_path)).runtime_dir == tmp_path / "twelvefold"
