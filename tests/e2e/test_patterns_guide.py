"""The guide to patterns, hierarchies and stages: every block of it is run, on agents of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import JobHome

pytestmark = pytest.mark.e2e

DOCS = Path(__file__).parents[2] / "docs"


def blocks(document: str) -> dict[str, str]:
    """Return a document's Python blocks by the name that stands beside the language."""
    text = (DOCS / document).read_text()
    return dict(re.findall(r"^```python (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def project(shared_home: JobHome) -> Iterator[Path]:
    """A project with the guide's blocks, and an `up` with its one agent."""
    folder = shared_home.folder / "guide"
    folder.mkdir()
    for name, text in {**blocks("patterns.md"), **blocks("plans.md")}.items():
        (folder / name).write_text(text)
    lines = "counter: twelvefold agent my_agents:Counter\nsorter: twelvefold agent coordinators:Sorter\n"
    (folder / "Procfile").write_text(lines)
    up = shared_home("up", "-d", "--wait", cwd=folder)
    assert up.status == 0, up.err
    yield folder


def printed(home: JobHome, folder: Path, name: str) -> list[str]:
    """Run a block as a user's program and return the lines that it printed."""
    done = subprocess.run(
        [sys.executable, name],
        cwd=folder,
        env=home.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_every_block_has_a_name_by_which_it_is_run() -> None:
    """No Python of the guide escapes the tests below."""
    text = (DOCS / "patterns.md").read_text()
    assert len(re.findall(r"^```\w", text, re.MULTILINE)) == len(blocks("patterns.md"))
    assert set(blocks("patterns.md")) == {"my_agents.py", "slices.py", "hierarchy.py", "stages.py"}
    assert set(blocks("plans.md")) == {"coordinators.py"}


def test_slices_find_their_pattern(shared_home: JobHome, project: Path) -> None:
    """The recommendation with its reason, then the values, as the guide says."""
    why, result = printed(shared_home, project, "slices.py")
    assert why.startswith("MAP_REDUCE because: 3 equal slices")
    assert result == "True 11 [3, 5, 3, 11]"


def test_a_house_is_built_on_three_levels(shared_home: JobHome, project: Path) -> None:
    """Parts come in the order of the tree, each knows how many were before it, and the tree names who did what."""
    result, levels, tree = printed(shared_home, project, "hierarchy.py")
    parts = ["walls, after 0 others", "roof, after 1 others", "garden, after 0 others", "move in, after 2 others"]
    assert result == f"succeeded {parts}"
    assert "'ended': 4, 'limit': 4" in levels
    assert tree == "primary ['secondary', 'secondary', 'secondary', 'primary']"


def test_items_go_through_stages(shared_home: JobHome, project: Path) -> None:
    """Two items are judged, the empty one leaves early and is never counted."""
    values, calls = printed(shared_home, project, "stages.py")
    assert values == "[('short', None), ('long', None), ('', 'clean')]"
    assert calls == "2"


def test_the_documented_coordinator_sorts(shared_home: JobHome, project: Path) -> None:
    """The agent of docs/plans.md that answers with a plan does so on the bus."""
    program = (
        "import twelvefold as tf\n"
        "with tf.connect_sync() as bus:\n"
        "    print(bus.wait(bus.submit(tf.Task('sorter', [4, 3, 2, 1])), 60).value)\n"
    )
    (project / "sort.py").write_text(program)
    assert printed(shared_home, project, "sort.py") == ["[1, 2, 3, 4]"]
