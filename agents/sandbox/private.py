"""A HOME and a TMPDIR of one's own, instead of the user's.

Owns which variables lead programs to the user's home, and where those go that look for an installed toolchain there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

#: Toolchains that lie in a user's home, by the variable that leads to them; they are read where they are.
_TOOLCHAINS = {
    "CARGO_HOME": ".cargo",
    "RUSTUP_HOME": ".rustup",
    "GOMODCACHE": "go/pkg/mod",
    "PYENV_ROOT": ".pyenv",
    "NVM_DIR": ".nvm",
    "RBENV_ROOT": ".rbenv",
    "SDKMAN_DIR": ".sdkman",
    "VOLTA_HOME": ".volta",
    "ASDF_DATA_DIR": ".asdf",
    "PYTHONUSERBASE": ".local",
    "HF_HOME": ".cache/huggingface",
    "LLM_USER_PATH": ".config/io.datasette.llm",
}
_XDG = {
    "XDG_CONFIG_HOME": ".config",
    "XDG_CACHE_HOME": ".cache",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
}


def private_environment(folder: Path, temporary: Path | None = None) -> dict[str, str]:
    """Make a home, and a folder for temporary files unless one is given, in `folder`; return the variables for them."""
    home = folder / "home"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if temporary is None:
        temporary = folder / "tmp"
        temporary.mkdir(mode=0o700, exist_ok=True)
    return {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        **{name: str(home / place) for name, place in _XDG.items()},
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }


def name_for_git(environ: Mapping[str, str], name: str, email: str) -> dict[str, str]:
    """Give git in a private home a name to commit with; return the variable by which it finds that."""
    file = Path(environ["HOME"]) / ".gitconfig"
    file.write_text(f"[user]\n\tname = {name}\n\temail = {email}\n")
    return {"GIT_CONFIG_GLOBAL": str(file)}


def toolchains(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which programs find what is installed in the user's home, though HOME is another one."""
    found = {name: home / place for name, place in _TOOLCHAINS.items() if name not in environ}
    return {name: str(path) for name, path in found.items() if path.is_dir()}
