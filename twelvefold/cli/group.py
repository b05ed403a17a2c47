"""The typer group that imports a command's module only when that command is called.

Owns how a name becomes a command and how the list of commands is shown; the list itself is `commands`.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from .commands import BY_NAME, overview
from .output import write


class PipeClosed(BaseException):
    """The reader of our output has gone. Not an Exception, as typer would turn it into exit status 1."""


class LazyGroup(TyperGroup):
    """A group whose commands are known by name, and made when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, in the order of the list."""
        return list(BY_NAME)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of this name, its module imported now; None where there is none."""
        if cmd_name not in self.commands and cmd_name in BY_NAME:
            self.commands[cmd_name] = load_command(cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command of the first argument; raises a usage error that names those spelled alike."""
        if args[0] not in BY_NAME:
            from difflib import get_close_matches

            close = get_close_matches(args[0], list(BY_NAME), n=2)
            hint = f" Did you mean {' or '.join(f'`{name}`' for name in close)}?" if close else ""
            ctx.fail(f"there is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the overview that `twelvefold --help` shows without typer."""
        formatter.write(overview())

    def invoke(self, ctx: Any) -> Any:
        """Run the command, with a closed pipe carried past typer's own handling."""
        try:
            if ctx.params.get("version"):
                from twelvefold import __version__

                write(f"twelvefold {__version__}")
                return 0
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise PipeClosed from error


class PlainCommand(TyperCommand):
    """A command whose help names values as people do, not by Python's types."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line after the command's name."""
        pieces = ["[OPTIONS]"]
        for parameter in self.get_params(ctx):
            if parameter.param_type_name == "argument":
                word = _word(parameter) if parameter.required else f"[{_word(parameter)}]"
                pieces.append(word + "..." if parameter.nargs == -1 else word)
        return pieces

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write what the command takes, arguments first."""
        for title, records in help_records(self, ctx).items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _word(argument: Any) -> str:
    """Return the one word that stands for an argument, without marks for optional or repeated ones."""
    word = str(argument.metavar or argument.name.upper()).removesuffix("...")
    return word[1:-1] if word.startswith("[") and word.endswith("]") else word


#: A type at the end of an option, and the word that stands for its values.
_VALUES = {"str": "TEXT", "path": "PATH", "int": "N", "float": "N", "int range": "N", "float range": "N"}


def help_records(command: Any, ctx: Any) -> dict[str, list[tuple[str, str]]]:
    """Return names and texts of a command's arguments and options, as its help and the documentation show them."""
    found: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is None:
            continue
        names, text = record
        if parameter.param_type_name == "argument":
            found["Arguments"].append((_word(parameter), text))
        else:
            names = re.sub(r"<([a-z ]+)>$", lambda match: _VALUES.get(match[1], match[0]), names)
            found["Options"].append((names, text))
    return found


def load_command(name: str) -> Any:
    """Import the module of a command and make the command from its function."""
    entry = BY_NAME[name]
    function = getattr(import_module(f"{__package__}.{entry.module}"), entry.function)
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command(name, cls=PlainCommand, context_settings={"help_option_names": ["-h", "--help"]})(function)
    return typer.main.get_command(app)
