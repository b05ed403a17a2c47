"""LangGraph beside a saga: a graph of three nodes that do nothing, checkpointed into SQLite after each.

peer_langgraph.py FOLDER COUNT
"""

from __future__ import annotations

import sqlite3
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from roles import say

WARM = 20


class Values(TypedDict):
    """What the nodes hand on."""

    value: str


def main(folder: Path, count: int) -> None:
    """Run so many sagas one after the other, each a thread of its own, and report how many ended a second."""
    database = sqlite3.connect(folder / "graph.db", check_same_thread=False)
    graph = StateGraph(Values)
    names = [START, "a", "b", "c", END]
    for name in names[1:-1]:
        graph.add_node(name, lambda values: {"value": values["value"]})
    for first, second in pairwise(names):
        graph.add_edge(first, second)
    compiled = graph.compile(checkpointer=SqliteSaver(database))
    for n in range(WARM + count):
        if n == WARM:
            begun = time.monotonic()
        compiled.invoke({"value": "x"}, {"configurable": {"thread_id": str(n)}}, durability="sync")
    say("done", count / (time.monotonic() - begun))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
