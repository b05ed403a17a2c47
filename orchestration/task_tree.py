"""The tree of a run's tasks, as people look at it: the plan's nodes, what tasks answered with, and how each stands.

Reads the run's state and its plan, and decides nothing. Parts that a plan runs many times (items, rounds) appear once
they have been requested. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from .map_reduce import MapReduce
from .pipeline import Pipeline
from .plan import PatternFields, Task, pattern_of
from .run_state import Run, TaskState, is_waiting, tree_order

#: How tasks stand that have not ended.
OPEN_STATES = ("waiting", "requested", "backoff", "ready", "stopping", "needs_human")

#: Patterns whose steps follow one another: where one has failed they have.
_IN_ORDER = ("pipeline", "saga")
#: Why a part was taken back that others had made needless.
NOT_NEEDED = "not_needed"

#: What the numbers below a map stand for.
_OF_A_MAP = {"1": "items", "2": "reducers", "3": "second tasks"}


class TreeNode(msgspec.Struct):
    """One node. `pattern` is its plan's word, "undo" for a compensation, "" for a number that only groups: `name` says
    what.

    `state` of a task is one of OPEN_STATES or its outcome; a pattern's is `waiting`, `open`, `needs_human`, `ended`, or
    `failed` where a failed step says so in a run that has ended (the root's is the run's outcome). `attempts` counts
    requests.
    """

    path: str
    pattern: str
    state: str
    name: str = ""
    agent: str = ""
    attempts: int = 0
    reason: str = ""
    message: str = ""
    undone: bool = False
    children: list[TreeNode] = []


def task_tree(run: Run) -> TreeNode:
    """Return the tree of a run; one without a plan that can be read is a single node."""
    if run.plan is None and not run.tasks:
        return TreeNode("0", "", run.outcome or "waiting")
    # Of a run that was forgotten the plan is gone, but not which tasks there were.
    root = _Trie(run).node(run.plan, "0") if run.plan is not None else _Trie(run).group("0", "run")
    if run.status == "ended":
        for node in reversed([*walk(root)]):
            _end(node)
        if root.pattern != "task" or root.children:
            root.state = run.outcome
    return root


def _end(node: TreeNode) -> None:
    """Say how a node has ended with its run, once all below it are said; of other patterns only their decider knows."""
    if node.state not in ("open", "ended"):
        return
    # What was not begun yet will not be any more.
    node.state = "ended"
    parts = [child for child in node.children if child.pattern not in ("", "undo")]
    stands_as_its_parts = node.pattern in _IN_ORDER or (node.agent and len(parts) == 1)
    if stands_as_its_parts and any(one.state == "failed" and one.reason != NOT_NEEDED for one in parts):
        node.state = "failed"


def state_of(task: TaskState) -> str:
    """Return how a task stands, in one word."""
    if is_waiting(task):
        return "needs_human"
    if task.phase in ("requested", "backoff", "ready"):
        return task.phase
    if task.phase in ("expired", "stopping"):
        return "stopping"
    return task.report.outcome if task.report is not None else "open"


def walk(node: TreeNode) -> Iterator[TreeNode]:
    """Yield a node and all below it, in the order of the tree."""
    yield node
    for child in node.children:
        yield from walk(child)


def counts(node: TreeNode) -> Counter[str]:
    """Count the tasks at and below a node by how they stand."""
    return Counter(one.state for one in walk(node) if one.agent)


class _Trie:
    """The run's task paths by what follows each path, so that nodes are found that no plan names beforehand."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._below: dict[str, set[str]] = {}
        for path in run.tasks:
            while "." in path:
                above, _, number = path.rpartition(".")
                known = self._below.setdefault(above, set())
                if number in known:
                    break
                known.add(number)
                path = above

    def node(self, plan: PatternFields, path: str) -> TreeNode:
        """Return the tree of a plan at a path."""
        if isinstance(plan, Task):
            return self._task(path, plan)
        node = TreeNode(path, pattern_of(plan), "waiting", name=plan.name)
        self._fill(node, plan)
        node.state = _together(node.children)
        return node

    def _task(self, path: str, plan: Task | None) -> TreeNode:
        task = self._run.tasks.get(path)
        pattern = "undo" if path.endswith(".undo") else "task"
        if task is None:
            return TreeNode(path, pattern, "waiting", name=plan.name if plan else "", agent=plan.agent if plan else "")
        report = task.report
        node = TreeNode(
            path,
            pattern,
            state_of(task),
            plan.name if plan else "",
            task.agent or (plan.agent if plan else ""),
            task.attempt,
            report.reason if report else task.reason,
            _words(task),
            path in self._run.undone,
        )
        if task.plan is None or (task.phase != "planned" and path not in self._below):
            # A plan that was refused is no part of the run.
            self._fill(node, None)
            node.state = _together(node.children) if task.phase == "planned" else node.state
        elif isinstance(task.plan, Task):
            node.children = [self._task(f"{path}.0", task.plan)]
        else:
            below = self.node(task.plan, path)
            node.children, node.state = [below], below.state if task.phase == "planned" else node.state
        return node

    def _fill(self, node: TreeNode, plan: PatternFields | None) -> None:
        """Add what is below a node: the plan's own parts, then what has been requested beside them."""
        named = {part.number: part.plan for part in plan.parts() if part.number} if plan is not None else {}
        children = [self.node(part, f"{node.path}.{number}") for number, part in named.items()]
        covered = {number.partition(".")[0] for number in named}
        for number in self._below.get(node.path, set()) - covered:
            children.append(self.group(f"{node.path}.{number}", _group_name(plan, node.name, number)))
        node.children = sorted(children, key=lambda child: tree_order(child.path))

    def group(self, path: str, name: str) -> TreeNode:
        """Return the tree at a path that no plan names: a task's, or that of a number above tasks."""
        if path in self._run.tasks:
            return self._task(path, None)
        node = TreeNode(path, "", "waiting", name)
        self._fill(node, None)
        node.state = _together(node.children)
        return node


def _group_name(plan: PatternFields | None, above: str, number: str) -> str:
    """Say what a number stands for that only groups, below a plan or below another such number."""
    if isinstance(plan, MapReduce):
        return _OF_A_MAP.get(number, f"part {number}")
    if above in ("items", "second tasks") or (isinstance(plan, Pipeline) and plan.items is not None):
        return f"item {number}"
    return f"level {number}" if above == "reducers" else f"part {number}"


def _together(nodes: list[TreeNode]) -> str:
    """Say how nodes stand together."""
    undos = (child for node in nodes for child in node.children if child.pattern == "undo")
    states = {node.state for node in (*nodes, *undos)}
    if "needs_human" in states:
        return "needs_human"
    if states <= {"waiting"}:
        return "waiting"
    return "open" if states & {"open", "waiting", *OPEN_STATES} else "ended"


def _words(task: TaskState) -> str:
    """Say in words what became of a task, or what a human is asked for it."""
    if task.asking is not None and is_waiting(task):
        return _text(task.asking.question)
    report = task.report
    return "" if report is None else report.message or _text(report.error)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("message", "")
    return value if isinstance(value, str) else ""
