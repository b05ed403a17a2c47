"""Limits: how they are written, how cores are shared out, and what a delegated cgroup is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelvefold.orchestration.cgroups import Cgroups, own_cgroup
from twelvefold.orchestration.cores import Cores
from twelvefold.orchestration.errors import ProcfileOptionsInvalid
from twelvefold.orchestration.limit_watch import LimitWatch
from twelvefold.orchestration.limits import Excess, Limits, LimitWrong, format_size, limits_of, parse_size
from twelvefold.orchestration.procfile_options import parse_options


@pytest.mark.parametrize(
    ("text", "size"),
    [("512MB", 512 << 20), ("2gb", 2 << 30), (" 1.5 GiB ", 3 << 29), ("64k", 64 << 10), (4096, 4096), ("7", 7)],
)
def test_sizes_are_read_as_people_write_them(text: str | int, size: int) -> None:
    """Units are powers of 1024, capitals and spaces don't matter, a bare number is bytes."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-5MB", "1e9", "5 apples", "0", True, 1.5, None, "99999999TB"])
def test_what_is_no_size_is_refused(text: object) -> None:
    """Anything else is an error that shows what was given or how a size is written."""
    with pytest.raises(ValueError, match="size"):
        parse_size(text)  # type: ignore[arg-type]


@given(st.integers(min_value=1, max_value=1 << 50))
def test_a_size_as_it_is_shown_is_read_back_to_about_the_same(size: int) -> None:
    """What messages show is a size that the options would take, within its three digits."""
    assert abs(parse_size(format_size(size)) - size) <= size * 0.01 + 1


def test_every_limit_is_an_option_of_a_line() -> None:
    """Limits stand among the keys of a line's table, and arrive as numbers."""
    text = '[fixer]\nmemory = "512MB"\nprocesses = 30\nopen_files = 64\ncpu_seconds = 1.5\ncpus = [1, 0]\nnice = 5\n'
    options = parse_options(text, ["fixer"])["fixer"]
    assert options.limits == Limits(512 << 20, 30, 64, 1.5, (0, 1), 5)
    assert options.limits.watched
    assert not parse_options("[fixer]\nquantity = 2\n", ["fixer"])["fixer"].limits


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('memory = "lots"', "'lots' is no size"),
        ('memory = "1MB"', "no process starts in 1 MB"),
        ("processes = 0", "processes must be"),
        ("open_files = 5", "from 32"),
        ("cpu_seconds = 0", "at least 0.1"),
        ("cpus = []", "cores by their numbers"),
        ("cpus = true", "cpus must be"),
        ("nice = 20", "nice must be"),
    ],
)
def test_each_wrong_limit_is_named_where_it_stands(line: str, words: str) -> None:
    """A limit that makes no sense is refused with its place, as every option is; so is any for the bus."""
    with pytest.raises(ProcfileOptionsInvalid) as caught:
        parse_options(f"[fixer]\n{line}\n", ["fixer"])
    assert (caught.value.line, caught.value.column) == (2, 1)
    assert words in caught.value.message()
    with pytest.raises(ProcfileOptionsInvalid, match="carries all others"):
        parse_options("[bus]\nnice = 5\n", ["fixer"], services=["bus", "orchestrator"])


def test_a_limit_that_there_is_not_is_refused() -> None:
    """A slip of the pen is never silently no limit."""
    with pytest.raises(LimitWrong, match="there is no limit 'ram'"):
        limits_of({"ram": "5MB"})


def test_cores_go_to_whom_they_serve_best() -> None:
    """The least used cores are taken first, and each is free again once it is given back."""
    cores = Cores([0, 1, 2])
    first, second = cores.take(2), cores.take(2)
    assert (first, second) == ((0, 1), (0, 2))
    cores.give_back(first)
    assert cores.take(1) == (1,)
    assert cores.take(9) == (0, 1, 2)


