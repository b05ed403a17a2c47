"""What a file is, by its path alone: test, fixture, documentation, lock file, generated, binary by nature.

Pure. A review is milder where a file isn't what ships, and knows what belongs together.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_TEST_FOLDERS = frozenset({"test", "tests", "testing", "__tests__", "spec", "specs", "e2e", "testsuite", "unittests"})
_FIXTURE_FOLDERS = frozenset(
    {"fixtures", "fixture", "testdata", "test_data", "test-data", "data", "snapshots", "__snapshots__", "golden"}
    | {"samples", "corpus", "recordings", "cassettes", "mocks", "__mocks__", "resources", "assets"}
)
_EXAMPLE_FOLDERS = frozenset({"docs", "doc", "examples", "example", "samples", "sample", "demo", "demos", "tutorial"})
_TEST_NAME = re.compile(
    r"(?:test_[^/]*|[^/]*_tests?|tests?|conftest)\.pyi?|[^/]*[._-](?:test|spec|cy)\.[cm]?[jt]sx?|[^/]*_test\.go"
    r"|(?:[A-Z]\w*Tests?|Test[A-Z]\w*|[A-Z]\w*IT)\.(?:java|kt|scala|cs|php|swift)|[^/]*_(?:test|spec)\.(?:rb|exs|dart)"
)
_TEXTS = frozenset({".md", ".rst", ".txt", ".adoc", ".markdown", ".textile", ".org", ".tex", ".html", ".po", ".pot"})
_CODE = frozenset(
    {".py", ".pyx", ".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx", ".go", ".rs", ".java", ".kt", ".scala", ".rb", ".php"}
    | {".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".cs", ".swift", ".m", ".lua", ".pl", ".ex", ".exs", ".vue"}
)
#: Lock files, and the manifests that each follows from.
LOCKS: dict[str, tuple[str, ...]] = {
    "package-lock.json": ("package.json",),
    "npm-shrinkwrap.json": ("package.json",),
    "yarn.lock": ("package.json",),
    "pnpm-lock.yaml": ("package.json", "pnpm-workspace.yaml"),
    "bun.lock": ("package.json",),
    "poetry.lock": ("pyproject.toml",),
    "uv.lock": ("pyproject.toml",),
    "pdm.lock": ("pyproject.toml",),
    "Pipfile.lock": ("Pipfile",),
    "Cargo.lock": ("Cargo.toml",),
    "go.sum": ("go.mod",),
    "Gemfile.lock": ("Gemfile",),
    "composer.lock": ("composer.json",),
}
_JUNK = re.compile(
    r"(?:^|/)(?:__pycache__|node_modules|\.venv|\.tox|\.mypy_cache|\.pytest_cache|\.ruff_cache|\.idea)/"
    r"|(?:^|/)(?:\.DS_Store|Thumbs\.db|npm-debug\.log|core)$|\.(?:pyc|pyo|class|o|obj|swp|swo|orig|rej)$|\.egg-info/"
)


def is_test(path: str) -> bool:
    """Tell whether a file holds tests, or lies among them."""
    pure = PurePosixPath(path)
    return bool(_TEST_NAME.fullmatch(pure.name)) or any(part.lower() in _TEST_FOLDERS for part in pure.parts[:-1])


def is_fixture(path: str) -> bool:
    """Tell whether a file is data for tests or examples: there, what looks wrong is often meant to."""
    folders = [part.lower() for part in PurePosixPath(path).parts[:-1]]
    among_tests = any(part in _TEST_FOLDERS for part in folders)
    return (among_tests and any(part in _FIXTURE_FOLDERS for part in folders)) or any(
        part in ("fixtures", "fixture", "testdata", "test_data", "test-data", "__snapshots__", "cassettes")
        for part in folders
    )


def is_text(path: str) -> bool:
    """Tell whether a file is written for people: documentation, examples, change logs."""
    pure = PurePosixPath(path)
    folders = {part.lower() for part in pure.parts[:-1]}
    plain = not pure.suffix and pure.name.upper() in ("README", "CHANGELOG", "CHANGES", "NEWS", "AUTHORS", "LICENSE")
    return pure.suffix.lower() in _TEXTS or plain or bool(folders & _EXAMPLE_FOLDERS)


def is_code(path: str) -> bool:
    """Tell whether a file is code that ships: a programming language's, and neither test nor example."""
    return PurePosixPath(path).suffix.lower() in _CODE and not (is_test(path) or is_text(path) or is_fixture(path))


def is_junk(path: str) -> bool:
    """Tell whether a file is what tools leave behind, which nobody means to commit."""
    return _JUNK.search(path) is not None
