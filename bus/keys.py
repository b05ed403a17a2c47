"""The secrets by which orchestrator and supervisor prove who they are: fresh at each start of the bus.

They lie in `<home>/keys` (0700), each a file that only the user can read (0600). Agents are told no secret and their
sandbox does not reach the folder.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from .errors import KeysUnusable, RoleRefused

#: The roles that need a secret.
SECRET_ROLES = ("orchestrator", "supervisor")


def key_path(home: Path, role: str) -> Path:
    """Return where the secret of a role lies."""
    return home / "keys" / role


def write_keys(home: Path) -> dict[str, str]:
    """Write a fresh secret for each role and return them by role. Raises KeysUnusable."""
    folder = home / "keys"
    fresh = {role: secrets.token_hex(32) for role in SECRET_ROLES}
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        for role, secret in fresh.items():
            _write(folder / role, secret)
    except OSError as error:
        raise KeysUnusable(str(folder), error.strerror or str(error)) from error
    return fresh


def _write(path: Path, secret: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(secret)
    # Renamed into place: a reader finds the old secret or the new one, never a part.
    temporary.rename(path)


def read_key(path: Path) -> str:
    """Return the secret in a key file, "" where there is none (yet). Raises RoleRefused where it can't be read."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise RoleRefused(path.name, f"its secret {path} cannot be read: {error}") from error