def test_a_quiet_family_is_judged_once_it_moves() -> None:
    """One look finds a process within its limit; once it has more, the next finds it over, and only once."""
    script = (
        "import sys; sys.stdin.readline(); kept = b'x' * (80 << 20); print('full', flush=True); sys.stdin.readline()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        watch = LimitWatch()
        watch.begin(process.pid, "hog.1.x", Limits(memory=64 << 20), 100.0)
        assert watch.look(100.0) == []
        assert watch.due is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "full\n"
        [over] = watch.look(watch.due)
        assert over.excess is not None
        assert (over.pid, over.excess.reason, over.excess.limit) == (process.pid, "memory", 64 << 20)
        assert over.excess.used > 80 << 20
        assert watch.look(watch.due) == []
        process.kill()
        process.wait()
        assert watch.end(process.pid, -9) == over.excess
        assert (watch.end(process.pid), watch.due) == (None, None)


def test_idle_processes_are_looked_at_seldom() -> None:
    """Many that do nothing are looked at four times a second, and not ten times as those that work."""
    processes = [subprocess.Popen(["sleep", "600"]) for _ in range(20)]
    watch = LimitWatch()
    try:
        for process in processes:
            watch.begin(process.pid, "", Limits(memory=64 << 20), 0.0)
        looks = 0
        while watch.due is not None and watch.due < 60.0:
            assert watch.look(watch.due) == []
            looks += 1
        assert looks <= 60 / 0.25 + 2
    finally:
        for process in processes:
            process.kill()
            process.wait()


def fake_cgroup(tmp_path: Path, *, controllers: str = "cpu memory pids", members: str = "") -> Path:
    """A /proc and a folder with the files of a cgroup; this process is in it."""
    own = tmp_path / "cg" / "user.slice" / "twelvefold.service"
    own.mkdir(parents=True)
    (own / "cgroup.controllers").write_text(controllers)
    (own / "cgroup.procs").write_text(members or str(os.getpid()))
    (own / "cgroup.subtree_control").write_text("")
    proc = tmp_path / "proc" / "self"
    proc.mkdir(parents=True)
    (proc / "mountinfo").write_text(
        f"25 1 0:22 / /proc rw - proc proc rw\n30 24 0:27 / {tmp_path}/cg rw,nosuid - cgroup2 cgroup2 rw\n"
    )
    (proc / "cgroup").write_text("5:cpu:/\n0::/user.slice/twelvefold.service\n")
    return own


def test_a_delegated_cgroup_binds_and_says_what_it_ended(tmp_path: Path) -> None:
    """Each limit is written where the kernel reads it; what the kernel killed is told when the process has ended."""
    own = fake_cgroup(tmp_path)
    cgroups = Cgroups.take_over(tmp_path / "proc")
    assert cgroups.controllers == ("memory", "pids", "cpu")
    assert (own / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    path = Path(cgroups.make("fixer.1.ab", Limits(memory=64 << 20, processes=9, cpus=(0, 1))))
    written = {name: (path / name).read_text() for name in ("memory.max", "memory.oom.group", "pids.max", "cpu.max")}
    assert written == {
        "memory.max": str(64 << 20), "memory.oom.group": "1", "pids.max": "9", "cpu.max": "200000 100000",
    }  # fmt: skip
    assert cgroups.make("fixer.2.ab", Limits(open_files=64)) == ""
    (path / "memory.events").write_text("low 0\nmax 12\noom 1\noom_kill 1\n")
    (path / "memory.peak").write_text(f"{64 << 20}\n")
    assert cgroups.end("fixer.1.ab") == Excess("memory", 64 << 20, 64 << 20)
    assert cgroups.end("fixer.1.ab") is None


@pytest.mark.parametrize(
    ("facts", "words"),
    [({"members": "1 2"}, "other processes"), ({"controllers": "hugetlb"}, "none of the controllers")],
)
def test_a_cgroup_that_is_not_ours_is_left_alone(tmp_path: Path, facts: dict[str, str], words: str) -> None:
    """Where others live, or nothing can be bound, nothing is written and the reason is said."""
    own = fake_cgroup(tmp_path, **facts)
    cgroups = Cgroups.take_over(tmp_path / "proc")
    assert (cgroups.controllers, cgroups.make("fixer.1.ab", Limits(memory=64 << 20))) == ((), "")
    assert words in cgroups.reason
    assert (own / "cgroup.subtree_control").read_text() == ""
    assert Cgroups.take_over(tmp_path / "nowhere").reason == "there is no cgroup v2 here"


def test_the_cgroup_of_this_very_process_is_found_where_there_is_one() -> None:
    """On a real system the folder that is found lists this process, or there is no such hierarchy."""
    own = own_cgroup()
    if own is None:
        assert "cgroup2" not in Path("/proc/self/mountinfo").read_text()
    else:
        assert str(os.getpid()) in (own / "cgroup.procs").read_text().split()
