"""The folder that each instance has for itself, as its home and for temporary files, and that ends with it.

Owns where it lies below the home, and its removal. What is made of it is the agents' sandbox's. Keeps: what is removed
is what was made here: the only link that is followed is one that no contained agent can write.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from contextlib import suppress
from pathlib import Path

#: Sockets lie in temporary folders, and a socket's path ends at 107 bytes: beyond this, the folder lies elsewhere.
TMPDIR_LENGTH_MAX = 40
_ELSEWHERE = "tf-tmp-"
_UNSUPERVISED = re.compile(r".+-([0-9]+)-[0-9a-f]{8}")


def private_folder(home: Path, instance: str) -> Path:
    """Return where an instance's own folder lies, whether or not it is there."""
    return home / "private" / instance


def make_private(home: Path, instance: str, elsewhere: str) -> tuple[Path, Path]:
    """Make an instance's own folder; return that, and the folder for temporary files, which may lie in `elsewhere`.

    Raises OSError.
    """
    own = private_folder(home, instance)
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = own / "tmp"
    if temporary.is_symlink():
        temporary = temporary.readlink()
    elif len(str(temporary)) > TMPDIR_LENGTH_MAX:
        # Not by `tempfile`, which would make a generator of random numbers in each process.
        link, temporary = temporary, Path(elsewhere, f"{_ELSEWHERE}{os.urandom(8).hex()}").absolute()
        temporary.mkdir(mode=0o700)
        link.symlink_to(temporary)
    else:
        temporary.mkdir(mode=0o700, exist_ok=True)
    return own, temporary


def remove_private(home: Path, instance: str) -> None:
    """Remove what an instance that is gone had for itself; returns at once, as that may be much."""
    own = private_folder(home, instance)
    if os.path.lexists(own):
        threading.Thread(target=_remove, args=[own], daemon=True).start()


def remove_all_private(home: Path) -> None:
    """Remove what all instances had for themselves: none is left. Returns when it is done."""
    top = home / "private"
    with suppress(OSError), os.scandir(top) as entries:
        for entry in entries:
            _remove(Path(entry.path))
    with suppress(OSError):
        top.rmdir()


def empty_private(home: Path, instance: str) -> None:
    """Remove what this process had for itself, as far as its own file rules let it."""
    own = private_folder(home, instance)
    for folder in (own / "home", Path(os.path.realpath(own / "tmp"))):
        _open_and_remove(folder)


def remove_abandoned(home: Path) -> None:
    """Remove what instances without a supervisor had that are gone: their names hold their process's number."""
    with suppress(OSError), os.scandir(home / "private") as entries:
        for entry in entries:
            found = _UNSUPERVISED.fullmatch(entry.name)
            if found and not _lives(int(found[1])):
                _remove(Path(entry.path))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(own: Path) -> None:
    link = own / "tmp"
    if link.is_symlink():
        elsewhere = link.readlink()
        with suppress(OSError):
            if elsewhere.name.startswith(_ELSEWHERE) and elsewhere.lstat().st_uid == os.getuid():
                _open_and_remove(elsewhere)
    _open_and_remove(own)


def _open_and_remove(folder: Path) -> None:
    """Remove a folder, opening folders in it that are closed to their owner."""
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.lexists(folder):
        for top, names, _ in os.walk(folder):
            for name in names:
                inner = Path(top, name)
                if not inner.is_symlink():
                    with suppress(OSError):
                        inner.chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)
