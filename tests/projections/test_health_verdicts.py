"""The judges of health: what counts as wrong, how wrong, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from twelvefold.projections.agent_health import HealthStatus, judged_agent
from twelvefold.projections.health import Check, Limits, SystemHealthStatus, judged
from twelvefold.projections.observed import ExportSeen, Observed, ParkedSeen, ProcessSeen, ProjectionSeen

NOW_NS = 1_800_000_000 * 10**9
FREE = 50 << 30


def place(name: str, state: str = "ready", **facts: Any) -> ProcessSeen:
    given = {"pid": 10, "since": NOW_NS / 1e9 - 100, "restarts": 0, "exit": None, "instance": f"{name}.ab"} | facts
    return ProcessSeen(name=name, state=state, on_bus=not name.startswith(("bus", "web")), **given)


def queue(name: str, **facts: Any) -> dict[str, Any]:
    empty = {"name": name, "queue": True, "members": 1, "waiting": 0, "delayed": 0, "held": 0, "oldest_age_s": 0.0}
    return empty | {"behind": False, "dispatch_s": None} | facts


WELL = Observed(
    now_ns=NOW_NS,
    home="/h",
    stats={
        "uptime_s": 500.0,
        "lease_s": 10.0,
        "sessions": 3,
        "roles": {"orchestrator": 1, "agent": 1},
        "silent_s": {"orchestrator.1.ab": 1.0, "fixer.1.ab": 2.0},
        "held_by": {"fixer.1.ab": 1},
        "groups_of": {"fixer.1.ab": ["q/issue_fixer"]},
        "groups": {"q/issue_fixer": queue("issue_fixer")},
        "open_runs": 1,
        "log": {"failure": ""},
    },
    round_trip_s=0.001,
    processes=(place("bus.1"), place("orchestrator.1"), place("fixer.1")),
    head=100,
    head_ns=NOW_NS - 10**9,
    log_bytes=1 << 20,
    wal_bytes=1 << 20,
    free_bytes=FREE,
    total_bytes=2 * FREE,
    projections=(ProjectionSeen("runs", 99, 0.5),),
)


def with_stats(**facts: Any) -> Observed:
    return replace(WELL, stats={**(WELL.stats or {}), **facts})


def with_fixer(state: str = "ready", **facts: Any) -> Observed:
    return replace(WELL, processes=(place("bus.1"), place("orchestrator.1"), place("fixer.1", state, **facts)))


def found(seen: Observed, name: str) -> Check:
    """The one check of this name that says the worst."""
    checks = [check for check in judged(seen).checks if check.name == name]
    assert checks, [check.name for check in judged(seen).checks]
    return checks[-1]


def test_a_home_that_does_well_is_healthy_and_ready() -> None:
    """All checks are made, none complains, and every process but bus and orchestrator is among the agents."""
    status = judged(WELL)
    assert (status.status, status.healthy, status.ready, status.problems) == ("healthy", True, True, ())
    names = [check.name for check in status.checks]
    assert names == ["bus", "log", "orchestrator", "agents", "work", "parked", "projections", "disk", "wal", "clock"]
    assert list(status.agents) == ["fixer.1"]
    assert all(check.fix is None for check in status.checks)


WRONG: list[tuple[str, Observed, str, str]] = [
    ("bus", replace(WELL, stats=None, bus_problem="no bus runs"), "unhealthy", "no bus runs"),
    ("bus", replace(WELL, round_trip_s=1.5), "degraded", "1500.0 ms"),
    ("log", with_stats(log={"failure": "disk I/O error"}), "unhealthy", "disk I/O error"),
    ("log", replace(WELL, log_problem="the log is corrupt"), "unhealthy", "corrupt"),
    ("orchestrator", with_stats(roles={}), "unhealthy", "none is connected"),
    ("orchestrator", with_stats(silent_s={"orchestrator.1.ab": 30.0, "fixer.1.ab": 1.0}), "unhealthy", "30 s"),
    ("orchestrator", replace(WELL, undecided_s=300), "unhealthy", "5 min"),
    ("orchestrator", replace(with_stats(roles={}), processes=None), "unhealthy", "1 runs at work"),
    ("up", replace(WELL, processes=None, up_problem="it hangs"), "unhealthy", "it hangs"),
    ("process fixer.1", with_fixer("crashed", exit=1), "unhealthy", "with status 1"),
    ("process fixer.1", with_fixer("backoff", exit=-9), "degraded", "by signal 9"),
    ("process fixer.1", with_fixer("starting", waits_for="db"), "unhealthy", "waits for db"),
    ("process fixer.1", with_fixer("starting", since=NOW_NS / 1e9 - 5), "degraded", "starting for 5 s"),
    ("process fixer.1", with_fixer("backoff", reason="memory"), "degraded", "limit of memory"),
    ("process fixer.1", with_stats(silent_s={"orchestrator.1.ab": 1, "fixer.1.ab": 11.0}), "unhealthy", "silent"),
    ("process fixer.1", with_stats(silent_s={"orchestrator.1.ab": 1}), "unhealthy", "doesn't hear it"),
    ("process fixer.1", with_stats(silent_s={"orchestrator.1.ab": 1}, uptime_s=2.0), "degraded", "not back"),
    ("work", with_stats(groups={"q/x": queue("x", members=0, waiting=2, oldest_age_s=60)}), "unhealthy", "queue x"),
    ("work", with_stats(groups={"g/x": queue("x", queue=False, members=0, waiting=2, oldest_age_s=60)}), "degraded",
     "group x"),
    ("work", replace(WELL, waiting={"in_doubt": 1, "question": 4}), "degraded", "1 in doubt"),
    ("parked", replace(WELL, parked=(ParkedSeen("delivery", "q", 9, 60.0, "boom\nat"),)), "degraded", "boom"),
    ("projections", replace(WELL, projections=(ProjectionSeen("mine", 5, 0, 6, "KeyError"),)), "degraded", "KeyError"),
    ("traces", replace(WELL, exports=(ExportSeen("http://a", undelivered=7, failing_s=200.0, reason="refused"),)),
     "degraded", "http://a has taken no spans for 3 min, 7 wait: refused"),
    ("disk", replace(WELL, free_bytes=100 << 20), "unhealthy", "100.0 MiB free"),
    ("disk", replace(WELL, free_bytes=None), "degraded", "can't be told"),
    ("wal", replace(WELL, wal_bytes=1 << 30), "degraded", "1.0 GiB"),
    ("clock", replace(WELL, head_ns=NOW_NS + 3600 * 10**9), "degraded", "60 min behind"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "seen", "level", "words"), WRONG, ids=[f"{n}-{w}" for n, _, _, w in WRONG])
def test_what_is_wrong_is_found(name: str, seen: Observed, level: str, words: str) -> None:
    """Each thing that goes wrong makes the home as bad as it is, and is told in words with a command that helps."""
    check = found(seen, name)
    assert (check.status, judged(seen).healthy) == (level, False)
    assert words in check.message
    assert judged(seen).status in (level, "unhealthy")
    assert check.fix


@pytest.mark.parametrize(
    "seen",
    [
        replace(with_stats(roles={}, open_runs=0), processes=None),
        replace(WELL, waiting={"question": 3, "approval": 1}),
        replace(WELL, exports=(ExportSeen("a", 9, 1), ExportSeen("b", failing_s=5.0))),
        replace(WELL, exports=(ExportSeen("a", undelivered=5, failing_s=900.0, is_running=False),)),
        with_stats(groups={"q/x": queue("x", members=0, waiting=2, oldest_age_s=2)}),
        with_stats(groups={"q/x": queue("x", members=2, waiting=200, oldest_age_s=900)}),
        replace(WELL, projections=(ProjectionSeen("runs", 5, 7200.0),)),
        replace(WELL, head_ns=NOW_NS + 10**8),
        with_fixer("stopped", exit=0),
        with_fixer(paused=True),
        replace(WELL, processes=(*(WELL.processes or ()), place("web.1"))),
    ],
    ids=[
        "bare bus",
        "human",
        "exports",
        "no export any more",
        "just asked",
        "backlog",
        "no projector",
        "clock",
        "stopped",
        "paused",
        "foreign",
    ],
)
def test_what_is_meant_is_not_wrong(seen: Observed) -> None:
    """A bare bus, questions to humans, fresh or queued work, what was stopped or paused on purpose: all is well."""
    assert judged(seen).problems == ()


def test_a_projector_that_lags_is_found() -> None:
    """Where a projector runs, rows that fall behind for long are told; after a stop they are only old."""
    late = replace(WELL, projections=(ProjectionSeen("runs", 5, 7200.0),))
    with_projector = replace(late, processes=(*(WELL.processes or ()), place("projector.1")))
    seen = replace(
        with_projector,
        stats={**(WELL.stats or {}), "silent_s": {"orchestrator.1.ab": 1.0, "fixer.1.ab": 1.0, "projector.1.ab": 1.0}},
    )
    assert "95 events and 2.0 h behind" in found(seen, "projections").message


def test_nothing_is_taken_for_well_that_could_not_be_seen() -> None:
    """Without bus and `up` nobody can tell how agents and queues do, so nothing is said of them."""
    seen = Observed(now_ns=NOW_NS, home="/h", bus_problem="no bus runs", free_bytes=FREE, total_bytes=FREE)
    status = judged(seen)
    assert not {"agents", "work", "orchestrator"} & {check.name for check in status.checks}
    assert (status.status, status.ready) == ("unhealthy", False)


def test_readiness_is_not_health() -> None:
    """Work that is stuck doesn't keep new work out; processes that are not there yet do."""
    assert judged(replace(WELL, waiting={"stuck": 1})).ready
    assert not judged(with_fixer("starting")).ready
    assert not judged(replace(WELL, stats=None)).ready
    assert not judged(replace(WELL, free_bytes=1)).ready


