"""The errors of work that has nobody to do it (E0xx)."""

from __future__ import annotations

from dataclasses import dataclass

from .eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class AgentsMissing(TwelvefoldError):
    """No process serves a queue which the work needs, so its tasks would wait for ever.

    Add a line for the agent to the Procfile and start `up` again. Where there is no `up`, `twelvefold run` starts the
    built-in job's agents, and a hierarchy those whose class it is told; agents of plans and slices have to be there.
    """

    code = "E013"
    exit_code = 5
    queues: tuple[str, ...]
    home: str
    remedy: str = "twelvefold down    # then `run` starts what it needs; or add lines for these agents to the Procfile"

    def message(self) -> str:
        """Name the queues and the home."""
        return f"what runs on {self.home} has no agent for: {', '.join(dict.fromkeys(self.queues))}"

    def help(self) -> str:
        """Tell the way out."""
        return self.remedy


@dataclass(eq=False)
class AgentsGone(TwelvefoldError):
    """A run waits for work that nobody will do: the supervisor has given the processes up, or has none for it.

    A process that ends again and again right after its start is given up. What it printed says why. A run that stands
    on an `up` stays open and goes on as soon as there are agents again; one that was started without an `up` is
    cancelled.
    """

    code = "E017"
    exit_code = 5
    queues: tuple[str, ...]
    places: tuple[str, ...]
    run: str
    home: str
    last_words: str
    cancelled: bool = False

    def message(self) -> str:
        """Name the work, who was given up, what they said last, and what has become of the run."""
        work = f"nobody is left to do {', '.join(self.queues)}" if self.queues else "what every run needs is gone"
        given_up = f"; the supervisor has given up {', '.join(self.places)}" if self.places else ""
        words = f" (its last words: {self.last_words})" if self.last_words else ""
        became = "was cancelled" if self.cancelled else "stays open, and goes on when there is"
        return work + given_up + words + (f"; run {self.run} {became}" if self.run else "")

    def help(self) -> str:
        """Show what the processes said, or what there is."""
        if not self.places:
            return "twelvefold ps    # then start, in the Procfile of the `up`, what is lacking"
        name = self.places[0].rpartition(".")[0] or self.places[0]
        return f"twelvefold logs {name}    # says why" + (
            "" if self.cancelled else f"; then: twelvefold restart {name}"
        )
