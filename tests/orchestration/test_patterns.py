"""Patterns that other distributions offer: found by their entry points, and of no harm when they are broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PATTERN = """
from twelvefold.orchestration.plan import register_pattern
from twelvefold.orchestration.steps import Stepping, advance_steps
from twelvefold.orchestration.turn import register_decider
from twelvefold.orchestration.undoing import undo_parts

@register_pattern
class Relay(Stepping, frozen=True, tag_field="pattern", tag="relay"):
    "Steps one after the other."

register_decider(Relay, 7, lambda plan, at, turn: advance_steps(plan, at, turn, hand_on=True)[0], undo_parts)
"""
SCRIPT = """
import json
from twelvefold.orchestration.decider import decide, decider_versions
from twelvefold.orchestration.errors import PlanInvalid
from twelvefold.orchestration.patterns import load
from twelvefold.orchestration.plan import plan_from
from twelvefold.orchestration.run_state import Fact, Run

plan = {"pattern": "relay", "steps": [{"agent": "a"}]}
decision = decide(Run("0" * 32), Fact("run.requested", {"plan": plan}, "", b"1", 1, 1))
try:
    plan_from({"pattern": "broken"})
except PlanInvalid as error:
    problem = error.problem
print(json.dumps([[event.type for event in decision.events], decider_versions()["relay"], sorted(load()), problem]))
"""


def test_a_pattern_of_another_distribution_runs_and_a_broken_one_stays_unknown(tmp_path: Path) -> None:
    """A plan may use a word that an installed distribution offers; what can't be imported spoils nothing else."""
    (tmp_path / "relay.py").write_text(PATTERN)
    info = tmp_path / "relay-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: relay\nVersion: 1.0\n")
    points = "[twelvefold.patterns]\nrelay = relay:Relay\nbroken = nowhere:Broken\nother = relay:Relay\n"
    (info / "entry_points.txt").write_text(points)
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert ran.returncode == 0, ran.stderr
    import json

    types, version, problems, problem = json.loads(ran.stdout)
    assert types == ["run.started", "task.requested"]
    assert version == 7
    assert problems == ["broken", "other"]
    assert "'broken'" in problem
    assert "nowhere" in problem
