"""The secrets by which orchestrator and supervisor prove who they are: fresh at each start of the bus.

A supervisor makes them and hands them on by a variable, KEYS_VARIABLE, which agents can't see: their sandbox keeps them
from looking into other processes. A bus without a supervisor writes them in `<home>/keys` (0700), each a file that only
the user can read (0600); agents of that user can, too.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from .errors import KeysUnusable, RoleRefused

#: The roles that need a secret.
SECRET_ROLES = ("orchestrator", "supervisor")


#: Where a supervisor tells the bus and the orchestrator the secrets.
KEYS_VARIABLE = "TWELVEFOLD_KEYS"


def fresh_keys() -> dict[str, str]:
    """Return a new secret for each role."""
    return {role: secrets.token_hex(32) for role in SECRET_ROLES}


def keys_text(keys: dict[str, str]) -> str:
    """Return secrets as a variable holds them."""
    return ",".join(f"{role}={secret}" for role, secret in keys.items())


def told_keys(text: str) -> dict[str, str] | None:
    """Return the secrets that a variable holds, None where it holds none for some role."""
    found = dict(part.partition("=")[::2] for part in text.split(","))
    return found if all(found.get(role) for role in SECRET_ROLES) else None


def remove_keys(home: Path) -> None:
    """Remove the files of secrets that hold no longer. Raises KeysUnusable."""
    try:
        for role in SECRET_ROLES:
            key_path(home, role).unlink(missing_ok=True)
    except OSError as error:
        raise KeysUnusable(str(home / "keys"), error.strerror or str(error)) from error


def key_path(home: Path, role: str) -> Path:
    """Return where the secret of a role lies."""
    return home / "keys" / role


def write_keys(home: Path) -> dict[str, str]:
    """Write a fresh secret for each role and return them by role. Raises KeysUnusable."""
    folder = home / "keys"
    fresh = fresh_keys()
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
