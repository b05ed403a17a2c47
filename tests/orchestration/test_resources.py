"""Cores and memory given out in turn, and processes that are bound to what they were given."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twelvefold.orchestration.limits import Limits, limits_of
from twelvefold.orchestration.resource_context import ResourceContext
from twelvefold.orchestration.resource_errors import ResourcesInvalid, ResourcesTooLarge, ResourceTimeout
from twelvefold.orchestration.resources import ResourceManager, machine_memory

GB = 1 << 30


def eventually(check: Callable[[], bool]) -> None:
    """Poll until it is true, or fail."""
    deadline = time.monotonic() + 30
    while not check():
        assert time.monotonic() < deadline, "never came true"
        time.sleep(0.01)


def queued(manager: ResourceManager) -> int:
    return len(manager.get_resource_usage()["queued"])


def test_room_is_counted_and_comes_back() -> None:
    """What is given out is no longer free; at the end of `with` it is, and giving back twice changes nothing."""
    manager = ResourceManager(memory="1GB")
    with manager.allocate(1, "256MB") as context:
        usage = manager.get_resource_usage()
        assert usage["memory"] == {"total": GB, "allocated": GB // 4, "free": GB - GB // 4}
        assert usage["cpu"]["allocated"] == 1
        assert [row["id"] for row in usage["contexts"]] == [context.id]
        assert usage["machine"]["memory_total"] > 0
    manager.deallocate(context)
    usage = manager.get_resource_usage()
    assert (usage["memory"]["free"], usage["cpu"]["free"], usage["contexts"]) == (GB, manager.cpus, [])


def test_what_never_fits_is_refused_at_once() -> None:
    """More than there is, is an error that names both; it isn't waited for."""
    manager = ResourceManager(1, "1GB")
    with pytest.raises(ResourcesTooLarge) as caught:
        manager.allocate(1, "2GB")
    assert caught.value.message() == "1 core and 2 GB never fit: there are 1 core and 1 GB in all"
    with pytest.raises(ResourcesTooLarge):
        manager.allocate(2, "64MB")
    with pytest.raises(ResourcesTooLarge):
        ResourceManager(memory=machine_memory() + 1)
    with pytest.raises(ResourcesTooLarge):
        ResourceManager(cpus=100_000)


@pytest.mark.parametrize(("cpu", "memory"), [(0, "64MB"), (True, "64MB"), (1.5, "64MB"), (1, "lots"), (1, "1MB")])
def test_what_means_nothing_is_refused(cpu: int, memory: str) -> None:
    """No whole number of cores and no size are errors."""
    with pytest.raises(ResourcesInvalid):
        ResourceManager(1, "1GB").allocate(cpu, memory)


def test_nobody_is_passed_by() -> None:
    """A large request waits for room, and small ones that came later wait behind it, though they would fit."""
    manager = ResourceManager(memory="1GB")
    first = manager.allocate(1, "512MB")  # leaves room for a small one, but not for the large one
    order: list[str] = []

    def take(name: str, memory: str) -> None:
        with manager.allocate(1, memory, timeout_s=30):
            order.append(name)

    with ThreadPoolExecutor(2) as pool:
        large = pool.submit(take, "large", "1GB")
        eventually(lambda: queued(manager) == 1)
        small = pool.submit(take, "small", "64MB")
        eventually(lambda: queued(manager) == 2)
        assert order == []
        manager.deallocate(first)
        large.result(30)
        small.result(30)
    assert order == ["large", "small"]


def test_who_waits_too_long_lets_the_next_one_pass() -> None:
    """A request that timed out holds up nobody, and takes nothing."""
    manager = ResourceManager(memory="1GB", cpus=1)
    held = manager.allocate(1, "900MB")
    with pytest.raises(ResourceTimeout) as caught:
        manager.allocate(1, "1GB", timeout_s=0.05)
    assert caught.value.exit_code == 124
    assert queued(manager) == 0
    manager.deallocate(held)
    manager.deallocate(manager.allocate(1, "1GB", timeout_s=0))


def test_asyncio_waits_without_blocking_and_may_be_cancelled() -> None:
    """The loop runs on while room is waited for; a cancelled or timed-out wait leaves nothing behind."""
    asyncio.run(_wait_in_a_loop())