def test_limits_can_be_chosen() -> None:
    """What is still well is the caller's to say."""
    assert not judged(WELL, Limits(free_bytes=2 * FREE)).healthy
    assert judged(replace(WELL, free_bytes=1), Limits(free_bytes=0)).healthy


@pytest.mark.parametrize("name", ["fixer.1", "FIXER.1", "fixer", "issue_fixer", "fixer.1.ab"])
def test_an_agent_is_found_by_each_of_its_names(name: str) -> None:
    """A process, a line, a queue and an instance lead to the same agent."""
    status = judged_agent(WELL, name)
    one = status.instances[0] if status.instances else status
    assert (status.agent_id, status.status, one.process) == (name, "healthy", "fixer.1")
    assert (status.held, status.queues, status.silent_s) == (1, ("issue_fixer",), 2.0)


def test_several_processes_of_a_name_are_judged_together() -> None:
    """Some that do well make a degraded whole, none an unhealthy one; what is stopped on purpose doesn't count."""

    def joined(*states: str) -> HealthStatus:
        places = [place(f"fixer.{n}", state) for n, state in enumerate(states, 1)]
        silences = {f"fixer.{n}.ab": 1.0 for n in range(1, 9)}
        return judged_agent(replace(with_stats(silent_s=silences), processes=tuple(places)), "fixer")

    assert joined("ready", "ready").status == "healthy"
    assert joined("ready", "crashed").status == "degraded"
    assert joined("ready", "stopped").status == "healthy"
    assert joined("crashed", "backoff").status == "unhealthy"
    assert joined("stopped", "stopped").status == "unhealthy"
    assert "fixer.2: given up" in joined("ready", "crashed").message


