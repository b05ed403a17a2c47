"""The errors of tasks in forks (E525)."""

from __future__ import annotations

from dataclasses import dataclass

from ..eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class RecordedMiss(TwelvefoldError):
    """A task of a fork asked for something that is not in the record of the run that it was forked from.

    A fork answers each layer of effects (`model`, `tools`) that isn't live from that record, and from nothing else:
    where today's code asks a model something else, or calls a tool otherwise, the task fails with the reason
    `recorded_miss`, rather than doing it for real.
    """

    code = "E525"
    exit_code = 1
    layer: str
    name: str
    key: str
    run: str

    def message(self) -> str:
        """Name what was asked for, and where it isn't."""
        what = "the model" if self.layer == "model" else "a tool or another effect"
        return f"{what}, {self.name}, was asked for what run {self.run} has not recorded of this task ({self.key})"

    def help(self) -> str:
        """Say how it is done for real."""
        return f"to have it done for real, fork with that layer live: twelvefold fork {self.run} --live {self.layer} …"
