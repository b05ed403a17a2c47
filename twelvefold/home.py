"""Where Twelvefold keeps its files: the rule that finds a project's home, and the making of one.

A home holds log, blobs, stores and workspaces; sockets lie elsewhere (the runtime folder). It is the nearest
`.twelvefold/` upwards that belongs to us, else a folder below the user's state folder named for the folder that holds
the repository: sister repositories share it, and `git clean -fdx` cannot delete it. Finding one writes nothing.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from .errors import HomeUnusable
from .eventstore.presence import is_there

FOLDER_NAME = ".twelvefold"


def project_home(cwd: Path) -> Path | None:
    """Return the nearest `.twelvefold/` at or above cwd, or None.

    One that belongs to another user is passed over, so that nobody can plant a home above ours (in `/tmp`, say).
    """
    for folder in (cwd, *cwd.parents):
        candidate = folder / FOLDER_NAME
        try:
            found = candidate.stat()
        except OSError:
            continue
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
            return candidate
    return None


def sisters_folder(cwd: Path) -> Path:
    """Return the folder that holds the repository around cwd, or cwd itself where it lies in no repository."""
    for folder in (cwd, *cwd.parents):
        if (folder / ".git").exists():
            return folder.parent
    return cwd


def state_home(cwd: Path, environ: Mapping[str, str]) -> Path:
    """Return the home below the user's state folder that all repositories beside cwd's share."""
    given = environ.get("XDG_STATE_HOME", "")
    # The XDG rules tell to ignore a relative path.
    state = Path(given) if Path(given).is_absolute() else user_folder(environ) / ".local" / "state"
    digest = hashlib.sha256(os.fsencode(sisters_folder(cwd))).hexdigest()
    return state / "twelvefold" / digest[:16]


def user_folder(environ: Mapping[str, str]) -> Path:
    """Return the user's own folder: `$HOME`, else what the system's user list says."""
    given = environ.get("HOME", "")
    return Path(given) if Path(given).is_absolute() else Path("~").expanduser()


def make_home(home: Path) -> Path:
    """Make a home (0700, ignored by git) where there is none; raises HomeUnusable.

    A folder that was there already and isn't called `.twelvefold` is somebody's: it is used, but neither its mode nor
    what git sees of it changes.
    """
    try:
        ours = home.name == FOLDER_NAME or not is_there(home)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = home.stat()
        if found.st_uid != os.getuid():
            raise HomeUnusable(str(home), f"it belongs to user {found.st_uid}, not to you ({os.getuid()})")
        if ours and stat.S_IMODE(found.st_mode) & 0o077:
            home.chmod(0o700)
        ignore = home / ".gitignore"
        if ours and not is_there(ignore):
            ignore.write_text("# Log, blobs and workspaces of Twelvefold: nothing here belongs into a commit.\n*\n")
    except OSError as error:
        raise HomeUnusable(str(home), error.strerror or str(error)) from error
    return home
