"""The file rules of one process, as data: where it may write, and which of the user's files it must not read.

Owns the list of places where secrets lie. Leaves how rules are kept to `confine`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

#: Below a user's home: keys, tokens, passwords, and what was typed.
_IN_HOME = (
    *(".ssh", ".gnupg", ".pki", ".password-store", ".netrc", ".git-credentials", ".pypirc", ".npmrc", ".yarnrc.yml"),
    *(".aws", ".azure", ".boto", ".s3cfg", ".kube", ".docker", ".terraform.d", ".terraformrc", ".vault-token"),
    *(".pgpass", ".my.cnf", ".mylogin.cnf", ".cargo/credentials", ".cargo/credentials.toml", ".gem/credentials"),
    *(".m2/settings-security.xml", ".config/gh", ".config/hub", ".config/glab-cli", ".config/gcloud", ".config/doctl"),
    *(".config/git/credentials", ".config/op", ".config/rclone", ".config/containers/auth.json", ".config/sops"),
    *(".config/Bitwarden", ".config/keepassxc", ".local/share/keyrings", ".local/share/kwalletd", ".gnome2/keyrings"),
    *(
        ".mozilla",
        ".thunderbird",
        ".config/google-chrome",
        ".config/chromium",
        ".config/BraveSoftware",
        ".config/vivaldi",
    ),
    *(".config/microsoft-edge", ".config/opera", ".config/Signal", ".electrum", ".bitcoin", ".ethereum"),
    *(".bash_history", ".zsh_history", ".zhistory", ".history", ".sh_history", ".ash_history", ".fish_history"),
    *(".local/share/fish/fish_history", ".python_history", ".node_repl_history", ".psql_history", ".mysql_history"),
    *(".sqlite_history", ".rediscli_history", ".lesshst", ".viminfo", ".local/state/bash/history"),
)
#: Variables that name such a place elsewhere.
_BY_VARIABLE = (
    *("GNUPGHOME", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "NETRC", "PGPASSFILE", "CLOUDSDK_CONFIG"),
    *("GH_CONFIG_DIR", "HISTFILE", "NPM_CONFIG_USERCONFIG", "PASSWORD_STORE_DIR"),
)


class FileRules(msgspec.Struct, frozen=True):
    """Where a process may write, whatever its user might, and what it must not read.

    A place is a file, or a folder with all that is in it. `read_denied` None: the secrets of this process's user.
    What may be written may be read, unless there is such a place in it.
    """

    write: tuple[Path, ...]
    read_denied: tuple[Path, ...] | None = None


def secret_places(homes: Iterable[Path], environ: Mapping[str, str], readable: Iterable[Path] = ()) -> tuple[Path, ...]:
    """Return where the secrets of a user with these homes lie, whether or not there are any.

    Places that are `readable`, or lie in what is, are left out.
    """
    opened = tuple(readable)
    places = [home / name for home in homes for name in _IN_HOME]
    places += [Path(environ[name]) for name in _BY_VARIABLE if environ.get(name, "").startswith("/")]
    kept = (place for place in places if not any(place.is_relative_to(one) for one in opened))
    return tuple(dict.fromkeys(kept))
