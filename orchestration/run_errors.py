"""The errors of controlling runs (E360 to E369): budgets, and what waits for a human."""

from __future__ import annotations

from dataclasses import dataclass

from ..eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class BudgetInvalid(TwelvefoldError):
    """A run's budget has a bound that there is not, or one that is no number.

    The bounds are `tasks` (attempts), `wall_s` (seconds from the request on), `tokens` and `usd` (what model calls
    report). One that is passed stops the run: `failed`, reason `budget`.
    """

    code = "E360"
    exit_code = 2
    bound: str
    problem: str

    def message(self) -> str:
        """Name the bound and what is wrong with it."""
        return f"the budget{' at `' + self.bound + '`' if self.bound else ''}: {self.problem}"

    def help(self) -> str:
        """Show a whole budget."""
        return "a budget looks so: --budget tasks=100,wall_s=600,tokens=200000,usd=2.50"


@dataclass(eq=False)
class LevelsInvalid(TwelvefoldError):
    """The limits of a hierarchy's levels name a level that there isn't, or one is no number of tasks.

    The levels are `primary` (the run's own tasks), `secondary` (those of plans that they answer with) and `tertiary`
    (all below). A limit is how many tasks of its level may be out at once; one that isn't named is 1, 10 or 30.
    `depth_max` is how deep tasks may answer with plans.
    """

    code = "E365"
    exit_code = 2
    level: str
    problem: str

    def message(self) -> str:
        """Name the level and what is wrong with it."""
        return f"{self.level}: {self.problem}"

    def help(self) -> str:
        """Show all limits."""
        return 'limits look so: levels={"primary": 1, "secondary": 10, "tertiary": 30}'


@dataclass(eq=False)
class QuestionNotFound(TwelvefoldError):
    """Nothing that waits for a human has this id, and nothing ever had."""

    code = "E361"
    exit_code = 3
    question: str

    def message(self) -> str:
        """Name the id."""
        return f"nothing that waits for a human has the id {self.question!r}"

    def help(self) -> str:
        """Tell how to see what waits."""
        return "see what waits: twelvefold inbox"


@dataclass(eq=False)
class AlreadyAnswered(TwelvefoldError):
    """What was asked doesn't wait for a human any more: somebody has answered, its time is over, or its run ended."""

    code = "E362"
    exit_code = 4
    question: str
    run: str
    path: str
    became: str

    def message(self) -> str:
        """Name the question and what became of it."""
        return f"question {self.question} (task {self.path} of run {self.run}) is open no more: {self.became}"

    def help(self) -> str:
        """Tell how to see what came of it."""
        return f"see what came of it: twelvefold status {self.run}"


@dataclass(eq=False)
class AnswerInvalid(TwelvefoldError):
    """What waits for a human takes only certain answers, and this is none of them.

    An approval takes `approve` and `reject`; stuck work and effects in doubt `retry`, `done` and `give_up`; an agent's
    question what the agent lists, or anything where it lists nothing.
    """

    code = "E363"
    exit_code = 2
    question: str
    answer: str
    takes: tuple[str, ...]

    def message(self) -> str:
        """Name the answer and those that count."""
        return f"{self.answer!r} is no answer to question {self.question}, which takes {', '.join(self.takes)}"

    def help(self) -> str:
        """Show a command with an answer that counts."""
        if self.takes[0] in ("approve", "reject"):
            return f"twelvefold {self.takes[0]} {self.question}"
        return f"twelvefold answer {self.question} {self.takes[0]}"


@dataclass(eq=False)
class RunHasEnded(TwelvefoldError):
    """A run that has ended can't be paused, resumed, cancelled or answered: its end is final."""

    code = "E364"
    exit_code = 4
    run: str
    outcome: str
    asked: str

    def message(self) -> str:
        """Name the run, its end and what was asked of it."""
        return f"run {self.run} has ended ({self.outcome}), so it can't be {self.asked}"

    def help(self) -> str:
        """Tell how to see what became of it."""
        return f"see what became of it: twelvefold status {self.run}"
