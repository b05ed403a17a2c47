"""Agents of the benchmarks: one that answers once, and one that holds its task until it is told."""

from __future__ import annotations

import time
from pathlib import Path

import twelvefold as tf


class Ping(tf.BaseAgent):
    """Answers its first task at once and holds its second until a file appears, so that every instance gets one."""

    answered = False

    def execute_task(self, task: str) -> tf.ToolResponse:
        """Answer with what it was asked."""
        while self.answered and not Path(task).exists():
            time.sleep(0.1)
        self.answered = True
        return tf.ToolResponse.succeeded(task)


class Hold(tf.BaseAgent):
    """Holds its task until a file appears."""

    def execute_task(self, task: str) -> tf.ToolResponse:
        """Wait for the file that the task names."""
        while not Path(task).exists():
            time.sleep(0.02)
        return tf.ToolResponse.succeeded(task)
