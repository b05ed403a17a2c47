"""Metrics agree with what the orchestrator's own fold says of the same runs."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from twelvefold.projections.folding import fold_log
from twelvefold.projections.metric_families import log_sums
from twelvefold.projections.metrics import Metrics
from twelvefold.run_log import RunLog

LARGE_LOG = Path(__file__).parents[2] / "scripts" / "benchmarks" / "large_log.py"


def make_log(home: Path, **wanted: int) -> None:
    """Make a log of runs that the real deciders decide, as the benchmarks do."""
    spec = importlib.util.spec_from_file_location("large_log", LARGE_LOG)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.make_log(home, **wanted)


@pytest.mark.parametrize("seed", [1, 5])
def test_sums_are_those_of_the_runs(tmp_path: Path, seed: int) -> None:
    """Ends, attempts, calls, tokens and cost of all runs come to what each run's result says, added up."""
    make_log(tmp_path, events=4000, runs=25, seed=seed)
    ended: Counter[str] = Counter()
    calls = tokens_in = tokens_out = attempts = still_open = 0
    usd = 0.0
    with RunLog(tmp_path) as log:
        sums = log_sums(fold_log(Metrics(), log))
        for run in log.runs():
            result = log.view(run)[0].result()
            if result.ended:
                ended[result.outcome or ""] += 1
            else:
                still_open += 1
            calls += result.cost.model_calls
            tokens_in += result.cost.tokens_in or 0
            tokens_out += result.cost.tokens_out or 0
            usd += result.cost.usd or 0.0
            attempts += sum(task.attempts for task in result.tasks)
    agents = list(sums.agents.values())
    assert (sums.runs, sums.runs_open) == (dict(ended), still_open)
    assert sum(one.requested for one in agents) == attempts
    assert sum(one.model_calls for one in agents) == calls > 0
    assert sum(one.tokens_in for one in agents) == tokens_in
    assert sum(row.tokens_out for row in sums.effects.values()) == tokens_out
    assert sum(one.usd for one in agents) == pytest.approx(usd)
    assert sum(row.usd for row in sums.effects.values()) == pytest.approx(usd)
