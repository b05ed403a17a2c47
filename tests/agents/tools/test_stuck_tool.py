"""A tool that can't be ended takes its process along, once its task is settled."""

from __future__ import annotations

import pytest

from tests.agents.conftest import Crew
from twelvefold.agents.working import BROKEN

STUCK = '''

from twelvefold.agents import tool_calls
from twelvefold.agents.tool import tool

tool_calls.GRACE_S = 0.2


class Stuck(Worker):
    @tool(effect="read", timeout_s=0.2)
    def hang(self):
        """Never return."""
        while True:
            time.sleep(1)

    def execute_task(self, task, context):
        if task == "hang":
            answer = self._apply_action({"tool": "hang"})
            return ToolResponse(True, data=answer.reason)
        return ToolResponse(True, data=os.getpid())
'''


@pytest.mark.e2e
def test_a_process_with_a_stuck_tool_settles_its_task_and_ends(crew: Crew) -> None:
    """The outcome is recorded, no other task is taken by that process, and the next one is done by another."""
    with (crew.folder / "agents_at_work.py").open("a") as file:
        file.write(STUCK)
    first = crew.start("Stuck")
    stuck = crew.request("stuck", "hang")
    following = crew.request("stuck", "go on")
    outcome = crew.outcome(stuck)
    assert (outcome.type, outcome.data["value"]) == ("task.succeeded", "ToolTimedOut")
    assert first.process.wait(20) == BROKEN
    crew.buried(first)
    second = crew.start("Stuck")
    assert crew.outcome(following).data["value"] == second.process.pid
    assert "still at work" in first.log()
