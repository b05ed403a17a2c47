"""Runs the benchmarks: each work several times, floor and product in turn, and prints one JSON line with medians.

    main.py [--list] [--runs N] [--events N] [WORK …]

Ratios are of medians of the same run; targets are those of the project. This machine's absolute figures mean little.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import analysis
import dispatch
import fleets
import forks
import messages
import patterns
import rollbacks
import sagas
import timemachine
import traces
from roles import median

WORKS = {
    "emit": messages.emit,
    "pipelined": messages.pipelined,
    "follow": messages.follow,
    "latency": messages.latency,
    "groups": messages.groups,
    "read": messages.read,
    "restart": messages.restart,
    "agents": fleets.agents,
    "agents-1000": fleets.thousand_agents,
    "idle": fleets.idle,
    "redelivery": fleets.redelivery,
    "saga": sagas.saga,
    "patterns": patterns.patterns,
    "overhead": patterns.overhead,
    "map": patterns.map_items,
    "dispatch": dispatch.dispatch,
    "analysis": analysis.analysis,
    "rollback": rollbacks.rollbacks,
    "fork": forks.forks,
    "fold": timemachine.fold,
    "look": timemachine.look,
    "recheck": timemachine.recheck,
    "projector": timemachine.projector,
    "forget": timemachine.forget,
    "spans": traces.spans,
}


def main() -> int:
    """Run what the command line names; 0 if every target was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", metavar="WORK")
    parser.add_argument("--list", action="store_true", help="name the works")
    parser.add_argument("--runs", type=int, default=3, help="how often each is measured; medians are reported")
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the large works")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(WORKS))
        return 0
    unknown = [name for name in arguments.works if name not in WORKS]
    if unknown:
        parser.error(f"no such work: {', '.join(unknown)}; --list names them")
    met = True
    for name in arguments.works or WORKS:
        samples = [WORKS[name](arguments.events) for _ in range(arguments.runs)]
        figures = {key: round(median([sample[key] for sample in samples]), 3) for key in samples[0]}
        verdict = {}
        for module in (messages, fleets, sagas, patterns, dispatch, analysis, forks, rollbacks, traces, timemachine):
            verdict |= module.TARGETS
        # What was not measured is neither met nor missed.
        judged = {text: check(figures) for text, check in verdict[name].items()}
        good = {text: bool(met) for text, met in judged.items() if met is not None}
        met = met and all(good.values())
        print(json.dumps({"work": name, "runs": arguments.runs, **figures, "targets": good}), flush=True)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
