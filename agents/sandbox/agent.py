"""The file rules of an agent's process: which places are its own, and the moment from which on it has no others.

Owns what an agent may write, and which agents are trusted. Leaves the rules' enforcement to `confine`. Keeps: nobody's
code has been imported before; what a trusted agent runs is all in this package.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ...orchestration.private_folders import make_private
from ..agent_settings import AgentSettings
from ..journal import AgentPlaces
from .confine import Containment, Reads, Writes, confine, homes_of_user
from .errors import NotContained, WritableMissing
from .private import private_environment, toolchains
from .project import Project, project_places
from .reading import survey
from .rules import FileRules, secret_places

#: Agents that write in the user's repositories or push for the user, and run nobody's code.
TRUSTED = frozenset(
    {"twelvefold.agents.publisher:PublisherAgent", "twelvefold.agents.github.pull_request:PullRequestAgent"}
)
#: Agents of this package: they write in workspaces only.
OURS = "twelvefold."
#: Variables that lead to those who act for the user.
_HELPERS = ("SSH_AUTH_SOCK", "SSH_AGENT_PID", "GPG_AGENT_INFO", "DBUS_SESSION_BUS_ADDRESS")


class _Prepared(NamedTuple):
    """What forks share: the rules about secrets, the places that those are about, and what leads to the user's home;
    the places of a home that all agents write, and those of the project.
    """

    reads: Reads
    secrets: tuple[Path, ...]
    user: dict[str, str]
    home: Path
    writes: Writes
    project: Project


_prepared: list[_Prepared] = []


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


def prepare(home: Path, folder: Path) -> None:
    """Make once what the rules of all agents share that are forked from this process; OSError where there are none.

    Those agents work for a home, most of them from a folder. All is as the file system was then; an agent that finds it
    changed looks for itself.
    """
    let_go()
    secrets = _secrets(())
    _prepared.append(
        _Prepared(
            Reads(survey(secrets)),
            secrets,
            _of_user(os.environ),
            home,
            Writes(_shared_places(AgentPlaces(home))),
            Project(folder, home, homes_of_user(os.environ)),
        )
    )


def let_go() -> None:
    """Close what was made once for many, in the process that made it or in one that needs it no more."""
    while _prepared:
        before = _prepared.pop()
        before.writes.close()
        before.reads.close()


def contain_agent(target: str, folder: Path, home: Path, instance: str, settings: AgentSettings) -> Containment:
    """Give this process, which has one thread, a HOME and a TMPDIR of its own and bind it to its file rules.

    `folder` is where the agent is imported from: a user's own agent may write there too (see `project`). Where the user
    wants no rules, or the agent is trusted, nothing is done. Raises WritableMissing, OSError, and NotContained where
    rules are required that the kernel can't keep.
    """
    if settings.sandbox == "off":
        let_go()
        return Containment(False, "the sandbox is switched off")
    if target in TRUSTED:
        let_go()
        return Containment(False, "this agent publishes into repositories")
    known = _prepared[0] if _prepared and _prepared[0].home == home else None
    places = AgentPlaces(home)
    incoming = places.blobs / "incoming" / instance
    write = [incoming]
    writes = known.writes if known is not None and known.writes.stands() else None
    if writes is None:
        write += _shared_places(places)
    incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not target.startswith(OURS):
        write += _of_project(folder, home, known)
    own, temporary = make_private(home, instance, os.environ.get("TMPDIR") or "/tmp")
    if known is not None and not settings.readable:
        reads, secrets, user = known.reads, known.secrets, known.user
    else:
        reads, secrets, user = None, _secrets(settings.readable), _of_user(os.environ)
    for name, value in (*private_environment(own, temporary).items(), *user.items()):
        os.environ[name] = value
    tempfile.tempdir = None  # found before, by the user's TMPDIR
    for name in _HELPERS:
        os.environ.pop(name, None)
    write += [own / "home", temporary, *_given(settings.writable)]
    done = confine(FileRules(tuple(write), secrets), reads, writes, bind=not _rehearsing)
    if not _rehearsing:
        let_go()
    if settings.sandbox == "required" and not done.contained:
        raise NotContained(done.reason)
    return done


def _of_project(folder: Path, home: Path, known: _Prepared | None) -> list[Path]:
    """Return the places of the agent's project, which was looked at before in most cases."""
    if known is not None and known.project.folder == folder.absolute() and known.project.stands():
        return known.project.places
    return project_places(folder, home, homes_of_user(os.environ))


def _of_user(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that lead to the user's home and to the toolchains in it."""
    homes = homes_of_user(environ)
    return {**toolchains(homes[0], environ), "TWELVEFOLD_USER_HOME": str(homes[0])} if homes else {}


def _secrets(readable: Sequence[Path]) -> tuple[Path, ...]:
    return secret_places(homes_of_user(os.environ), os.environ, [one.expanduser().absolute() for one in readable])


def _shared_places(places: AgentPlaces) -> list[Path]:
    """Make the folders under the home in which all agents work, and return them."""
    found = [places.workspaces, places.stores, places.patches, places.cache]
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
