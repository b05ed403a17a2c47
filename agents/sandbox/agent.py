"""The file rules of an agent's process: which places are its own, and the moment from which on it has no others.

Owns what an agent may write, and which agents are trusted. Leaves the rules' enforcement to `confine`. Keeps: nobody's
code has been imported before; what a trusted agent runs is all in this package.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...orchestration.private_folders import make_private
from ..agent_settings import AgentSettings
from ..journal import AgentPlaces
from .confine import Containment, Reads, confine, homes_of_user
from .errors import NotContained, WritableMissing
from .private import private_environment, toolchains
from .reading import survey
from .rules import FileRules, secret_places

#: Agents that write in the user's repositories or push for the user, and run nobody's code.
TRUSTED = frozenset(
    {"twelvefold.agents.publisher:PublisherAgent", "twelvefold.agents.github.pull_request:PullRequestAgent"}
)
#: Variables that lead to those who act for the user.
_HELPERS = ("SSH_AUTH_SOCK", "SSH_AGENT_PID", "GPG_AGENT_INFO", "DBUS_SESSION_BUS_ADDRESS")

#: The rules about secrets that forks share, and the places that they are about.
_prepared: list[tuple[Reads, tuple[Path, ...]]] = []


#: Not empty while this process tries how it is to be an agent and must not be bound.
_rehearsing: list[bool] = []


@contextmanager
def rehearsed() -> Iterator[None]:
    """Have `contain_agent` do all but the last step within; the environment is as before afterwards."""
    before = dict(os.environ)
    _rehearsing.append(True)
    try:
        yield
    finally:
        _rehearsing.pop()
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def prepare() -> None:
    """Make the rules about secrets once for all agents that are forked from this process; OSError where there are none.

    Those are as the file system was then; an agent that finds it changed makes its own.
    """
    while _prepared:
        before, _ = _prepared.pop()
        if before.ruleset is not None:
            before.ruleset.close()
    secrets = _secrets(())
    _prepared.append((Reads(survey(secrets)), secrets))


def contain_agent(target: str, home: Path, instance: str, settings: AgentSettings) -> Containment:
    """Give this process, which has one thread, a HOME and a TMPDIR of its own and bind it to its file rules.

    Where the user wants no rules, or the agent is trusted, nothing is done. Raises WritableMissing, OSError, and
    NotContained where rules are required that the kernel can't keep.
    """
    if settings.sandbox == "off":
        return Containment(False, "the sandbox is switched off")
    if target in TRUSTED:
        return Containment(False, "this agent publishes into repositories")
    write = _own_places(AgentPlaces(home), instance)
    before = dict(os.environ)
    own, temporary = make_private(home, instance, before.get("TMPDIR") or "/tmp")
    reads, secrets = _prepared[0] if _prepared and not settings.readable else (None, _secrets(settings.readable))
    os.environ.update(private_environment(own, temporary))
    tempfile.tempdir = None  # found before, by the user's TMPDIR
    for user_home in homes_of_user(before)[:1]:
        os.environ.update({**toolchains(user_home, before), "TWELVEFOLD_USER_HOME": str(user_home)})
    for name in _HELPERS:
        os.environ.pop(name, None)
    places = [*write, own / "home", temporary, *_given(settings.writable)]
    done = confine(FileRules(tuple(places), secrets), reads, bind=not _rehearsing)
    if settings.sandbox == "required" and not done.contained:
        raise NotContained(done.reason)
    return done


def _secrets(readable: Sequence[Path]) -> tuple[Path, ...]:
    return secret_places(homes_of_user(os.environ), os.environ, [one.expanduser().absolute() for one in readable])


def _own_places(places: AgentPlaces, instance: str) -> list[Path]:
    """Make the folders under the home in which agents work, and return them."""
    found = [places.workspaces, places.stores, places.patches, places.cache, places.blobs / "incoming" / instance]
    for folder in found:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


def _given(writable: Sequence[Path]) -> list[Path]:
    """Return the user's own places, made where they aren't there: rules stand on what is."""
    found = [place.expanduser() for place in writable]
    for place in found:
        try:
            if not place.exists():
                place.mkdir(parents=True)
        except OSError as error:
            raise WritableMissing(str(place), error.strerror or str(error)) from error
    return found
