"""A task for a hierarchy in which nothing could be checked, on real agents: its author is asked, and it goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import twelvefold as tf

from ..conftest import eventually
from .conftest import JobHome
from .test_orchestration_facades import AGENTS, enter

pytestmark = pytest.mark.e2e


def test_a_vague_task_rests_until_somebody_says_what_shall_be_checked(own_home: JobHome, tmp_path: Path) -> None:
    """No worker is given it; the question is in the result, and the answer joins the task that is then done."""
    (tmp_path / "facades_agents.py").write_text(AGENTS)
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, own_home, tmp_path)
        orchestrator = tf.HierarchicalOrchestrator(
            worker="facades_agents:WorkerAgent", max_agents_per_level={"tertiary": 1}
        )
        asked = asyncio.run(orchestrator.orchestrate_complex_task("make it better", "vague one", wait_s=120))
        assert (asked.success, asked.outcome, asked.reason, asked.subtasks) == (False, "needs_human", "vague", ())
        (question,) = asked.questions
        assert "what shall be checked" in question["question"]
        with tf.connect_sync() as bus:
            bus.answer(asked.run, "the page loads in time")
        eventually(lambda: orchestrator.get_orchestration_status("vague one")["status"] == "ended", 60)
        found = asyncio.run(orchestrator.orchestrate_complex_task("make it better", "vague one", wait_s=120))
        assert (found.outcome, found.run, found.questions) == ("succeeded", asked.run, ())
        assert [one.value["did"] for one in found.subtasks] == ["make it better\n\nthe page loads in time"]
        assert found.value["subtasks"][0]["checks"] == ["the page loads in time"]
