"""The public face, `import twelvefold as tf`: which names there are, what they cost, and how type checkers see them."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import twelvefold as tf

#: Promised to users. A name leaves this list only with a new major version.
PUBLIC = [
    "AgentSettings",
    "AgentTelemetry",
    "Answer",
    "Assessment",
    "BackgroundExecutor",
    "BaseAgent",
    "CommandRules",
    "Complexity",
    "ConfigManager",
    "Connection",
    "Critique",
    "CrossRepoContextManager",
    "Decomposition",
    "Delivery",
    "DuplicateConflict",
    "Engine",
    "Event",
    "Evidence",
    "ExternalIssueProcessor",
    "FixResult",
    "FixTask",
    "ForkJoin",
    "Graph",
    "HealthChecker",
    "HealthLimits",
    "HealthStatus",
    "HierarchicalOrchestrator",
    "IntelligentIssueAgent",
    "IssueFixerAgent",
    "LocalEventSystem",
    "MapReduce",
    "Message",
    "MetricsCollector",
    "Model",
    "ModelLoop",
    "MultiStagePipeline",
    "NewEvent",
    "OrchestrationPattern",
    "OrchestrationResult",
    "PRReviewAgent",
    "PatternExecutor",
    "PatternResult",
    "Pipeline",
    "PipelineResult",
    "PipelineStage",
    "PipelineTelemetry",
    "PrimaryAgent",
    "Projection",
    "Prompt",
    "PublisherAgent",
    "Race",
    "Recommendation",
    "Reply",
    "ResearchAgent",
    "ResourceContext",
    "ResourceManager",
    "Retry",
    "RunResult",
    "Saga",
    "ScatterGather",
    "ScriptedModel",
    "SecondaryAgent",
    "Settings",
    "SliceResult",
    "SmartIssueAgent",
    "StageExit",
    "StageResult",
    "Subtask",
    "SubtaskResult",
    "SyncConnection",
    "SystemHealthStatus",
    "Task",
    "TaskContext",
    "TaskResult",
    "TaskSlice",
    "TestingAgent",
    "Tool",
    "ToolCall",
    "ToolResponse",
    "ToolSpec",
    "Trial",
    "TwelvefoldError",
    "Usage",
    "VersionConflict",
    "__version__",
    "analyze_complexity",
    "ask_model",
    "connect",
    "connect_sync",
    "decompose",
    "load_prompt",
    "load_settings",
    "model_from",
    "register_orchestration_pattern",
    "run_task",
    "tool",
    "workspace_tools",
]
SOURCE = Path(tf.__file__)


def test_the_face_is_pinned() -> None:
    """`__all__` is exactly what is promised."""
    assert sorted(tf.__all__) == sorted(PUBLIC)
    assert set(PUBLIC) <= set(dir(tf))


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "__version__"])
def test_each_name_is_there_and_documented(name: str) -> None:
    """Each public name can be imported, belongs to us, and says what it is for."""
    value = getattr(tf, name)
    assert value.__module__.startswith("twelvefold.")
    assert len(inspect.getdoc(value) or "") > 20


def test_unknown_names_are_attribute_errors() -> None:
    """What isn't there raises as in any module, so that `hasattr` and star imports work."""
    assert not hasattr(tf, "NothingLikeThat")
    names: dict[str, object] = {}
    exec("from twelvefold import *", names)
    assert set(PUBLIC) - {"__version__"} <= set(names)


def test_importing_costs_nothing() -> None:
    """`import twelvefold` loads none of our packages and no library; a name loads what it needs."""
    program = (
        "import sys; before = set(sys.modules); import twelvefold;"
        "print(sorted(name for name in set(sys.modules) - before if '.' not in name and name != '__future__'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(ast.literal_eval(done.stdout)) <= {"twelvefold"}


def test_type_checkers_see_what_is_loaded_late() -> None:
    """Each lazily loaded name is imported for type checkers from the very module that it is loaded from."""
    tree = ast.parse(SOURCE.read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.asname for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == set(PUBLIC) - {"__version__"}
    assert (SOURCE.parent / "py.typed").exists()


@pytest.mark.long
def test_a_program_of_a_user_passes_strict_typing(tmp_path: Path) -> None:
    """The example of the documentation, with types, passes mypy --strict."""
    program = tmp_path / "program.py"
    program.write_text(
        '''
import asyncio

import twelvefold as tf


class Echo(tf.BaseAgent):
    """Answers with what it was asked."""

    def register_tools(self) -> list[tf.Tool]:
        return []

    async def execute_task(self, task: str, context: tf.TaskContext) -> tf.ToolResponse:
        return tf.ToolResponse(success=True, data=task, evidence=[tf.Evidence("value", task)])


async def main() -> None:
    async with tf.connect() as bus:
        event = await bus.emit("demo.happened", {"n": 1}, stream="demo.1", expected_version={"demo.1": 0})
        await bus.emit_many([tf.NewEvent("demo.happened", {"n": n}, stream="demo.1") for n in range(1000)])
        async for event in bus.read(after=0, stream="demo.1"):
            print(event.position, event.data)
        run = await bus.submit(tf.Pipeline([tf.Task("echo", "a"), tf.Task("echo", "b")]))
        result: tf.RunResult = await bus.wait(run)
        print(result.outcome, result.value, result.tasks)


def blocking() -> None:
    with tf.connect_sync() as bus:
        bus.emit("demo.happened", {"n": 1})
        print(bus.wait(bus.submit(tf.Task("echo", "a"))).outcome)


asyncio.run(main())
'''
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(SOURCE.parents[1] / ".mypy_cache"), str(program)],
        capture_output=True,
        text=True,
        cwd=SOURCE.parents[1],
    )
    assert done.returncode == 0, done.stdout + done.stderr
