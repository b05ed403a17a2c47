"""Every setting of Twelvefold, and where its value came from.

Owns the list of settings and their order of precedence: command line, environment, `.env` file, project file, default.
It is the only place that reads the environment; everything below gets plain values. Where the home lies is `home`'s
rule.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any, Literal

import msgspec

from .access import opening_command
from .agents.agent_settings import seconds
from .agents.repositories.rules import find_rules
from .errors import EnvFileInvalid, NotAccessible, SettingInvalid
from .home import FOLDER_NAME, project_home, sisters_folder, state_home
from .located_settings import locate, project_prompts
from .orchestration.home_lock import holder_of
from .project_file import FILE_NAME, project_settings
from .setting import AGENT_SETTINGS, SECONDS, Setting

OriginKind = Literal["default", "project file", "env file", "environment", "command line"]
Durability = Literal["full", "relaxed"]
_SECRET_WORDS = ("secret", "token", "passw", "passphrase", "api_key", "apikey", "credential", "bearer", "cookie")
_SECRET_ENDS = ("_key", "pass", "pwd", "_pat", "auth", "authorization", "access_key_id", "dsn")
#: What stands for a secret where settings are shown.
MASK = "********"
#: A password in a URL: `postgres://user:password@host/db`.
_URL_PASSWORD = re.compile(r"(?<=://)([^/?#@\s:]*):([^/?#\s]+)@")
#: A variable's name as every shell and program takes it; some tools use dots and hyphens.
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


class Origin(msgspec.Struct, frozen=True):
    """Where a value came from: the kind of place, and its exact name (a file, a variable, an option, a rule)."""

    kind: OriginKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The effective settings of one process. `origins` has one entry for each of the other fields."""

    home: Path
    runtime_dir: Path | None
    durability: Durability
    lease_s: float
    attempts_max: int
    stop_timeout_s: float
    timeout_s: float
    port: int
    model_url: str | None
    model: str | None
    model_key: str | None
    model_timeout_s: float
    model_context: int
    model_price: tuple[float, float] | None
    fixer_command: str | None
    fixer_timeout_s: float
    fixer_env: tuple[str, ...]
    prompts: tuple[Path, ...]
    repos: tuple[str, ...]
    repos_file: Path | None
    sandbox: str
    writable: tuple[Path, ...]
    readable: tuple[Path, ...]
    github_api_url: str
    github_wait_s: float
    project: Path
    env_file: Path | None
    origins: dict[str, Origin]


def _durability(text: str) -> str:
    if text not in ("full", "relaxed"):
        raise ValueError
    return text


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1_000_000:
        raise ValueError
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65_535:
        raise ValueError
    return value


def _folder(text: str) -> Path:
    if not text:
        raise ValueError
    return Path(text)


#: The settings that a user may give, in the order in which `config` and `.env.example` show them.
SETTINGS = (
    Setting("home", "TWELVEFOLD_HOME", "", "a folder", _folder, "folder of log, blobs, stores and workspaces"),
    Setting("runtime_dir", "TWELVEFOLD_RUNTIME_DIR", "", "a folder", _folder, "folder below which sockets lie"),
    Setting(
        "durability",
        "TWELVEFOLD_DURABILITY",
        "full",
        "`full` or `relaxed`",
        _durability,
        "`full`: an acknowledged event is on the disk; `relaxed`: a power cut may take the last moments",
    ),
    Setting(
        "lease_s",
        "TWELVEFOLD_LEASE_S",
        "10",
        SECONDS,
        seconds,
        "how long an agent may be silent before the bus asks for its end",
    ),
    Setting(
        "attempts_max",
        "TWELVEFOLD_ATTEMPTS_MAX",
        "5",
        "a whole number from 1",
        _count,
        "how often one delivery is tried before it is parked",
    ),
    Setting(
        "stop_timeout_s",
        "TWELVEFOLD_STOP_TIMEOUT_S",
        "5",
        SECONDS,
        seconds,
        "how long a process has to stop before it is killed",
    ),
    Setting(
        "timeout_s",
        "TWELVEFOLD_TIMEOUT_S",
        "30",
        SECONDS,
        seconds,
        "how long a client waits for the bus to answer",
    ),
    Setting(
        "port",
        "TWELVEFOLD_PORT",
        "5000",
        "a port from 1 to 65535",
        _port,
        "first PORT that `up` hands to the lines of a Procfile",
    ),
    *AGENT_SETTINGS,
)


def load_settings(
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    command_line: Mapping[str, tuple[str, str]] | None = None,
) -> Settings:
    """Work out the effective settings and where each came from; reads files, writes none.

    `command_line` maps a field to (option, value). Raises SettingInvalid, EnvFileInvalid, ProjectFileInvalid and
    NotAccessible.
    """
    environ = os.environ if environ is None else environ
    cwd = (Path.cwd() if cwd is None else cwd).absolute()
    found_home = project_home(cwd)
    project = found_home.parent if found_home else cwd
    env_file = project / ".env"
    in_file = read_env_file(env_file) if env_file.is_file() else {}
    project_file = project / FILE_NAME
    in_project = project_settings(project_file)
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for setting in SETTINGS:
        text, origin = _lookup(setting, command_line or {}, environ, (env_file, in_file), (project_file, in_project))
        values[setting.field], origins[setting.field] = _parsed(setting, text, origin), origin
    if values["home"] is None:
        values["home"] = found_home or state_home(cwd, environ)
        rule = f"nearest {FOLDER_NAME}/ upwards" if found_home else "state folder of the repository's folder"
        origins["home"] = Origin("default", rule)
    else:
        values["home"] = _anchored(values["home"], origins["home"], project, cwd)
    if values["runtime_dir"] is None:
        values["runtime_dir"], origins["runtime_dir"] = _runtime_default(environ, values["home"])
    else:
        values["runtime_dir"] = _anchored(values["runtime_dir"], origins["runtime_dir"], project, cwd)
    locate(values, lambda field, path: _anchored(path, origins[field], project, cwd))
    if not values["prompts"]:
        values["prompts"], rule = project_prompts(project)
        origins["prompts"] = Origin("default", rule)
    if values["repos_file"] is None:
        # A repository's own file comes last: it may forbid, but not permit what its user forbids.
        own = (project,) if found_home else ()
        values["repos_file"] = find_rules((*own, sisters_folder(cwd), values["home"], project))
    return Settings(
        project=project,
        env_file=env_file if env_file.is_file() else None,
        origins=origins,
        **values,
    )


