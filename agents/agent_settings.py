"""What an agent process is told by its surroundings: which model, which prompts, which repositories, how confined.

Owns the variables' meaning and how each is read from text; `twelvefold/settings.py` shows them with where they came
from. Keeps: agents get plain values in `context.settings`, read once at the process's entry; a secret is named here,
never held (`model_key` is the name of the variable that holds the key).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from .errors import AgentSettingInvalid

if TYPE_CHECKING:
    from .journal import Ancestor, Journal

#: The name of a variable that may hold a key. Keys themselves have small letters or signs, and are so told apart.
_KEY_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
#: How an agent process may be confined: by file rules where the kernel has them, not at all, or never without.
SANDBOX_MODES = ("files", "off", "required")


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that agents see. The defaults are those of an agent tried without any.

    `model` names a model, or a backend and a model (`scripted:FILE`); `model_url` is the base URL of an OpenAI-style
    service; `model_key` the name of the variable with its key. Prices are US dollars per million tokens, None where
    nobody said. `prompts` are folders whose files come before the packaged prompts. `environ` is the process's own
    environment: what names a variable is looked up there, and nowhere else.
    """

    model_url: str = ""
    model: str = ""
    model_key: str = ""
    model_timeout_s: float = 300.0
    model_context: int = 32_000
    price_in: float | None = None
    price_out: float | None = None
    fixer_command: str = ""
    fixer_timeout_s: float = 1800.0
    fixer_env: tuple[str, ...] = ()
    prompts: tuple[Path, ...] = ()
    repos: tuple[str, ...] = ()
    repos_file: Path | None = None
    sandbox: str = "files"
    writable: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()
    environ: Mapping[str, str] = {}

    def __repr__(self) -> str:
        """Show all but the environment, which holds secrets."""
        shown = ((name, getattr(self, name)) for name in self.__struct_fields__ if name != "environ")
        return f"AgentSettings({', '.join(f'{name}={value!r}' for name, value in shown)})"


def seconds(text: str) -> float:
    """Read seconds greater than 0; raises ValueError."""
    value = float(text)
    if not 0 < value < 1e7:
        raise ValueError(text)
    return value


def tokens(text: str) -> int:
    """Read how many tokens a model takes at once; raises ValueError for fewer than any work needs."""
    value = int(text)
    if not 2000 <= value <= 100_000_000:
        raise ValueError(text)
    return value


def url(text: str) -> str:
    """Read an http or https URL; raises ValueError."""
    from urllib.parse import urlsplit

    parts = urlsplit(text.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or not text.strip().isprintable():
        raise ValueError(text)
    _ = parts.port  # raises where it is none
    return text.strip()


def price(text: str) -> tuple[float, float]:
    """Read two prices, `in,out`; raises ValueError."""
    first, second = (float(part) for part in text.split(","))
    if not (0 <= first < 1e6 and 0 <= second < 1e6):
        raise ValueError(text)
    return first, second


def key_variable(text: str) -> str:
    """Read the name of a variable in capitals; raises ValueError, so that a key given in its place is refused."""
    if not _KEY_VARIABLE.fullmatch(text):
        raise ValueError(text)
    return text


def folders(text: str) -> tuple[Path, ...]:
    """Read folders with colons between them."""
    return tuple(Path(part) for part in text.split(os.pathsep) if part)


def variables(text: str) -> tuple[str, ...]:
    """Read names of variables with commas between them; raises ValueError."""
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) for name in names):
        raise ValueError(text)
    return names


def places(text: str) -> tuple[str, ...]:
    """Read repositories with colons between them, each a path or `name=path`."""
    return tuple(part for part in text.split(os.pathsep) if part)


def sandbox(text: str) -> str:
    """Read how agents are confined; raises ValueError."""
    if text not in SANDBOX_MODES:
        raise ValueError(text)
    return text


