"""The process that runs handlers again, and the code that it has there: each agent's own, and none before the seal."""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path

import pytest

from twelvefold.agents.loading import load_agent
from twelvefold.agents.replay.kept import KeptRun
from twelvefold.agents.replay.record import TaskRecord, task_records
from twelvefold.agents.replay.replayer import Replayer
from twelvefold.agents.trial import Trial

AGENT = """
import twelvefold as tf
{imports}

class Saying(tf.BaseAgent):
    def execute_task(self, task, context):
        {lazily}
        return tf.ToolResponse.succeeded({value})
"""


def recorded(folder: Path, value: str, lazily: str = "pass", imports: str = "") -> TaskRecord:
    """Write an agent into a module `mine` that answers with a value, and return the record of a task that it did."""
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(AGENT.format(value=value, lazily=lazily, imports=imports))
    trial = Trial(folder / "home")
    before, path = set(sys.modules), [*sys.path]
    try:
        agent = load_agent("mine:Saying", folder)
        trial.deliver(agent, trial.request(agent, "x"))
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
                del sys.modules[name]
    (record,) = task_records(trial.events())
    return record


def test_modules_of_the_same_name_in_two_folders_are_each_agents_own(tmp_path: Path) -> None:
    """What an agent imports, at once or when it is at work, lies in its own folder, in whatever order they run."""
    records = {}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for module in ("common", "later"):
            (tmp_path / name / f"{module}.py").write_text(f"WORD = {name!r}\n")
        words = "[common.WORD, WORD]"
        records[name] = recorded(tmp_path / name, words, "from later import WORD", "import common")
    with Replayer(os.environ) as replayer:
        for name in ("one", "two", "one", "two"):
            kept = KeptRun(tmp_path, tmp_path, {})
            found = replayer.rerun(records[name], "mine:Saying", tmp_path / name, kept)
            assert (found.status, found.found) == ("ok", None), found


def test_what_is_installed_in_a_project_is_imported_once(tmp_path: Path) -> None:
    """A package in a project's own environment need not bear to be imported twice, as many can't."""
    installed = tmp_path / "one" / "venv" / "site-packages"
    installed.mkdir(parents=True)
    (installed / "single.py").write_text(
        "import twelvefold\nassert not hasattr(twelvefold, 'once')\ntwelvefold.once = VALUE = 1\n"
    )
    at_once = f"import sys; sys.path.append({str(installed)!r}); import single"
    record = recorded(tmp_path / "one", "single.VALUE", imports=at_once)
    del sys.modules["twelvefold"].once  # type: ignore[attr-defined]
    (tmp_path / "one" / "other.py").write_text((tmp_path / "one" / "mine.py").read_text())
    with Replayer(os.environ) as replayer:
        for target in ("mine:Saying", "other:Saying"):
            found = replayer.rerun(record, target, tmp_path / "one", KeptRun(tmp_path, tmp_path, {}))
            assert (found.status, found.problem) == ("ok", "")


@pytest.mark.parametrize("name", ["sitecustomize", "usercustomize"])
def test_nothing_of_the_environment_is_run_before_the_seal(tmp_path: Path, name: str) -> None:
    """What Python imports by itself from PYTHONPATH can write nothing either, and is there when agents are imported."""
    places = tmp_path / "places"
    places.mkdir()
    (places / f"{name}.py").write_text(
        "import os, pathlib, sys\nsys.seen = 'by itself'\n"
        f"pathlib.Path({str(tmp_path / 'written')!r}).write_text(str(os.getpid()))\n"
    )
    (places / "library.py").write_text("import os, sys\nSEEN = (getattr(sys, 'seen', ''), os.environ['PYTHONPATH'])\n")
    seen = "by itself" if name == "sitecustomize" or site.ENABLE_USER_SITE else ""
    value = f"({seen!r}, {str(places)!r})"
    record = recorded(tmp_path / "mine", value)
    (tmp_path / "mine" / "mine.py").write_text(
        AGENT.format(value="library.SEEN", lazily="pass", imports="import library")
    )
    with Replayer({**os.environ, "PYTHONPATH": str(places)}) as replayer:
        found = replayer.rerun(record, "mine:Saying", tmp_path / "mine", KeptRun(tmp_path, tmp_path, {}))
    assert not (tmp_path / "written").exists()
    assert (found.status, found.found, found.problem) == ("ok", None, "")