def _lookup(
    setting: Setting,
    command_line: Mapping[str, tuple[str, str]],
    environ: Mapping[str, str],
    env_file: tuple[Path, Mapping[str, str]],
    project_file: tuple[Path, Mapping[str, str]],
) -> tuple[str, Origin]:
    """Find a setting's text by precedence; an empty variable counts as not set."""
    if setting.field in command_line:
        option, text = command_line[setting.field]
        return text, Origin("command line", option)
    if environ.get(setting.variable):
        return environ[setting.variable], Origin("environment", setting.variable)
    kinds: tuple[OriginKind, OriginKind] = ("env file", "project file")
    for kind, (path, values) in zip(kinds, (env_file, project_file), strict=True):
        if values.get(setting.variable):
            return values[setting.variable], Origin(kind, f"{path}")
    return setting.default, Origin("default", "")


def _parsed(setting: Setting, text: str, origin: Origin) -> Any:
    """Parse a text, or raise SettingInvalid that says how to get rid of it; an empty default becomes None."""
    if origin.kind == "default" and not text:
        return None
    try:
        return setting.parse(text)
    except (ValueError, KeyError):
        remedy = {
            "environment": f"unset {setting.variable}",
            "env file": removal(setting.variable, origin.name),
            "project file": f"${{EDITOR:-vi}} {quote(origin.name)}",
        }.get(origin.kind, f"give {origin.name} {setting.wanted}")
        shown = masked(setting.variable, text)
        raise SettingInvalid(setting.variable, shown, setting.wanted, str(origin), remedy) from None


def _anchored(path: Path, origin: Origin, project: Path, cwd: Path) -> Path:
    """Make a path absolute: one in a file counts from that file's folder, any other from cwd."""
    base = project if origin.kind in ("env file", "project file") else cwd
    return Path(os.path.normpath(base / path.expanduser()))


def runtime_folder(settings: Settings) -> Path:
    """Return the folder below which each home has one for its sockets."""
    return settings.runtime_dir or Path(f"/tmp/twelvefold-{os.getuid()}")


def _runtime_default(environ: Mapping[str, str], home: Path) -> tuple[Path | None, Origin]:
    """Return where the sockets of what is up lie, whose environment may be another one (a login's, or cron's).

    Else `$XDG_RUNTIME_DIR/twelvefold`; None, where that is not usable, lets the bus take its folder in /tmp.
    """
    try:
        holder = holder_of(home)
    except OSError:
        holder = None  # what is wrong with the home is said by whoever needs it
    if holder is not None and holder.runtime_dir:
        return Path(holder.runtime_dir), Origin("default", f"the running process {holder.pid}")
    given = environ.get("XDG_RUNTIME_DIR", "")
    if Path(given).is_absolute() and Path(given).is_dir():
        return Path(given) / "twelvefold", Origin("default", "XDG_RUNTIME_DIR")
    return None, Origin("default", "no usable XDG_RUNTIME_DIR")


def read_env_file(path: Path) -> dict[str, str]:
    """Return what a `.env` file says, in its order, `${NAME}` resolved.

    Raises EnvFileInvalid at the first line that is not `NAME=value`, and NotAccessible.
    """
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise NotAccessible(str(path), error.strerror or str(error), opening_command(path)) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise EnvFileInvalid(str(path), line, "", "the line is not UTF-8") from None
    for binding in parse_stream(io.StringIO(text)):
        named = binding.key is None or (_VARIABLE.fullmatch(binding.key) and binding.value is not None)
        if binding.error or not named:
            original = binding.original.string
            line = binding.original.line + len(original) - len(original.lstrip("\n"))
            source = original.strip("\n").split("\n", 1)[0]
            # What stands behind a `=` may be a secret.
            raise EnvFileInvalid(str(path), line, source.partition("=")[0] + "=…" if "=" in source else source)
    return {name: value or "" for name, value in dotenv_values(stream=io.StringIO(text)).items()}


def removal(variable: str, env_file: str) -> str:
    """Return the command that takes a variable out of a `.env` file."""
    return rf"sed -Ei '/^ *(export +)?{variable} *=/d' {quote(env_file)}"


def is_secret(name: str, value: str = "") -> bool:
    """Tell whether a variable's name, or a password in a URL that is its value, says that it must not be shown."""
    lowered = name.lower()
    by_name = any(word in lowered for word in _SECRET_WORDS) or lowered.endswith(_SECRET_ENDS)
    return by_name or _URL_PASSWORD.search(value) is not None


def masked(name: str, value: str) -> str:
    """Return a variable's value as it may be shown: a secret is masked whole, and of a URL its password."""
    if not value or not is_secret(name):
        return _URL_PASSWORD.sub(rf"\1:{MASK}@", value)
    return MASK
