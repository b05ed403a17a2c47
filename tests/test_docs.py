"""What the documents say of the code: the tests that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_every_test_named_as_proof_exists() -> None:
    """Each `file::test` of the guarantees is a test that is there."""
    named = NAMED.findall((ROOT / "docs" / "guarantees.md").read_text())
    assert len(named) > 20
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / file).read_text()]
    assert not missing


def test_links_between_documents_lead_somewhere() -> None:
    """A relative link in a document names a file of the repository."""
    broken = []
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            if not (document.parent / target).exists():
                broken.append(f"{document.name}: {target}")
    assert not broken
