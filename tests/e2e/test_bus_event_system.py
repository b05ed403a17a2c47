"""LocalEventSystem on a bare bus: handlers that end themselves, closing twice, a bus that is restarted."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import twelvefold as tf

pytestmark = pytest.mark.e2e
WAIT_S = 60.0


@pytest.fixture(autouse=True)
def reached(bus_home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sockets are found as a user's program finds them."""
    monkeypatch.setenv("TWELVEFOLD_RUNTIME_DIR", str(bus_home.runtime))


def test_closing_twice_and_from_a_handler_is_harmless(bus_home: Any) -> None:
    """Whoever closes it first, the handlers end and nothing is raised."""
    closed = threading.Event()
    with tf.LocalEventSystem(bus_home.home) as events:

        def handler(event: tf.Event) -> None:
            events.close()
            closed.set()

        events.watch("demo.happened", handler)
        events.emit("demo.happened")
        assert closed.wait(WAIT_S)
        events.close()


def test_many_threads_may_watch_at_once(bus_home: Any) -> None:
    """All handlers are called by one thread, each event in order and once for each watch."""
    callers: set[int] = set()
    seen: dict[int, list[int]] = {n: [] for n in range(8)}
    complete = threading.Barrier(9)

    with tf.LocalEventSystem(bus_home.home) as events:

        def watch(number: int) -> None:
            def handler(event: tf.Event) -> None:
                callers.add(threading.get_ident())
                seen[number].append(event.data)

            events.watch("demo.happened", handler, after=0)
            complete.wait(WAIT_S)

        threads = [threading.Thread(target=watch, args=(n,)) for n in seen]
        for thread in threads:
            thread.start()
        complete.wait(WAIT_S)
        done = threading.Event()
        for n in range(20):
            events.emit("demo.happened", n)
        # Watched last, so called after the others have had what came before.
        events.watch("demo.ended", lambda event: done.set())
        events.emit("demo.ended")
        assert done.wait(WAIT_S)
        pause = threading.Event()
        while any(len(found) < 20 for found in seen.values()):
            assert not pause.wait(0.01)
    for thread in threads:
        thread.join(WAIT_S)
    assert len(callers) == 1
    assert all(found == list(range(20)) for found in seen.values())


def test_a_durable_handler_survives_the_bus_and_its_own_process(bus_home: Any) -> None:
    """Over a restart of the bus and a new object under the same name, each event is handled once and in order."""
    seen: list[int] = []
    reached = threading.Event()

    def handler(event: tf.Event) -> None:
        seen.append(event.data)
        if event.data % 10 == 9:
            reached.set()

    for start in (0, 10):
        reached.clear()
        with tf.LocalEventSystem(bus_home.home) as events:
            events.watch("demo.*", handler, name="reader", after=0)
            for n in range(start, start + 10):
                events.emit("demo.happened", n)
                if n % 10 == 4:
                    bus_home.restart()
            assert reached.wait(WAIT_S)
    assert seen == list(range(20))
