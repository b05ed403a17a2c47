"""The rules of ARCHITECTURE.md, read off the source with `ast`: layers, purity, size, docstrings."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEVELS = {"eventstore": 0, "bus": 1, "projections": 1, "orchestration": 2, "agents": 3, "twelvefold": 4}
FILE_LINES_MAX = 350
FUNCTION_LINES_MAX = 60
IMPURE = {
    "agents/issue_saga.py",
    "agents/part_notes.py",
    "agents/understanding/contradictions.py",
    "agents/understanding/intentions.py",
    "agents/understanding/kind.py",
    "agents/understanding/lacking.py",
    "agents/understanding/statements.py",
    "time",
    "datetime",
    "random",
    "secrets",
    "os",
    "socket",
    "subprocess",
    "threading",
    "asyncio",
    "zmq",
    "sqlite3",
    "orchestration/complexity.py",
    "orchestration/complexity_counts.py",
    "orchestration/complexity_facts.py",
    "orchestration/complexity_signals.py",
    "orchestration/complexity_surfaces.py",
    "orchestration/decomposition.py",
    "orchestration/extent_language.py",
    "orchestration/issue_kind.py",
    "orchestration/issue_language.py",
    "orchestration/issue_outline.py",
    "orchestration/issue_units.py",
    "orchestration/path_mentions.py",
    "orchestration/work_items.py",
    "orchestration/work_wording.py",
}
PURE = {
    "eventstore/event.py",
    "eventstore/ids.py",
    "eventstore/names.py",
    "eventstore/integrity.py",
    "eventstore/large_values.py",
    "eventstore/upcast.py",
    "bus/hint.py",
    "bus/wire.py",
    "bus/machine.py",
    "bus/membership.py",
    "orchestration/budget.py",
    "orchestration/inbox.py",
    "orchestration/run_index.py",
    "orchestration/task_tree.py",
    "orchestration/run_errors.py",
    "orchestration/plan.py",
    "orchestration/branches.py",
    "orchestration/critique.py",
    "orchestration/fork_join.py",
    "orchestration/graph.py",
    "orchestration/hierarchy.py",
    "orchestration/hierarchy_view.py",
    "orchestration/arrangement.py",
    "orchestration/node_outcomes.py",
    "orchestration/orchestration_pattern.py",
    "orchestration/pattern_result.py",
    "orchestration/recommendation.py",
    "orchestration/task_slices.py",
    "orchestration/levels.py",
    "orchestration/race.py",
    "orchestration/redecide.py",
    "orchestration/scatter_gather.py",
    "orchestration/facts.py",
    "orchestration/forked.py",
    "orchestration/fork_changes.py",
    "orchestration/run_state.py",
    "orchestration/decider.py",
    "orchestration/evolve.py",
    "orchestration/evolve_inputs.py",
    "orchestration/evolve_decisions.py",
    "orchestration/large_decisions.py",
    "orchestration/memo.py",
    "orchestration/steps.py",
    "orchestration/orchestrator.py",
    "orchestration/pipeline.py",
    "orchestration/pipeline_telemetry.py",
    "orchestration/place.py",
    "orchestration/items.py",
    "orchestration/item_work.py",
    "orchestration/joined_evidence.py",
    "orchestration/map_reduce.py",
    "orchestration/reducing.py",
    "orchestration/speculation.py",
    "orchestration/result.py",
    "orchestration/run_fold.py",
    "orchestration/rolling_back.py",
    "orchestration/winding_up.py",
    "orchestration/saga.py",
    "orchestration/task.py",
    "orchestration/turn.py",
    "orchestration/undoing.py",
    "orchestration/values.py",
    "projections/stepping.py",
    "projections/workspace_files.py",
    "projections/run_spans.py",
    "projections/span.py",
    "projections/span_facts.py",
    "projections/span_messages.py",
    "projections/span_tree.py",
    "projections/span_work.py",
    "projections/spans.py",
    "projections/traceparent.py",
    "orchestration/procfile.py",
    "orchestration/formation.py",
    "projections/agent_health.py",
    "projections/health.py",
    "projections/live_families.py",
    "projections/metric_documents.py",
    "projections/metric_facts.py",
    "projections/metric_families.py",
    "projections/metric_sums.py",
    "projections/metrics.py",
    "projections/observed.py",
}


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def sources() -> list[Path]:
    found = [path for name in LEVELS if name != "twelvefold" for path in (ROOT / name).rglob("*.py")]
    # The links in twelvefold/ lead to the packages above, which are read once.
    found += [path for path in (ROOT / "twelvefold").rglob("*.py") if path.relative_to(ROOT).parts[1] not in LEVELS]
    return sorted(found)


def imported(path: Path, tree: ast.Module) -> list[tuple[int, str]]:
    """Every import of a file as (line, absolute dotted name below `twelvefold.`, or the foreign name)."""
    here = ["twelvefold", *path.relative_to(ROOT).with_suffix("").parts]
    if here[1] == "twelvefold":
        here = here[1:]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(here[: len(here) - node.level]) if node.level else ""
            name = ".".join(filter(None, (base, node.module)))
            found += [(node.lineno, f"{name}.{alias.name}") for alias in node.names]
    return found


PATHS = [pytest.param(path, id=str(path.relative_to(ROOT))) for path in sources()]


@pytest.mark.parametrize("path", PATHS)
def test_layers(path: Path) -> None:
    """A package imports only packages below its level, and none of ours by a top-level name."""
    own, wrong = package_of(path), []
    for line, name in imported(path, ast.parse(path.read_text())):
        first, *rest = name.split(".")
        if first in LEVELS and first != "twelvefold":
            wrong.append(f"{line}: imports top-level {name}")
        if first != "twelvefold":
            continue
        package = rest[0] if rest and rest[0] in LEVELS else "twelvefold"
        if package != own and LEVELS[package] >= LEVELS[own]:
            wrong.append(f"{line}: {own} (level {LEVELS[own]}) imports {package} (level {LEVELS[package]})")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", [p for p in PATHS if str(p.id) in PURE])
def test_pure(path: Path) -> None:
    """A pure module imports no I/O, clock or randomness: time and ids arrive as arguments."""
    wrong = [
        f"{line}: {name}" for line, name in imported(path, ast.parse(path.read_text())) if name.split(".")[0] in IMPURE
    ]
    assert not wrong, "\n".join(wrong)


def test_pure_modules_exist() -> None:
    """The list of pure modules names files that are there, so that a rename cannot switch the rule off."""
    assert not [name for name in PURE if not (ROOT / name).exists()]


@pytest.mark.parametrize("path", PATHS)
def test_size(path: Path) -> None:
    """A file stays below about 350 lines and a function below about 60: one concept each."""
    text = path.read_text()
    wrong = [f"{len(text.splitlines())} lines in the file"] if len(text.splitlines()) > FILE_LINES_MAX else []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            lines = node.end_lineno - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                wrong.append(f"{node.lineno}: {node.name} has {lines} lines")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", PATHS)
def test_docstrings(path: Path) -> None:
    """Every module and every public class, function and method says its contract."""
    tree = ast.parse(path.read_text())
    wrong = [] if ast.get_docstring(tree) else ["1: module"]

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith(
                "_"
            ):
                if not ast.get_docstring(node):
                    wrong.append(f"{node.lineno}: {prefix}{node.name}")
                if isinstance(node, ast.ClassDef):
                    visit(node.body, f"{prefix}{node.name}.")

    visit(tree.body, "")
    assert not wrong, "\n".join(wrong)


def test_links() -> None:
    """The five packages are reached through committed relative links, and lie at the top of the repository."""
    for name in LEVELS:
        if name != "twelvefold":
            link = ROOT / "twelvefold" / name
            assert link.is_symlink()
            assert link.readlink() == Path("..") / name