def test_members_without_a_supervisor_are_judged_by_the_bus() -> None:
    """An agent that somebody started by hand does well while the bus hears it."""
    groups = {"echo-1": ["q/echo"]}
    seen = replace(with_stats(groups_of=groups, silent_s={"echo-1": 3.0}), processes=None)
    assert judged_agent(seen, "echo").status == judged_agent(seen, "echo-1").status == "healthy"
    silent = replace(with_stats(groups_of=groups, silent_s={"echo-1": 12.0}), processes=None)
    assert (judged_agent(silent, "echo").status, judged_agent(silent, "echo").state) == ("unhealthy", "silent")
    status: SystemHealthStatus = judged(silent)
    assert "agent echo-1" in [check.name for check in status.problems]


def test_who_is_not_known_is_not_healthy() -> None:
    """A name that nothing has is told to be unknown, and why."""
    status = judged_agent(WELL, "nobody")
    assert (status.status, status.healthy) == ("unknown", False)
    down = judged_agent(Observed(now_ns=1, home="/h", bus_problem="no bus runs"), "fixer")
    assert "no bus runs" in down.message


def test_exports_of_traces_are_counted_where_one_goes_on() -> None:
    """What was delivered and refused is told of those that go on, and nothing where none does."""
    told = found(replace(WELL, exports=(ExportSeen("a", 9, 1), ExportSeen("b", 2, is_running=False))), "traces")
    assert told.message == "9 spans delivered, 1 refused for good"
    gone = judged(replace(WELL, exports=(ExportSeen("b", 2, is_running=False),)))
    assert "traces" not in [check.name for check in gone.checks]


def test_imported_runs_are_told_beside_the_log() -> None:
    """A home that holds only what came from others is not taken for an empty one."""
    assert found(replace(WELL, head=0, imported=1), "log").message == "no events yet, beside 1 imported run"
    assert found(replace(WELL, imported=2), "log").message.endswith(", beside 2 imported runs")


def test_what_an_unreadable_log_would_tell_is_not_taken_for_well() -> None:
    """Only what was looked at elsewhere is judged."""
    checks = judged(replace(WELL, log_problem="it is no database", head=0, head_ns=0, projections=())).checks
    assert [check.name for check in checks] == ["bus", "log", "orchestrator", "agents", "disk"]
