"""The errors of forking runs (E520 to E523)."""

from __future__ import annotations

from dataclasses import dataclass

from ..eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class ForkOutside(TwelvefoldError):
    """A run can't be forked at a position at which there is nothing of it.

    A fork goes on from how its run stood after the event at a position of the log: from the run's first event on, up to
    the log's last. `twelvefold log --run RUN` shows the positions.
    """

    code = "E520"
    exit_code = 2
    run: str
    at: int
    first: int
    head: int

    def message(self) -> str:
        """Say where the run lies, or the log ends."""
        if self.at > self.head:
            return f"position {self.at} is not in the log yet, whose last one is {self.head}"
        return f"run {self.run} begins at position {self.first}, after {self.at}"

    def help(self) -> str:
        """Show the positions of the run."""
        return f"see what there is: twelvefold log --run {self.run} --oneline"


@dataclass(eq=False)
class ForkEnded(TwelvefoldError):
    """A run can't be forked at a position at which it had ended: nothing was open that could go on.

    Fork it before its end. What was done up to the cut is kept as it is, what comes after it is decided and done again.
    """

    code = "E521"
    exit_code = 4
    run: str
    at: int
    outcome: str
    end: int
    before: int

    def message(self) -> str:
        """Say how and where it had ended."""
        return f"run {self.run} had ended by position {self.at}: {self.outcome} at {self.end}, so nothing would go on"

    def help(self) -> str:
        """Name the last position at which something was open."""
        return f"fork it before what brought it to its end: twelvefold fork {self.run} --at {self.before}"


@dataclass(eq=False)
class ForkChangeInvalid(TwelvefoldError):
    """What a fork is to be given in place of what its run was asked for doesn't fit.

    A change is a name and a value: `input.NAME` (or NAME alone) is a field of the run's input, `plan.steps.0.input`
    something in its plan, `budget.NAME` a bound, `labels.NAME` a label, `levels.NAME` a limit, `settings.NAME` a
    setting of agents, such as `settings.model`; `timeout_s` and `depth_max` are numbers.
    """

    code = "E522"
    exit_code = 2
    name: str
    problem: str

    def message(self) -> str:
        """Name the change and what is wrong with it."""
        return f"--set {self.name}: {self.problem}"

    def help(self) -> str:
        """Show changes that fit."""
        return (
            "changes look so: --set input.greeting=hi --set budget.tokens=200000 --set plan.steps.1.input='{\"n\": 2}'"
        )


@dataclass(eq=False)
class LayerUnknown(TwelvefoldError):
    """A fork was asked for a layer of effects that there is not.

    The layers are `model` (what models are asked) and `tools` (everything else that touches the world: tools,
    processes, git, shared state, other runs). A layer that isn't live is answered from the record of the forked run.
    """

    code = "E523"
    exit_code = 2
    layer: str

    def message(self) -> str:
        """Name the layer."""
        return f"there is no layer {self.layer!r}, only model and tools"

    def help(self) -> str:
        """Show how layers are named."""
        return "name those that are to be done for real: --live model,tools"
