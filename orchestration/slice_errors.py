"""The errors of slices, stages and hierarchies, the façades over plans (E370 to E379)."""

from __future__ import annotations

from dataclasses import dataclass

from ..eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class SlicesInvalid(TwelvefoldError):
    """Slices of work can't be carried out as they are told: two have one name, or one needs a slice that isn't there.

    Each slice has an `id` of its own, may depend on others by `depends_on`, and needs an agent: its own, or one of
    those that the call gives.
    """

    code = "E370"
    exit_code = 2
    slice: str
    problem: str
    what: str = "slice"

    def message(self) -> str:
        """Name the slice, or subtask, and what is wrong with it."""
        return f"the {self.what} {self.slice!r}: {self.problem}" if self.slice else self.problem

    def help(self) -> str:
        """Show whole slices."""
        if self.what == "subtask":
            return 'subtasks look so: [{"title": "walls"}, {"title": "roof", "depends_on": ["1"]}]'
        return 'slices look so: [TaskSlice("load", {"n": 1}), TaskSlice("sum", depends_on=["load"])]'


@dataclass(eq=False)
class SlicesCyclic(TwelvefoldError):
    """Slices of work, or subtasks, need each other in a circle, so that none of them could ever begin."""

    code = "E371"
    exit_code = 2
    cycle: tuple[str, ...]

    def message(self) -> str:
        """Name the circle."""
        return "they need each other in a circle: " + " needs ".join(map(repr, self.cycle))

    def help(self) -> str:
        """Tell how it is broken."""
        return f"take {self.cycle[1]!r} out of what {self.cycle[0]!r} depends on, or merge the two"


@dataclass(eq=False)
class PatternUnsuitable(TwelvefoldError):
    """A pattern was asked for that can't keep what the slices say: their order, their effects or their undoing."""

    code = "E372"
    exit_code = 2
    pattern: str
    problem: str

    def message(self) -> str:
        """Name the pattern and what it can't keep."""
        return f"the pattern {self.pattern} doesn't fit: {self.problem}"

    def help(self) -> str:
        """Name the call that finds one that fits."""
        return "use execute_auto_pattern, or the pattern that recommend(slices, agents) gives with its reason"


@dataclass(eq=False)
class StageInvalid(TwelvefoldError):
    """A stage of a pipeline can't be run as it is told: it has no bus, a wrong place, or a bound that can't be kept."""

    code = "E373"
    exit_code = 2
    stage: str
    problem: str

    def message(self) -> str:
        """Name the stage and what is wrong with it."""
        return f"the stage {self.stage!r}: {self.problem}"

    def help(self) -> str:
        """Show both kinds of stages."""
        return 'stages look so: PipelineStage("clean", clean), PipelineStage("review", agent="reviewer") with bus=…'


@dataclass(eq=False)
class TaskUnclear(TwelvefoldError):
    """A hierarchy was asked for something that it can't begin with: a task without text, a role that there isn't.

    A task is a text, or an object with `text`, and `repo`, `base`, `override` or `subtasks`. Roles are primary,
    secondary, tertiary and aggregation; `max_depth` is at least 1, as the primary agent answers with a plan.
    """

    code = "E374"
    exit_code = 2
    problem: str

    def message(self) -> str:
        """Tell what is wrong."""
        return self.problem

    def help(self) -> str:
        """Show a whole task."""
        return 'tasks look so: {"text": "Rename the option", "repo": "../cite", "subtasks": [{"title": "…"}]}'
