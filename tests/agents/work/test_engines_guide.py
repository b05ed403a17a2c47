"""The guide to engines: its blocks are run, and its tables are true."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from twelvefold.agents.engines import engine, finish
from twelvefold.agents.engines.command import MEMORY_BYTES_MAX, TRANSCRIPT_BYTES_MAX
from twelvefold.agents.engines.engine import FixResult, engine_named, engine_names
from twelvefold.settings import read_env_file

from .conftest import Job, UserRepo

GUIDE = Path(__file__).parents[3] / "docs" / "engines.md"


def blocks() -> dict[str, str]:
    found = re.findall(r"^```(\w+) (\S+)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return {name: text for _, name, text in found}


def test_every_block_is_run() -> None:
    """No block of the guide escapes the tests below."""
    assert len(re.findall(r"^```\w", GUIDE.read_text(), re.MULTILINE)) == len(blocks())
    assert set(blocks()) == {".env", "my_engines.py", "pyproject.toml"}


def test_the_settings_are_such(tmp_path: Path) -> None:
    """The `.env` of the guide is read as the settings that it names."""
    from twelvefold.agents.agent_settings import agent_settings

    (tmp_path / ".env").write_text(blocks()[".env"])
    found = agent_settings(read_env_file(tmp_path / ".env"))
    assert found.fixer_command == "claude -p --permission-mode acceptEdits"
    assert (found.fixer_env, found.fixer_timeout_s) == (("ANTHROPIC_API_KEY",), 900.0)


def test_the_bounds_are_those() -> None:
    """The numbers of the guide are those of the code."""
    text = GUIDE.read_text()
    for number, unit in (
        (MEMORY_BYTES_MAX >> 30, "GiB of memory"),
        (finish.GROWTH_BYTES_MAX >> 20, "MiB of new files"),
        (TRANSCRIPT_BYTES_MAX >> 20, "MiB of output"),
        (finish.FILE_BYTES_MAX >> 20, "MiB, more than"),
        (finish.FILES_MAX, "changes"),
    ):
        assert f"{number} {unit}" in text


def test_an_engine_of_ones_own(user: UserRepo, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine of the guide, offered as it says, is found by name and by `auto`, and its commit is the evidence."""
    points = tomllib.loads(blocks()["pyproject.toml"])["project"]["entry-points"]
    site = tmp_path / "site"
    info = site / "mine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in named.items()) for group, named in points.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    (site / "my_engines.py").write_text(blocks()["my_engines.py"])
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "my_engines", raising=False)
    assert engine_names() == ["patch", "model", "command", "licences"]
    assert engine_named("licences").name == "licences"
    user.commit({"LICENSE": "Copyright YEAR me\n"})
    for wanted in ("licences", "auto"):
        outcome = job.fix("# The licence lacks its year\n\nPlease mend.\n", engine=wanted)
        assert (outcome.outcome, outcome.value["engine"]) == ("succeeded", "licences"), outcome
        assert outcome.value["files_changed"] == ["LICENSE"]
        assert b"YEAR" not in job.text(outcome.value["commit"], "LICENSE")
    other = job.fix("# Something else\n\nPlease mend.\n", engine="licences")
    assert (other.outcome, other.reason) == ("needs_human", "not_mine")


def test_an_engine_of_this_process(user: UserRepo, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that a program registers is found by its name, in place of one that is built in, too."""
    monkeypatch.setattr(engine, "_registered", {})
    user.commit({"a.txt": "x\n"})

    class Own:
        name = "patch"

        def fix(self, *_: object) -> FixResult:
            return FixResult(outcome="needs_human", reason="mine", message="ask me")

    engine.register_engine("patch", Own)
    assert job.fix("# T\n\nPlease mend.\n").reason == "mine"


@pytest.mark.parametrize("source", ["raise RuntimeError('broken')", "Licences = 3", "class Licences: pass"])
def test_a_broken_engine_is_named(
    user: UserRepo, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """An engine that can't be used makes the task that asks for it fail with its name, and no success."""
    info = tmp_path / "site" / "bad-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{engine.GROUP}]\nbad = bad_engines:Licences\n")
    (tmp_path / "site" / "bad_engines.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "bad_engines", raising=False)
    user.commit({"a.txt": "x\n"})
    outcome = job.fix("# T\n\nPlease mend.\n", engine="bad")
    assert (outcome.outcome, outcome.reason) == ("failed", "engine_not_loadable"), outcome
    outcome = job.fix("# T\n\nPlease mend.\n", engine="auto")
    assert (outcome.outcome, outcome.value["tried"][-1]["reason"]) == ("needs_human", "engine_not_loadable")
