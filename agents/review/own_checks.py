"""All checks that a review makes by itself, with nothing installed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from .change import Change
from .files import check_files
from .finding import Finding
from .lines import check_lines
from .rules import Rules
from .secrets import check_secrets
from .syntax import check_syntax
from .tests_kept import check_tests

Check = Callable[[Change, Rules], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (check_syntax, check_secrets, check_lines, check_tests, check_files)


def own_findings(change: Change, rules: Rules) -> list[Finding]:
    """Return what the checks find in a change."""
    return [printable(finding) for check in CHECKS for finding in check(change, rules)]


def printable(finding: Finding) -> Finding:
    """Return a finding that can be written as JSON, also where a file's name isn't UTF-8."""
    file, message = (
        text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        for text in (finding.file, finding.message)
    )
    return msgspec.structs.replace(finding, file=file, message=message)
