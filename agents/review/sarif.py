"""A review as a SARIF 2.1.0 log (Static Analysis Results Interchange Format, an OASIS standard).

Pure. One run for each tool, so that viewers show which tool says what, and a tool that failed is a run that did not
succeed, never an empty one that looks clean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from .finding import OWN, Finding, Review, ToolReport

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
#: Where a failed tool or an incomplete review is told.
_LEVELS = {"failed": "error", "skipped": "note", "ok": "note"}


def sarif(review: Review, *, version: str, information: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the log; `version` is that of the program that reviews, `information` more facts about the review."""
    own = ToolReport(name=OWN, status="ok", version=version)
    tools = [own, *review.tools]
    named = {one.name for one in tools}
    tools += [ToolReport(name=name, status="ok") for name in sorted({one.tool for one in review.findings} - named)]
    runs = [_run(tool, [one for one in review.findings if one.tool == tool.name]) for tool in tools]
    facts = {"verdict": review.verdict, "reason": review.reason, "omitted": review.omitted, **(information or {})}
    runs[0]["properties"] = {key: value for key, value in facts.items() if value is not None}
    if review.verdict == "unreviewed":
        runs[0]["invocations"][0]["executionSuccessful"] = False
        runs[0]["invocations"][0]["toolExecutionNotifications"] = [_told(review.reason, "error")]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": runs}


def _run(tool: ToolReport, findings: Sequence[Finding]) -> dict[str, Any]:
    rules = list(dict.fromkeys(one.rule for one in findings))
    first = {rule: next(one for one in findings if one.rule == rule) for rule in rules}
    driver: dict[str, Any] = {
        "name": tool.name,
        "rules": [{"id": rule, "shortDescription": {"text": first[rule].harm}} for rule in rules],
    }
    if tool.version:
        driver["version"] = tool.version
    invocation: dict[str, Any] = {"executionSuccessful": tool.status != "failed"}
    if tool.reason:
        invocation["toolExecutionNotifications"] = [_told(tool.reason, _LEVELS[tool.status])]
    return {
        "tool": {"driver": driver},
        "invocations": [invocation],
        "columnKind": "unicodeCodePoints",
        "results": [_result(one, rules.index(one.rule)) for one in findings],
    }


def _told(text: str, level: str) -> dict[str, Any]:
    return {"level": level, "message": {"text": text}}


def _result(finding: Finding, rule: int) -> dict[str, Any]:
    region: dict[str, Any] = {"startLine": finding.line}
    if finding.end_line is not None and finding.end_line >= finding.line:
        region["endLine"] = finding.end_line
    place = {"artifactLocation": {"uri": quote(finding.file), "uriBaseId": "%SRCROOT%"}, "region": region}
    print_of = "\0".join((finding.tool, finding.rule, finding.file, finding.message))
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": finding.severity,
        "message": {"text": f"{finding.message}. If it stays: {finding.harm}."},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"twelvefold/v1": hashlib.sha256(print_of.encode("utf-8", "replace")).hexdigest()},
        "properties": {"confidence": finding.confidence, "harm": finding.harm, "side": finding.side},
    }
