"""Loading an agent by its name: fresh user code, and errors that say what is wrong with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from twelvefold.agents.errors import AgentNotLoadable, InvalidTool
from twelvefold.agents.loading import load_agent

GOOD = """
import twelvefold.agents as tf

class Good(tf.BaseAgent):
    def execute_task(self, task):
        return tf.ToolResponse(True, data=task)

class Lacking(tf.BaseAgent):
    pass

class Wanting(Good):
    def __init__(self, something):
        pass

class Unchecked(Good):
    def register_tools(self):
        from twelvefold.agents.tool import tool
        @tool
        def guess(what): ...
        return [guess]

class Named(Good):
    capabilities = "review"

class Shouting(Good):
    capabilities = ("review", "Code Review")

class Other: pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    before = (list(sys.path), set(sys.modules))
    name = f"agents_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(GOOD)
    (tmp_path / f"broken_{name}.py").write_text("import math\nmath.tau / 0\n")
    yield tmp_path
    sys.path[:] = before[0]
    for module in set(sys.modules) - before[1]:
        if name in module:
            del sys.modules[module]


def test_an_agent_is_loaded_from_the_folder_it_starts_in(folder: Path) -> None:
    """The module need not be installed: the folder is first on the import path."""
    agent = load_agent(f"agents_{folder.name.replace('-', '_')}:Good", folder)
    assert type(agent).__name__ == "Good"


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("{m}", "MODULE:CLASS"),
        ("{m}:", "MODULE:CLASS"),
        ("{m}:a.b", "MODULE:CLASS"),
        ("no_such_module_{m}:X", "ModuleNotFoundError"),
        ("broken_{m}:X", "ZeroDivisionError"),
        ("{m}:Absent", "has no Absent"),
        ("{m}:Other", "BaseAgent"),
        ("{m}:Lacking", "lacks execute_task"),
        ("{m}:Wanting", "TypeError"),
        ("{m}:Named", "'review', not a list"),
        ("{m}:Shouting", "'Code Review' is not the name of a queue"),
    ],
)
def test_what_cannot_be_loaded_says_why(folder: Path, target: str, problem: str) -> None:
    """Each way in which a name can be wrong has its own words, and a line of help."""
    with pytest.raises(AgentNotLoadable, match=problem) as caught:
        load_agent(target.format(m=f"agents_{folder.name.replace('-', '_')}"), folder)
    assert "python -c" in caught.value.help()


def test_an_agent_with_an_unusable_tool_is_refused_at_once(folder: Path) -> None:
    """A tool without types is found when the agent starts, not when a task needs it."""
    with pytest.raises(InvalidTool, match="what"):
        load_agent(f"agents_{folder.name.replace('-', '_')}:Unchecked", folder)
