"""The guide to tools: every block of it is run, and its table is what the tools say of themselves."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import twelvefold as tf
from tests.agents.tools.conftest import Desk
from tests.agents.work.conftest import UserRepo

GUIDE = Path(__file__).parents[3] / "docs" / "tools.md"
BLOCKS = {
    name: text
    for _, name, text in re.findall(r"^```(\w+) (\S+)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
}


@pytest.fixture
def module(request: pytest.FixtureRequest, tmp_path: Path) -> ModuleType:
    """A block of the guide, saved under its name and imported."""
    path = tmp_path / request.param
    path.write_text(BLOCKS[request.param])
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_every_block_is_run() -> None:
    """No block of the guide escapes the tests below."""
    assert len(re.findall(r"^```\w", GUIDE.read_text(), re.MULTILINE)) == len(BLOCKS)
    assert set(BLOCKS) == {"renaming.py", "rules.py", "own_tools.py"}


@pytest.mark.parametrize("module", ["renaming.py"], indirect=True)
def test_the_renaming_agent_renames_and_proves_it(module: ModuleType, user: UserRepo, tmp_path: Path) -> None:
    """Its commit is in the run's store; nothing to rename is said so; the repository is as it was."""
    before = user.picture()
    task = {"repo": str(user.folder), "commit": user.git("rev-parse", "HEAD"), "old": "price(", "new": "cost("}
    outcome = tf.run_task(module.Renamer(), task, trial=tf.Trial(tmp_path / "home"))
    assert outcome.outcome == "succeeded", outcome.error
    assert outcome.value["files_changed"] == ["src/shop/prices.py", "tests/test_prices.py"]
    assert next(proof.kind for proof in outcome.evidence) == "commit"
    again = tf.run_task(module.Renamer(), {**task, "old": "nowhere"}, trial=tf.Trial(tmp_path / "home"))
    assert (again.outcome, again.reason) == ("nothing_to_do", "no_change")
    assert user.picture() == before


@pytest.mark.parametrize("module", ["rules.py"], indirect=True)
def test_the_rules_of_the_guide_hold(module: ModuleType, user: UserRepo, tmp_path: Path) -> None:
    """The agent runs its command under them."""
    task = {"repo": str(user.folder), "commit": user.git("rev-parse", "HEAD")}
    assert tf.run_task(module.Checker(), task, trial=tf.Trial(tmp_path / "home")).value == "42\n"


def test_the_tools_of_one_s_own_work_as_printed(tmp_path: Path) -> None:
    """The block's own assertions hold, in a process of its own."""
    (tmp_path / "own_tools.py").write_text(BLOCKS["own_tools.py"])
    subprocess.run([sys.executable, "own_tools.py"], cwd=tmp_path, check=True, timeout=60)


def test_the_table_is_what_the_tools_say(desk: Desk) -> None:
    """Names, parameters, which of them may be left out, and effects."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \| (\w+) \|", GUIDE.read_text(), re.MULTILINE)
    told = {name: (re.findall(r"`([^`]+)`", given), effect) for name, given, effect in rows}
    real = {}
    for tool in desk.tools.values():
        schema = tool.schema()
        needed = schema.get("required", [])
        given = [name if name in needed else f"{name}?" for name in schema["properties"]]
        real[tool.name] = (given, tool.effect)
    assert told == real
