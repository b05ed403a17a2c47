"""`twelvefold explain`: what an error code means and how such an error is mended."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..error_index import all_errors, explanation
from ..errors import ErrorCodeUnknown
from .output import Style, write, write_json, write_table


def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="CODE", help="The code, such as E101; without it all codes are listed.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Explain an error code, such as E101.

    With --json the keys are code, name, exit_code, summary, explanation.
    """
    entries = [
        {
            "code": cls.code,
            "name": cls.__name__,
            "exit_code": cls.exit_code,
            "summary": explanation(cls).split("\n\n", 1)[0].replace("\n", " "),
            "explanation": explanation(cls),
        }
        for cls in all_errors()
    ]
    if code is None:
        if as_json:
            write_json(entries)
        else:
            write_table(entries, ("code", "name", "summary"), empty="no error codes")
        return
    wanted = code.strip().upper()
    wanted = wanted if wanted.startswith("E") else f"E{wanted}"
    found = [entry for entry in entries if entry["code"] == wanted]
    if not found:
        raise ErrorCodeUnknown(code)
    if as_json:
        write_json(found[0])
        return
    style = Style(sys.stdout)
    for entry in found:
        write(style.bold(f"{entry['code']}: {entry['name']}") + style.dim(f"  (exit status {entry['exit_code']})"))
        write(f"\n{entry['explanation']}")
