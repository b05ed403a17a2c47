"""Benchmarks of what is read from a large log: folds, looks at one run, replay, the live projector; and forgetting.

Works on a log of `large_log` (1,000,000 events of 2,000 runs), which is made once and kept in the system's folder for
temporary files. Started with a role it is the process that writes:

    timemachine.py pacer HOME PER_S SECONDS
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
from fleets import COMMAND, HERE, Figures, fleet
from large_log import make_log
from roles import Role, median, percentile, say, stage

from twelvefold.eventstore.event import NewEvent, new_event
from twelvefold.eventstore.ids import uuid7
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.reader import LogReader
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.orchestration.plan import Task
from twelvefold.orchestration.submit import submit, wait
from twelvefold.projections.folding import fold_log
from twelvefold.projections.runs import Runs
from twelvefold.projections.state import keep_up, state_at
from twelvefold.projections.stored import StoredRows

TARGETS: dict[str, dict[str, Callable[[Figures], bool]]] = {
    "fold": {
        "at least 200,000/s with the runs projection": lambda f: f["per_s"] >= 200_000,
        "the state at the end under 1 s from a snapshot": lambda f: f["end_ms"] < 1000,
    },
    "look": {
        f"`{name}` at most 100 ms over a no-op": lambda f, name=name: f[f"{name}_over_ms"] <= 100  # type: ignore[misc]
        for name in ("status", "tree", "log")
    },
    "recheck": {"a run of 1,000 events under 1 s": lambda f: f["check_ms"] < 1000},
    "projector": {"lag under 500 ms": lambda f: f["p99_ms"] < 500},
    "forget": {"a run is freed within 1 s": lambda f: f["one_s"] < 1},
}
#: Looks of each kind, taken in turn: others may be using the machine.
LOOKS = 9
LOAD_PER_S, LOAD_S = 20_000, 8


def large(events: int) -> Path:
    """Return the home of the large log, made where there is none yet."""
    home = Path(tempfile.gettempdir()) / f"twelvefold-bench-log-{os.getuid()}-{events}"
    if not (home / "made").exists():
        shutil.rmtree(home, ignore_errors=True)
        make_log(home, events, max(20, events // 500))
        (home / "made").touch()
    return home


def environment(home: Path) -> dict[str, str]:
    """The variables of a command on a home."""
    return {"TWELVEFOLD_HOME": str(home), "TWELVEFOLD_RUNTIME_DIR": str(home / "r"), "PATH": os.environ["PATH"]}


def timed(
    home: Path,
    *arguments: str,
    status: int | None = 0,
    variables: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> tuple[float, float]:
    """Run a command; return milliseconds on the clock, and of CPU, which tells more where others use the machine."""
    before, begun = os.times(), time.perf_counter()
    done = subprocess.run(
        [COMMAND, *arguments], env=variables or environment(home), cwd=cwd, capture_output=True, text=True, check=False
    )
    elapsed, after = time.perf_counter() - begun, os.times()
    assert status is None or done.returncode == status, done.stdout + done.stderr
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return elapsed * 1000, used * 1000


def fold(events: int) -> Figures:
    """Fold the large log with the runs projection; then the state as of its end, from what was kept."""
    home = large(events)
    with LogReader(home / "log.db") as log:
        head, begun, cpu = log.head, time.perf_counter(), time.process_time()
        rows = fold_log(Runs(), log)
        elapsed, used = time.perf_counter() - begun, time.process_time() - cpu
        assert len(rows) == max(20, events // 500)
        keep_up(home, log, Runs(), head)
        begun = time.perf_counter()
        assert len(state_at(log, Runs(), head, stored=StoredRows(home))) == len(rows)
        end = time.perf_counter() - begun
        begun = time.perf_counter()
        state_at(log, Runs(), head * 2 // 3, stored=StoredRows(home))
        between = time.perf_counter() - begun
    command = median([timed(home, "state", "runs", "--at", str(head), "--json")[0] for _ in range(3)])
    return {
        "per_s": head / elapsed, "per_cpu_s": head / used, "end_ms": end * 1000, "between_ms": between * 1000,
        "command_ms": command,
    }  # fmt: skip


def look(events: int) -> Figures:
    """`status`, `tree` and `log` of one run of the large log, over the same command that does nothing."""
    home = large(events)
    with LogReader(home / "log.db") as log:
        runs = log.latest_runs(limit=200)
    run = runs[len(runs) // 2]
    commands = {"no_op": ["--version"], "status": ["status", run], "tree": ["tree", run], "log": ["log", "--run", run]}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(LOOKS):
        for name, arguments in commands.items():
            found[name].append(timed(home, *arguments, status=None))
    wall = {name: median([one[0] for one in taken]) for name, taken in found.items()}
    cpu = {name: median([one[1] for one in taken]) for name, taken in found.items()}
    figures = {"no_op_ms": wall["no_op"]}
    for name in ("status", "tree", "log"):
        figures |= {f"{name}_over_ms": wall[name] - wall["no_op"], f"{name}_over_cpu_ms": cpu[name] - cpu["no_op"]}
    return figures


def recheck(_: int) -> Figures:
    """`replay --check` of a run of 1,000 events that a real agent has done: decided again, its handler run again."""
    with fleet("deeds: twelvefold agent bench_agents:Deeds\n", "deeds=1") as running, running.client() as client:
        run = submit(client, Task(agent="deeds", input={"deeds": 498}))
        assert wait(client, run, 120).outcome == "succeeded"
        count = sum(1 for _ in client.read(run=run))
        where = {"variables": running.variables, "cwd": running.folder}
        no_op = [timed(running.home, "--version", **where) for _ in range(3)]  # type: ignore[arg-type]
        check = [timed(running.home, "replay", run, "--check", **where) for _ in range(3)]  # type: ignore[arg-type]
    return {
        "events": count,
        "check_ms": median([one[0] for one in check]), "check_cpu_ms": median([one[1] for one in check]),
        "no_op_ms": median([one[0] for one in no_op]), "no_op_cpu_ms": median([one[1] for one in no_op]),
    }  # fmt: skip


def projector(_: int) -> Figures:
    """The live projector beside 20,000 events a second: how old what it has not folded yet is."""
    with stage() as (folder, roles):
        home = folder / "home"
        home.mkdir()
        roles.append(pacer := Role(str(Path(__file__)), "pacer", str(home), str(LOAD_PER_S), str(LOAD_S)))
        pacer.hear("ready")
        process = subprocess.Popen(
            [COMMAND, "projector"], env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            stored, lags = StoredRows(home), []
            while not (checkpoints := stored.checkpoints()):
                time.sleep(0.05)
            pacer.tell("go")
            ended = time.monotonic() + LOAD_S
            with LogReader(home / "log.db") as log:
                while time.monotonic() < ended:
                    time.sleep(0.05)
                    checkpoints = stored.checkpoints()
                    folded = min((one.position for one in checkpoints if one.live), default=0)
                    waiting = log.read(after=folded, limit=1)
                    lags.append((time.time_ns() - waiting[0].time) / 1e6 if waiting else 0.0)
                used, head = sum(psutil.Process(process.pid).cpu_times()[:2]), log.head
            (late,) = pacer.hear("done")
        finally:
            process.terminate()
            process.wait(30)
    lags = lags[20:]  # both have just begun
    return {
        "per_s": head / LOAD_S, "pacer_late_ms": float(late), "p50_ms": percentile(lags, 0.5),
        "p99_ms": percentile(lags, 0.99), "max_ms": max(lags), "projections": len(checkpoints),
        "cpu_us_per_event": used * 1e6 / max(1, folded),
    }  # fmt: skip


def forget(_: int) -> Figures:
    """Forget one run of a log of 100,000 events without a bus, and then all of them: seconds, and what is left."""
    with stage() as (folder, _roles):
        home = folder / "home"
        shutil.copytree(large(100_000), home)
        with LogReader(home / "log.db") as log:
            run = log.latest_runs(limit=100)[-1]
        one = timed(home, "forget", run, "--yes", "--no-compact")[0]
        before = (home / "log.db").stat().st_size
        every = timed(home, "forget", "--older-than", "1s", "--yes")[0]
        after = (home / "log.db").stat().st_size
    return {"one_s": one / 1000, "all_s": every / 1000, "before_mb": before / 2**20, "after_mb": after / 2**20}


def pacer(home: Path, per_s: int, seconds: int) -> None:
    """Write events of small runs straight into the log of a home, so many a second; say how late it was at most."""
    log = SqliteLog(home / "log.db", durability="relaxed")
    log.append(Append(events=[_fact("bench.begun", "", {})]))
    say("ready")
    sys.stdin.readline()
    begun, late, written = time.monotonic(), 0.0, 0
    facts = _facts()
    while written < per_s * seconds:
        due = begun + written / per_s
        time.sleep(max(0.0, due - time.monotonic()))
        late = max(late, time.monotonic() - due)
        lot = [next(facts) for _ in range(per_s // 100)]
        log.append_many([Append(events=[one], source="pacer") for one in lot])
        written += len(lot)
    log.close()
    say("done", round(late * 1000, 1))


def _facts() -> Iterator[NewEvent]:
    """Yield the events of small runs without end, ten at a time beside each other."""
    while True:
        runs = [uuid7(time.time_ns() // 1_000_000, os.urandom(10)).hex() for _ in range(10)]
        plan = {"pattern": "task", "agent": "bench", "input": None}
        usage = {"tokens_in": 10, "tokens_out": 3, "usd": 0.001}
        about = {"kind": "model", "name": "m", "effect": "read", "key": "model:m:0:0", "result": "x" * 100}
        for type, data in (
            ("run.requested", {"plan": plan, "labels": {"job": "bench"}, "caller": {"program": "bench"}}),
            ("run.started", {"versions": {}}),
            ("task.requested", {"path": "0", "agent": "bench", "attempt": 1, "input": {"text": "x" * 100}}),
            ("task.started", {"instance": "bench.1", "attempt": 1, "delivery": 1}),
            ("task.progressed", {"progress": 0.5, "stage": "half"}),
            ("effect.completed", {**about, "usage": usage}),
            ("effect.completed", {**about, "key": "model:m:0:1", "usage": usage}),
            ("task.succeeded", {"value": {"n": 1}, "evidence": [], "message": None}),
            ("run.succeeded", {"value": {"n": 1}, "evidence": []}),
        ):
            for run in runs:
                yield _fact(type, run, data)


def _fact(type: str, run: str, data: dict[str, object]) -> NewEvent:
    own = type.startswith("run.") or type == "task.requested"
    stream = f"run.{run}" if own else f"task.{run}.0" if run else "bench"
    id = uuid7(time.time_ns() // 1_000_000, os.urandom(10))
    return new_event(type, data, stream=stream, run=run, id=id, to="bench" if type == "task.requested" else "")


if __name__ == "__main__":
    pacer(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
_ = HERE
