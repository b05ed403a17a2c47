"""`twelvefold config`: the effective settings, and for each where its value came from."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from ..config_manager import ConfigManager
from ..settings import MASK, SETTINGS, Settings, load_settings, masked, runtime_folder
from .output import write_json, write_jsonl, write_table


def config(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a line.")] = False,
) -> None:
    """Show the effective settings and where each came from.

    Settings come from the command line, then the environment, then the `.env` file, then [settings] of the project
    file `twelvefold.toml`, then a default. Other variables of these files are listed too, as processes get them;
    secrets are masked, and so are passwords in URLs. The keys with --json are name, value, origin (command line,
    environment, env file, project file, default), source (the exact option, variable, file or rule; null for a plain
    default) and help.
    """
    settings = load_settings()
    rows = [*_own(settings), *_others(settings), *_github(settings)]
    if as_json:
        write_json(rows)
    elif as_jsonl:
        for row in rows:
            write_jsonl(row)
    else:
        write_table(rows, ("name", "value", "origin", "source"), empty="no settings")


def _own(settings: Settings) -> list[dict[str, Any]]:
    """List Twelvefold's own settings."""
    rows = []
    for setting in SETTINGS:
        value, origin = getattr(settings, setting.field), settings.origins[setting.field]
        if setting.field == "runtime_dir":
            value = runtime_folder(settings)
        if isinstance(value, tuple):
            value = ("," if setting.field == "model_price" else os.pathsep).join(map(str, value))
        elif value is not None and not isinstance(value, str | int | float):
            value = str(value)
        if isinstance(value, str):
            value = masked("", value) or None
        rows.append(
            {
                "name": setting.variable,
                "value": value,
                "origin": origin.kind,
                "source": origin.name or None,
                "help": setting.doc,
            }
        )
    return rows


def _github(settings: Settings) -> list[dict[str, Any]]:
    """List the token by which GitHub is asked, where the environment has one: the files' ones are listed already."""
    from ..agents.github.access import access_from

    named = access_from(os.environ).token_from
    if not named or named in ConfigManager(settings.project / ".env").names():
        return []
    help = "token by which GitHub is asked and published to"
    return [{"name": named, "value": MASK, "origin": "environment", "source": named, "help": help}]


def _others(settings: Settings) -> list[dict[str, Any]]:
    """List the other variables that the files give to processes, overridden by the environment."""
    known = {setting.variable for setting in SETTINGS}
    manager = ConfigManager(settings.project / ".env")
    rows = []
    for name in manager.names():
        origin = manager.origin(name)
        if name in known or origin is None:
            continue
        value = masked(name, manager.get(name) or "")
        rows.append({"name": name, "value": value, "origin": origin.kind, "source": origin.name, "help": None})
    return rows