#: Field of AgentSettings, its variable, how it is read, and what is wanted where that fails.
_READERS: tuple[tuple[str, str, Callable[[str], Any], str], ...] = (
    ("model_url", "TWELVEFOLD_MODEL_URL", url, "an http or https URL"),
    ("model", "TWELVEFOLD_MODEL", str, "the name of a model"),
    ("model_key", "TWELVEFOLD_MODEL_KEY", key_variable, "the name, in capitals, of the variable that holds the key"),
    ("model_timeout_s", "TWELVEFOLD_MODEL_TIMEOUT_S", seconds, "seconds greater than 0"),
    ("model_context", "TWELVEFOLD_MODEL_CONTEXT", tokens, "a whole number of tokens from 2000"),
    ("price", "TWELVEFOLD_MODEL_PRICE", price, "two prices, such as 0.15,0.60"),
    ("fixer_command", "TWELVEFOLD_FIXER_COMMAND", str, "a command"),
    ("fixer_timeout_s", "TWELVEFOLD_FIXER_TIMEOUT_S", seconds, "seconds greater than 0"),
    ("fixer_env", "TWELVEFOLD_FIXER_ENV", variables, "names of variables, such as ANTHROPIC_API_KEY,HOME"),
    ("prompts", "TWELVEFOLD_PROMPTS", folders, "folders"),
    ("repos", "TWELVEFOLD_REPOS", places, "repositories"),
    ("repos_file", "TWELVEFOLD_REPOS_FILE", Path, "a file"),
    ("sandbox", "TWELVEFOLD_SANDBOX", sandbox, "files, off or required"),
    ("writable", "TWELVEFOLD_WRITABLE", folders, "folders"),
    ("readable", "TWELVEFOLD_READABLE", folders, "files or folders"),
)


def agent_settings(environ: Mapping[str, str]) -> AgentSettings:
    """Return what an environment says; empty variables count as not set. Raises AgentSettingInvalid.

    Of a value that may be a secret the error shows nothing.
    """
    given: dict[str, Any] = {"environ": environ}
    for field, variable, read, wanted in _READERS:
        text = environ.get(variable, "")
        if not text:
            continue
        try:
            given[field] = read(text)
        except ValueError:
            raise AgentSettingInvalid(variable, wanted) from None
    if (prices := given.pop("price", None)) is not None:
        given["price_in"], given["price_out"] = prices
    return AgentSettings(**given)


#: Those of an agent that was told nothing.
NO_SETTINGS = AgentSettings()


class Pins(msgspec.Struct, frozen=True):
    """What a run's request says of settings, so that whoever joins agents which run already gets what they set.

    None: it says nothing of this one.
    """

    model_url: str | None = None
    model: str | None = None
    model_key: str | None = None
    model_timeout_s: float | None = None
    model_context: int | None = None
    price_in: float | None = None
    price_out: float | None = None
    fixer_command: str | None = None
    fixer_timeout_s: float | None = None
    prompts: tuple[str, ...] | None = None


def pins(settings: AgentSettings) -> dict[str, Any]:
    """Return what of these settings a run's request records; a URL with a password in it is left out."""
    given = {name: getattr(settings, name) for name in Pins.__struct_fields__}
    given["prompts"] = [str(folder) for folder in settings.prompts]
    if "@" in settings.model_url:
        del given["model_url"]
    return given


def settings_of_run(
    settings: AgentSettings, journal: Journal, run: str, ancestors: Sequence[Ancestor] = ()
) -> AgentSettings:
    """Return a process's settings with those in their place that the run was requested with, if any.

    A fork has those of the run that it comes from, and in their place what forks were given as `settings.NAME`.
    `ancestors` are the runs that it comes from, the nearest first.
    """
    said: dict[str, Any] = {}
    for one, until in [*((ancestor.run, ancestor.until) for ancestor in reversed(ancestors)), (run, None)]:
        first = journal.first(f"run.{one}")
        if first is None or (until is not None and first.position > until):
            continue
        data = first.data
        if ancestors:  # a fork's changes may be larger than an event
            from .journal import load

            data = load(data, journal)
        data = data if isinstance(data, dict) else {}
        if first.type == "run.requested":
            caller = data.get("caller")
            given = caller.get("settings") if isinstance(caller, dict) else None
        else:
            changes = data.get("set")
            changes = changes if isinstance(changes, dict) else {}
            given = {k.removeprefix("settings."): v for k, v in changes.items() if k.startswith("settings.")}
        said |= given if isinstance(given, dict) else {}
    if not said:
        return settings
    try:
        pinned = msgspec.convert(said, Pins)
    except msgspec.ValidationError as error:
        raise AgentSettingInvalid("run.requested", f"settings of the right types: {error}") from error
    changed = {name: value for name in Pins.__struct_fields__ if (value := getattr(pinned, name)) is not None}
    if "prompts" in changed:
        changed["prompts"] = tuple(Path(folder) for folder in changed["prompts"])
    return msgspec.structs.replace(settings, **changed)
