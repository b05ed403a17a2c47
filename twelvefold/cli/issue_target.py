"""What a TARGET on the command line means: an issue file, an issue on GitHub, or a sentence that says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..agents.github.address import IssueAddress
    from ..agents.job import Request
    from ..agents.response import ToolResponse
    from ..external import IssueFromOutside


def issue_of(target: str) -> tuple[str, str]:
    """Return name and text of the issue that a target means; raises TargetMissing, UnreadableIssue and GitHub's."""
    from ..agents.job import read_issue
    from ..errors import TargetMissing

    path = Path(target)
    if _is_there(path):
        return path.name, read_issue(path)
    external = external_issue(target)
    if external is not None:
        return external.name, external.text
    words = len(target.split())
    # "Correct the typo in README.md" is a sentence, "my issue.md" a file.
    if words < 2 or (words < 4 and path.suffix in (".md", ".txt")):
        raise TargetMissing(target)
    return "", target


def external_issue(target: str, *, publish: bool = False) -> IssueFromOutside | None:
    """Read the issue that a target like `owner/repo#12` names; None for another target.

    Raises UsageInvalid where another target is to be published on GitHub, and what GitHub says.
    """
    address = external_address(target)
    if address is None:
        if publish:
            from ..errors import UsageInvalid

            raise UsageInvalid("--publish is for issues on GitHub, such as owner/repo#12", "twelvefold run")
        return None
    from ..external import issue_from_outside

    return issue_from_outside(address, offered=publish)


def external_address(target: str) -> IssueAddress | None:
    """Return the issue on GitHub that a target names, None where it is a file or anything else."""
    if "#" not in target and "://" not in target:
        return None  # most targets, which need no pattern to be made for it
    from ..agents.github.address import issue_address

    return None if _is_there(Path(target)) else issue_address(target)


def show_refusal(refusal: ToolResponse, request: Request, *, as_json: bool) -> int:
    """Show why an issue gets no run, as the end of one that began is shown; return the exit status."""
    from ..agents.job_report import unneeded_report
    from .output import write_json
    from .run_end import exit_of, show_document

    words = refusal.message or refusal.error or ""
    document = unneeded_report(refusal.outcome or "failed", words, request.repo, request.base)
    write_json(document) if as_json else show_document(document)
    return exit_of(document)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False  # longer than a file's name can be
