"""The secrets by which orchestrator and supervisor prove who they are: fresh at each start of the bus.

They lie in `<home>/keys` (0700), each a file that only the user can read (0600). Agents are told no secret and their
sandbox does not reach the folder.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

#: The roles that need a secret.
SECRET_ROLES = ("orchestrator", "supervisor")


def key_path(home: Path, role: str) -> Path:
    """Return where the secret of a role lies."""
    return home / "keys" / role


def write_keys(home: Path) -> dict[str, str]:
    """Write a fresh secret for each role and return them by role; raises OSError."""
    folder = home / "keys"
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    fresh = {role: secrets.token_hex(32) for role in SECRET_ROLES}
    for role, secret in fresh.items():
        temporary = folder / f".{role}.{os.getpid()}"
        temporary.unlink(missing_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(secret)
        # Renamed into place: a reader finds the old secret or the new one, never a part.
        temporary.rename(folder / role)
    return fresh


def read_key(path: Path) -> str:
    """Return the secret in a key file, "" where there is none (yet); raises OSError where it can't be read."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
