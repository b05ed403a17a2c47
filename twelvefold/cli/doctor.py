"""`twelvefold doctor`: what could keep Twelvefold from working here, each finding with its fix."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer

from ..doctor import Finding, examine
from ..settings import load_settings
from .output import Style, note, write, write_json, write_jsonl


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a line.")] = False,
) -> int:
    """Examine this machine and home; each finding has a fix.

    The exit status is 1 where there is a problem; `info` tells what is good to know and needs no action.
    With --json each finding has the keys check, status (ok, info, problem), message and fix (null where all is well).
    """
    findings = examine(load_settings())
    if as_json:
        write_json([msgspec.to_builtins(finding) for finding in findings])
    elif as_jsonl:
        for finding in findings:
            write_jsonl(finding)
    else:
        _write_lines(findings)
    problems = sum(finding.status == "problem" for finding in findings)
    if not (as_json or as_jsonl):
        note(f"{problems} problem{'' if problems == 1 else 's'} found" if problems else "no problems found")
    return 1 if problems else 0


def _write_lines(findings: list[Finding]) -> None:
    """Write one line a finding, its fix below it."""
    style = Style(sys.stdout)
    paint = {"ok": style.green, "info": style.cyan, "problem": style.red}
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        label = paint[finding.status](f"{finding.status:<7}")
        first, *rest = finding.message.split("\n")
        write(f"{label}  {style.bold(f'{finding.check:<{width}}')}  {first}")
        indent = " " * (width + 11)
        for line in rest:
            write(indent + line)
        if finding.fix:
            write(f"{indent}{style.cyan('fix')}: {finding.fix}")
