"""The alarm by which an agent's main thread hears that a handler takes long."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from twelvefold.agents.alarm import Alarm

LIMIT_S = 0.05


class Sleeper:
    """A thread that waits for an alarm time and again, and counts how often it went off and was not early."""

    def __init__(self, alarm: Alarm) -> None:
        self.alarm = alarm
        self.woken = self.late = 0
        self.over = False
        self.heard = threading.Semaphore(0)
        self.thread = threading.Thread(target=self._sleep)
        self.thread.start()

    def _sleep(self) -> None:
        while True:
            self.alarm.wait()
            self.woken += 1
            if self.over:
                return
            if not self.alarm.is_early():
                self.late += 1
                self.heard.release()


@pytest.fixture
def sleeper() -> Iterator[Sleeper]:
    alarm = Alarm(LIMIT_S)
    found = Sleeper(alarm)
    yield found
    found.over = True
    alarm.ring()
    found.thread.join()
    alarm.close()


def test_goes_off_once_something_has_been_under_way_for_long(sleeper: Sleeper) -> None:
    begun = time.monotonic()
    sleeper.alarm.begin(begun)
    assert sleeper.heard.acquire(timeout=10)
    assert time.monotonic() - begun >= LIMIT_S
    time.sleep(2 * LIMIT_S)
    assert sleeper.late == 1


def test_stays_silent_where_nothing_is_under_way(sleeper: Sleeper) -> None:
    begun = time.monotonic()
    sleeper.alarm.begin(begun)
    sleeper.alarm.rest()
    rested = time.monotonic()
    time.sleep(4 * LIMIT_S)
    # A machine that is busy enough can put a pause between the two.
    assert sleeper.woken == 0 or rested - begun >= LIMIT_S


def test_short_things_one_after_the_other_are_never_long(sleeper: Sleeper) -> None:
    longest, begun = 0.0, time.monotonic()
    until = begun + 6 * LIMIT_S
    while begun < until:
        sleeper.alarm.begin(begun)
        time.sleep(LIMIT_S / 50)
        longest, begun = max(longest, time.monotonic() - begun), time.monotonic()
    # A machine that is busy enough makes long things of short ones.
    assert sleeper.late == 0 or longest >= LIMIT_S
    # The last of them is one: nobody has said that it is over.
    assert sleeper.heard.acquire(timeout=10)


def test_each_long_thing_is_told_of_after_a_rest(sleeper: Sleeper) -> None:
    for _ in range(3):
        sleeper.alarm.begin(time.monotonic())
        assert sleeper.heard.acquire(timeout=10)
        sleeper.alarm.rest()


def test_no_long_thing_is_missed_whatever_happens_at_the_moment_at_which_it_goes_off(sleeper: Sleeper) -> None:
    for step in range(200):
        sleeper.alarm.begin(time.monotonic())
        # Around the limit, from well before it to well after it.
        time.sleep(LIMIT_S * (0.9 + 0.2 * (step % 20) / 20) / 8 if step % 8 else LIMIT_S)
        if step % 3:
            sleeper.alarm.rest()
    while sleeper.heard.acquire(blocking=False):
        pass
    sleeper.alarm.begin(time.monotonic())
    assert sleeper.heard.acquire(timeout=10)


def test_signals_are_handled_while_it_is_waited_for() -> None:
    alarm, heard = Alarm(LIMIT_S), threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.set())

    def signals() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        if heard.wait(10):
            alarm.ring()

    thread = threading.Thread(target=signals)
    try:
        thread.start()
        alarm.wait()
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
        alarm.close()
    assert heard.is_set()
