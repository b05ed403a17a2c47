"""How long it takes to judge an issue and to take it apart: the longest of the measured ones, its edits read too.

There is no floor: no message is sent and nothing is written. Times are of the processor, as other programs run here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from twelvefold.agents.assessment import decompose

ISSUES = Path(__file__).resolve().parents[2] / "tests" / "orchestration" / "issues"
ROUNDS = 500
TARGETS: dict[str, dict[str, Callable[[dict[str, float]], bool]]] = {
    "analysis": {"p99 under 10 ms": lambda figures: figures["p99_ms"] < 10},
}


def analysis(events: int) -> dict[str, float]:
    """Judge and take apart the longest issue again and again."""
    text = max((file.read_text() for file in ISSUES.glob("0*.md")), key=len)
    decompose(text)
    times = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        decompose(text)
        times.append((time.process_time() - begun) * 1000)
    times.sort()
    return {"characters": len(text), "p50_ms": times[ROUNDS // 2], "p99_ms": times[ROUNDS * 99 // 100]}
