"""Kinds of places that an issue asks for without naming a file: code, documents, packaging, options and so on.

Owns the signals for them; `complexity_signals` adds them up with the others. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from . import extent_language as extent
from .complexity_facts import EditFact, Signal, counted
from .issue_kind import in_one_spot, is_bug, only_documents, only_tooling
from .issue_units import Part, Reading
from .path_mentions import is_document, is_path, is_test

#: So many names belong to one change.
SYMBOLS_FREE = 3


def of_surfaces(reading: Reading, targets: Sequence[str], edits: Sequence[EditFact]) -> list[Signal]:
    """Return what is asked for without naming a file, and the code itself where no file of it is named."""
    asked = reading.asked()
    texts = [part.unit.text for part in asked]
    documents = only_documents(reading, targets)
    found: list[Signal] = []
    code = [path for path in targets if not is_document(path) and not is_test(path)]
    only_tests = bool(targets) and reading.about_tests and not any(extent.PRODUCT.search(text) for text in texts)
    tooling = only_tooling(reading) and not code
    if not (code or tooling or (targets and (documents or only_tests))):
        place = "no file is named" if not targets else "no file of the code is named"
        found.append(Signal("code", f"{place}: at least one", 1.0))
    if any(edit.path for edit in edits) and not reading.items():
        return found  # what is said around explicit edits explains them
    fault = is_bug(reading)
    told = [part.unit.text for part in asked if part.role != "title"] if fault else texts
    for surface, pattern in extent.SURFACES.items():
        hits = [text for text in (texts if surface in extent.BESIDES else told) if pattern.search(text)]
        if not hits or (documents and surface not in extent.BESIDES):
            continue
        if surface == "documentation":
            found += _documents(hits, targets, documents)
        elif not any(pattern.search(path) or _stands_for(surface, path) for path in targets):
            found.append(Signal(surface, f"asked for besides: {surface}", 1.0))
    if not documents and (reading.items() or not in_one_spot(reading)):
        found += _of_names(reading, targets, fault=fault)
    elif documents and not code and any(re.search(r"\bdoc-?strings?\b", text, re.I) for text in texts):
        found.append(Signal("docstring", "a docstring besides the documents", 1.0))
    said = {signal.name for signal in found}
    documented = "documentation" in said or any(map(is_document, targets))
    if documented and "option" not in said and not (documents or fault or tooling):
        found.append(Signal("feature", "new, and to be documented: taken in at one place, used at another", 1.0))
    return found


def _of_names(reading: Reading, targets: Sequence[str], *, fault: bool) -> list[Signal]:
    """Return what the names in an issue's inline code stand for: options, variables, folders, several symbols."""
    found: list[Signal] = []
    told = [part for part in reading.parts if part.asks or (part.role == "told" and not fault)]
    codes = [(code, part) for part in told for code in part.unit.codes]
    option = next((match[0].strip() for code, part in codes if (match := _option(code, part))), "")
    if option and not fault:
        found.append(Signal("option", f"an option of a command, {option}: parsed in one place, used in another", 1.0))
    if not fault and any(extent.VARIABLE.fullmatch(code) for code, _ in codes):
        found.append(Signal("variable", "a variable of the environment or a constant", 0.5))
    folders = {code for code, part in codes if part.asks and extent.FOLDER.fullmatch(code)}
    if folders := {folder for folder in folders if not any(path.startswith(folder) for path in targets)}:
        found.append(Signal("folders", f"a folder named: {', '.join(sorted(folders))}", float(len(folders))))
    if not fault and any(part.asks and extent.NEW_MEMBER.search(part.unit.text) for part in told):
        found.append(Signal("new member", "a new one of a family: itself, and where the family is listed", 1.0))
    symbols = {
        code.split("(", 1)[0]
        for code, part in codes
        if part.asks and extent.SYMBOL.fullmatch(code) and not is_path(code, marked=True)
    }
    if len(symbols) > SYMBOLS_FREE:
        places = min((len(symbols) - SYMBOLS_FREE) * 0.25, 1.5)
        found.append(Signal("symbols", f"{len(symbols)} names of the code in what is asked for", places))
    return found


def _option(code: str, part: Part) -> re.Match[str] | None:
    """Return the option that inline code is about; within a command line that is only told about none is."""
    return extent.OPTION.search(code) if part.asks else extent.OPTION.match(code)


def _documents(hits: Sequence[str], targets: Sequence[str], documents: bool) -> list[Signal]:
    named = sum(1 for path in targets if is_document(path))
    side_by_side = max(len({word.lower().rstrip("s") for word in _documents_in(text)}) for text in hits)
    wanted = max(1, min(side_by_side, 4))
    if documents and not targets:
        wanted -= 1  # the one place that is there at least
    if wanted <= named or wanted == 0:
        return []
    return [Signal("documentation", f"documentation: {counted(wanted - named, 'page')} besides", float(wanted - named))]


def _documents_in(text: str) -> list[str]:
    """Return the documents that a text names side by side; neighbours are one name ("reference page")."""
    found: list[str] = []
    end = -10
    for match in extent.DOCUMENTS.finditer(text):
        if match.start() - end > 2:
            found.append(match[0])
        end = match.end()
    return found


def _stands_for(surface: str, path: str) -> bool:
    """Tell whether a file that is named already is the place of this kind."""
    kinds = {
        "packaging": r"setup\.(?:py|cfg)|MANIFEST\.in|pyproject\.toml|package\.json|Cargo\.toml|go\.mod"
        r"|requirements[\w-]*\.txt",
        "continuous integration": r"\.github/.*|\.gitlab-ci\.yml|\.travis\.yml|tox\.ini|noxfile\.py",
        "template": r".*(?:templates?/.*|\.(?:tpl|j2|jinja2?|template))",
        "configuration file": r".*\.(?:toml|ya?ml|ini|cfg|conf|json)",
        "database": r".*(?:migrations?/.*|\.sql)",
        "script": r".*\.(?:sh|bash|ps1)|scripts?/.*",
        "public names": r".*__init__\.py|.*index\.[jt]sx?|.*(?:lib|mod)\.rs",
        "user interface": r".*\.(?:css|scss|html|vue|tsx|jsx|svelte)",
    }
    return surface in kinds and re.fullmatch(kinds[surface], path) is not None
