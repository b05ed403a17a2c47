"""The errors of models and prompts (E465 to E474).

Keeps: no error holds a key. What a service said is scrubbed of it and cut before it gets here.
"""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote

from ...eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class ModelNotUsable(TwelvefoldError):
    """The settings name a model that can't be made.

    `TWELVEFOLD_MODEL` names a model of the OpenAI-style service at `TWELVEFOLD_MODEL_URL`, or a backend and what it
    takes: `scripted:FILE`, `recorded:FILE`, `llm:NAME` (of the `llm` package), or a backend that an installed
    distribution offers by an entry point of the group `twelvefold.models`. `TWELVEFOLD_MODEL_KEY` is the name of the
    variable that holds the service's key.
    """

    code = "E465"
    exit_code = 2
    model: str
    problem: str
    remedy: str = ""

    def message(self) -> str:
        """Name the model and what is wrong."""
        return f"model {self.model} can't be used: {self.problem}"

    def help(self) -> str | None:
        """Tell what to set or install."""
        return self.remedy or None


@dataclass(eq=False)
class ModelUnreachable(TwelvefoldError):
    """No connection to the model's service came about, or it broke, each time that it was tried."""

    code = "E466"
    exit_code = 5
    model: str
    url: str
    problem: str
    attempts: int = 1

    def message(self) -> str:
        """Name model, address, what happened and how often it was tried."""
        times = f" ({self.attempts} attempts)" if self.attempts > 1 else ""
        return f"model {self.model} at {self.url} can't be reached: {self.problem}{times}"

    def help(self) -> str:
        """Show how to see whether the service is there."""
        return f"curl -i {quote(self.url)}"


@dataclass(eq=False)
class ModelRefused(TwelvefoldError):
    """The model's service answered with an error status.

    401 and 403 mean the key (the variable that TWELVEFOLD_MODEL_KEY names), 404 the model's name or the URL, 429 that
    too much was asked of it. 429 and 5xx were tried again, as long as the service asked to wait for, within the call's
    time.
    """

    code = "E467"
    model: str
    url: str
    status: int
    said: str
    attempts: int = 1

    def message(self) -> str:
        """Name model, status and what the service said."""
        times = f" ({self.attempts} attempts)" if self.attempts > 1 else ""
        return f"model {self.model} at {self.url} answered {self.status}{times}: {self.said or 'nothing more'}"

    def help(self) -> str | None:
        """Tell which setting the status speaks of."""
        return {
            401: "set the variable that TWELVEFOLD_MODEL_KEY names to a valid key",
            403: "set the variable that TWELVEFOLD_MODEL_KEY names to a key that may use this model",
            404: "check TWELVEFOLD_MODEL and TWELVEFOLD_MODEL_URL: twelvefold config",
        }.get(self.status)


@dataclass(eq=False)
class ModelTimeout(TwelvefoldError):
    """A model's reply wasn't complete within TWELVEFOLD_MODEL_TIMEOUT_S, retries included."""

    code = "E468"
    exit_code = 124
    model: str
    url: str
    timeout_s: float

    def message(self) -> str:
        """Name the model and how long it had."""
        return f"model {self.model} at {self.url} gave no whole reply within {self.timeout_s:g} s"

    def help(self) -> str:
        """Tell how to give it longer."""
        return f"export TWELVEFOLD_MODEL_TIMEOUT_S={self.timeout_s * 2:g}"


@dataclass(eq=False)
class ModelReplyUnreadable(TwelvefoldError):
    """What the model's service sent is no reply: cut off, not JSON, or of another shape, each time it was tried."""

    code = "E469"
    model: str
    url: str
    problem: str
    attempts: int = 1

    def message(self) -> str:
        """Name the model and what is wrong with its reply."""
        times = f" ({self.attempts} attempts)" if self.attempts > 1 else ""
        return f"the reply of model {self.model} at {self.url} can't be read{times}: {self.problem}"


@dataclass(eq=False)
class ModelAnswerInvalid(TwelvefoldError):
    """A model's answer didn't fit the schema that was asked for, nor did its repairs."""

    code = "E470"
    model: str
    problem: str
    answer: str
    repairs: int

    def message(self) -> str:
        """Name the model and where its last answer didn't fit."""
        return f"the answer of model {self.model} doesn't fit after {self.repairs} repairs: {self.problem}"


@dataclass(eq=False)
class PromptMissing(TwelvefoldError):
    """There is no prompt of this name, neither in the project's folders nor packaged.

    A prompt is a file NAME.md in a folder of TWELVEFOLD_PROMPTS, or in the project's `prompts/`; names have small
    letters, digits, `-` and `_`.
    """

    code = "E471"
    exit_code = 3
    name: str
    folders: tuple[str, ...]

    def message(self) -> str:
        """Name the prompt and where it was looked for."""
        return f"there is no prompt {self.name!r}" + (f" in {', '.join(self.folders)}" if self.folders else "")


@dataclass(eq=False)
class PromptInvalid(TwelvefoldError):
    """A prompt's file can't be read: its front matter, or braces in its text that aren't a declared variable's."""

    code = "E472"
    exit_code = 2
    path: str
    line: int
    problem: str

    def message(self) -> str:
        """Show file, line and problem."""
        return f"{self.path}:{self.line}: {self.problem}"


@dataclass(eq=False)
class PromptVariables(TwelvefoldError):
    """A prompt was filled in with other variables than its front matter declares.

    A project's own version of a prompt declares the same variables as the packaged one; it need not use all of them.
    """

    code = "E473"
    exit_code = 2
    name: str
    path: str
    missing: tuple[str, ...]
    unknown: tuple[str, ...]

    def message(self) -> str:
        """Name the prompt and the variables."""
        told = [f"{', '.join(self.missing)} missing"] if self.missing else []
        told += [f"{', '.join(self.unknown)} not declared"] if self.unknown else []
        return f"prompt {self.name} ({self.path}): {'; '.join(told)}"

    def help(self) -> str:
        """Tell where variables are declared."""
        return f"declare under `variables:` in the front matter of {self.path} exactly what it is given"


@dataclass(eq=False)
class NoSuchReply(TwelvefoldError):
    """A scripted or recorded model has no reply for this call: its script is at an end, or nothing like it is recorded.

    A recorded model answers only what was asked word for word in the run that it was recorded from.
    """

    code = "E474"
    exit_code = 3
    model: str
    problem: str

    def message(self) -> str:
        """Name the model and what it lacks."""
        return f"model {self.model} has no reply: {self.problem}"
