"""`twelvefold completion`: the script that teaches a shell our commands and options."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import PurePath
from typing import Annotated

import typer

from .output import write


class Shell(StrEnum):
    """The shells for which there is a script."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    shell: Annotated[
        Shell | None, typer.Argument(metavar="SHELL", help="bash, zsh or fish; else what $SHELL says.")
    ] = None,
) -> None:
    """Print the completion script of a shell.

    Put it where the shell reads it at start, such as: twelvefold completion bash >> ~/.bashrc
    """
    # Documented by typer as its way to a script, though the module doesn't list the name as exported.
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    if shell is None:
        name = PurePath(os.environ.get("SHELL", "")).name
        shell = Shell(name) if name in list(Shell) else Shell.BASH
    write(get_completion_script(prog_name="twelvefold", complete_var="_TWELVEFOLD_COMPLETE", shell=shell.value))
