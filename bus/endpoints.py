"""Where the sockets of a home lie: `ipc://` paths in a folder that only its user can enter.

Owns the folder (mode 0700, owner checked, never followed through a symbolic link) and the length of the paths. Two
homes never share a folder, as its name is a hash of the home's real path.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from .errors import EndpointTooLong, EndpointUnsafe

#: `sun_path` is 108 bytes with its closing NUL (unix(7)).
PATH_BYTES_MAX = 107


@dataclass(frozen=True)
class Endpoints:
    """The addresses of one home: `ingress` (requests), `egress` (hints), `control` (the supervisor's commands).

    `blobs` is the folder of what is too large for events, which never travels over the bus.
    """

    ingress: str
    egress: str
    control: str
    blobs: Path

    @property
    def folder(self) -> Path:
        """The folder that holds the sockets."""
        return Path(self.ingress.removeprefix("ipc://")).parent


def endpoints(home: Path, runtime_dir: Path | None) -> Endpoints:
    """Return the endpoints of a home, its socket folder made and checked.

    `runtime_dir` is the folder below which each home has one of its own (`/tmp/twelvefold-<uid>` where it is None).
    Raises EndpointTooLong or EndpointUnsafe.
    """
    base = runtime_dir if runtime_dir is not None else Path(f"/tmp/twelvefold-{os.getuid()}")
    folder = base / hashlib.sha256(os.fsencode(os.path.realpath(home))).hexdigest()[:12]
    for name in ("in", "out", "control"):
        length = len(os.fsencode(folder / name))
        if length > PATH_BYTES_MAX:
            raise EndpointTooLong(str(folder / name), length)
    if runtime_dir is None:
        _own_folder(base)
    _own_folder(folder)
    return Endpoints(f"ipc://{folder}/in", f"ipc://{folder}/out", f"ipc://{folder}/control", home / "blobs")


def _own_folder(path: Path) -> None:
    """Make a folder that is ours alone, or find that it is one."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = path.lstat()
    except OSError as error:
        raise EndpointUnsafe(str(path), error.strerror or str(error)) from error
    if not stat.S_ISDIR(info.st_mode):
        raise EndpointUnsafe(str(path), "it is not a folder")
    if info.st_uid != os.getuid():
        raise EndpointUnsafe(str(path), f"it belongs to user {info.st_uid}")
    if stat.S_IMODE(info.st_mode) & 0o077:
        raise EndpointUnsafe(str(path), f"others may enter it (mode {stat.S_IMODE(info.st_mode):04o})")