async def _wait_in_a_loop() -> None:
    manager = ResourceManager(cpus=1, memory="1GB")
    async with await manager.allocate_async(1, "1GB"):
        waiting = asyncio.create_task(manager.allocate_async(1, "64MB"))
        with pytest.raises(ResourceTimeout):
            await manager.allocate_async(1, "64MB", timeout_s=0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        later = asyncio.create_task(manager.allocate_async(1, "128MB"))
        while queued(manager) != 1:
            await asyncio.sleep(0)
    context = await later
    assert context.memory == 128 << 20
    manager.deallocate(context)
    assert manager.get_resource_usage()["memory"]["free"] == GB


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 2), st.integers(64, 1024), st.sampled_from([None, 0.0, 30.0])), max_size=12))
def test_never_more_is_given_out_than_there_is(wants: list[tuple[int, int, float | None]]) -> None:
    """Threads that take and give back in any order: the book never goes below zero, and all is free in the end."""
    cpus = min(2, os.cpu_count() or 1)
    manager = ResourceManager(cpus, "1GB")
    lock, used, over = threading.Lock(), [0, 0], []

    def work(cpu: int, memory: int, timeout_s: float | None) -> None:
        try:
            context = manager.allocate(min(cpu, cpus), f"{memory}MB", timeout_s=timeout_s)
        except ResourceTimeout:
            return
        with lock:
            used[0] += context.cpu
            used[1] += context.memory
            if used[0] > cpus or used[1] > GB:
                over.append(list(used))
        with lock:
            used[0] -= context.cpu
            used[1] -= context.memory
        manager.deallocate(context)

    threads = [threading.Thread(target=work, args=want) for want in wants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert over == []
    usage = manager.get_resource_usage()
    assert (usage["memory"]["free"], usage["cpu"]["free"], usage["queued"]) == (GB, cpus, [])


def hog(context: ResourceContext, megabytes: int) -> subprocess.Popen[bytes]:
    """A process in a context that takes memory and then waits."""
    script = f"x = b'x' * ({megabytes} << 20); print(len(x), flush=True); input()"
    return context.start([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_a_process_is_bound_from_its_first_instruction() -> None:
    """It runs on the context's cores only, and cannot even ask for memory that it could never have."""
    manager = ResourceManager()
    with manager.allocate(1, "128MB") as context:
        script = "import os; print(sorted(os.sched_getaffinity(0)))\n"
        script += "try: bytearray(20 << 30)\nexcept MemoryError: print('no')"
        process = context.start([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        printed, _ = process.communicate(timeout=30)
    assert printed == f"[{context.cores[0]}]\nno\n"


def test_all_processes_of_a_context_share_its_memory() -> None:
    """One that fits lives; with a second one the room is passed, and both are ended, for a reason that is told."""
    manager = ResourceManager()
    with manager.allocate(1, "150MB") as context:
        first = hog(context, 90)
        assert first.stdout is not None
        assert first.stdout.readline().strip() == str(90 << 20).encode()
        usage = manager.get_resource_usage()["contexts"][0]
        assert 90 << 20 < usage["memory_used"] < 150 << 20
        assert first.poll() is None
        second = hog(context, 90)
        assert (first.wait(30), second.wait(30)) == (-9, -9)
        assert set(context.ended) == {first.pid, second.pid}
        assert context.ended[first.pid].reason == "memory"
        assert context.ended[first.pid].used > 150 << 20
    for process in (first, second):
        process.communicate()


def test_a_running_process_may_be_taken_in() -> None:
    """Its threads go to the context's cores, and it is ended when it passes the memory."""
    script = "input(); x = b'x' * (200 << 20); print('full', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1, start_new_session=True) as process:
        assert process.stdin is not None
        with ResourceManager().allocate(1, "100MB") as context:
            context.apply_to(process.pid)
            assert os.sched_getaffinity(process.pid) == set(context.cores)
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert process.wait(30) == -9
            assert context.ended[process.pid].limit == 100 << 20
    with pytest.raises(ResourcesInvalid, match="cannot be bound"):
        ResourceManager().allocate(1, "100MB").apply_to(process.pid)


def test_room_is_not_given_away_under_a_process_that_runs_in_it() -> None:
    """A context that was given back counts until its last process has ended; then the next one in the queue gets it."""
    manager = ResourceManager(memory="256MB")
    with manager.allocate(1, "200MB") as context:
        process = hog(context, 1)
    assert manager.get_resource_usage()["memory"]["free"] == 56 << 20
    with pytest.raises(ResourcesInvalid, match="given back"):
        context.start(["true"])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(manager.allocate, 1, "256MB", timeout_s=30)
        eventually(lambda: queued(manager) == 1)
        process.communicate(b"\n", timeout=30)
        manager.deallocate(waiting.result(30))


def test_a_context_is_written_as_options_of_a_line() -> None:
    """What a context gives is what a line of a Procfile may have."""
    context = ResourceManager().allocate(1, "100MB")
    assert limits_of(context.options()) == context.limits == Limits(memory=100 << 20, cpus=context.cores)
