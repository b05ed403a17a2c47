"""Agents of the benchmarks: they answer once, hold a task until they are told, do nothing, or take their time."""

from __future__ import annotations

import os
import time

import twelvefold as tf


class Ping(tf.BaseAgent):
    """Answers its first task at once and holds its second, so that every instance gets one."""

    answered = False

    def execute_task(self, task: str) -> tf.ToolResponse:
        """Answer with what it was asked."""
        if self.answered:
            wait(task)
        self.answered = True
        return tf.ToolResponse.succeeded(task)


class Hold(tf.BaseAgent):
    """Holds its task until it is told."""

    def execute_task(self, task: str) -> tf.ToolResponse:
        """Wait at the pipe that the task names."""
        wait(task)
        return tf.ToolResponse.succeeded(task)


class Step(tf.BaseAgent):
    """Does nothing."""

    def execute_task(self, task: str) -> tf.ToolResponse:
        """Answer with what it was asked."""
        return tf.ToolResponse.succeeded(task)


class Sleep(tf.BaseAgent):
    """Takes as many seconds as it is asked to."""

    def execute_task(self, task: float) -> tf.ToolResponse:
        """Sleep."""
        time.sleep(task)
        return tf.ToolResponse.succeeded(task)


def wait(pipe: str) -> None:
    """Sleep until somebody has the named pipe open for writing; a look now and then would be work of its own."""
    os.close(os.open(pipe, os.O_RDONLY))


class Deeds(tf.BaseAgent):
    """Does as many effects as it is asked to, two events each."""

    def execute_task(self, task: dict[str, int], context: tf.TaskContext) -> tf.ToolResponse:
        """Do them one after the other."""
        done = 0
        for n in range(task["deeds"]):
            done += context.effect("tool", "count", {"n": n}, lambda n=n: n, effect="idempotent")
        return tf.ToolResponse.succeeded(done)
