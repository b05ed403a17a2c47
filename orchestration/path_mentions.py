"""Which words of an issue are files.

Owns the difference between a path and what only looks like one: version numbers, dotted names, URLs, products such as
Node.js, places of the installed system. Pure. Whether a file exists is the repository's to say.
"""

from __future__ import annotations

import re

_EXTENSIONS_WORDS = """
    adoc astro bash bat c cc cfg cjs clj cmake cmd conf cpp cs css csv cxx dart ex exs erl fish fs go gradle
    graphql groovy h hcl hpp hs htm html ini ipynb java jinja jinja2 j2 js json jsonc jsx kt kts less lua md mdx
    mjs ml mm nim nix php pl pm po pot proto ps1 py pyi pyx r rb rs rst sass sbt scala scss sh sql styl svelte
    svg swift tcl template tex tf toml tpl ts tsx txt vue xml yaml yml zig zsh"""
_EXTENSIONS = frozenset(_EXTENSIONS_WORDS.split())
_NAMES_WORDS = """
    Makefile Dockerfile Gemfile Rakefile Jenkinsfile Vagrantfile Procfile LICENSE LICENCE README CHANGELOG
    CHANGES AUTHORS CONTRIBUTING NOTICE MANIFEST.in .gitignore .gitattributes .editorconfig .dockerignore
    .env.example .pre-commit-config.yaml"""
_NAMES = frozenset(_NAMES_WORDS.split())
_WORD = re.compile(r"(?<![\w./~@+\-*{}$%])(?:\./)?[A-Za-z0-9_.@+\-][A-Za-z0-9_.@+/\-]*(?![\w*{}$%(]|://)")
_MARKED = re.compile(r"[\w.@+\-][\w.@+/\-()\[\]]{0,250}")
_LINE_NUMBER = re.compile(r"(?:#L\d+(?:-L?\d+)?|:\d+(?::\d+)?(?:-\d+)?|:)\Z")
_MANUAL = re.compile(r"(?:.*/)?(?:man\d?|docs?|doc)/(?:.*/)?[\w.-]+\.[1-8]")
#: Where programs are installed, and what they write: never a place of the sources.
_ELSEWHERE = re.compile(
    r"(?:etc|usr|var|tmp|proc|sys|opt|home|root|dev|Users|Library)/|(?:.*/)?(?:site-packages|dist-packages|node_modules"
    r"|\.venv|venv|__pycache__|\.tox|\.git|target/(?:debug|release))/"
)
#: `response.json`, `self.html`: an attribute of something that every program has.
_OBJECTS_WORDS = """
    request requests response res req self this cls obj event e window document console process ctx context r os
    sys np pd df plt logger log"""
_OBJECTS = frozenset(_OBJECTS_WORDS.split())
#: Node.js and friends are products.
_PRODUCTS_WORDS = """
    node vue next nuxt express react three d3 ember backbone angular socket p5 chart moment alpine discord
    knockout deno electron require bun"""
_PRODUCTS = frozenset(_PRODUCTS_WORDS.split())
_TEST = re.compile(
    r"(?:.*/)?(?:tests?|testing|specs?|__tests__|e2e)/.*|(?:.*/)?(?:test_[^/]*|[^/]*_test\.\w+|[^/]*[._-]spec\.\w+"
    r"|[^/]*\.test\.\w+|conftest\.py)",
    re.IGNORECASE,
)
_DOCS = re.compile(
    r"(?:.*/)?(?:docs?|documentation|website|man)/.*|.*\.(?:md|mdx|rst|adoc|tex|[1-8]|txt)|(?:.*/)?(?:README|CHANGELOG"
    r"|CONTRIBUTING|AUTHORS|LICENSE)(?:\.\w+)?",
    re.IGNORECASE,
)
_LOG_OF_CHANGES = re.compile(r"(?:.*/)?(?:CHANGELOG|CHANGES|HISTORY|NEWS|RELEASE_NOTES)(?:\.\w+)?", re.IGNORECASE)
_LOCK = re.compile(r"(?:.*/)?(?:[\w.-]+\.lock|package-lock\.json|pnpm-lock\.yaml|go\.sum)", re.IGNORECASE)


def normal(token: str) -> str:
    """Return a token as a path: without `./`, the line numbers people append, and the sentence's punctuation."""
    return _LINE_NUMBER.sub("", token.strip().rstrip(".,;:!?'\"")).removeprefix("./")


def is_path(token: str, *, marked: bool) -> bool:
    """Tell whether a word can hardly be anything but a file of the sources; `marked` is inline code."""
    if "//" in token or ".." in token or token.startswith(("/", "~")) or token.endswith("/") or _ELSEWHERE.match(token):
        return False
    folder, _, name = token.rpartition("/")
    if name in _NAMES:
        return marked or bool(folder) or "." in name or name not in ("Procfile", "LICENSE", "README", "AUTHORS")
    stem, dot, extension = name.rpartition(".")
    if _MANUAL.fullmatch(token):
        return True
    if not dot or not stem or extension not in _EXTENSIONS:
        return False
    if folder:
        return True
    if stem.lower() in _OBJECTS or (extension in ("js", "rs", "go") and stem.lower() in {*_PRODUCTS, "docs", "crates"}):
        return False
    # `a.b.c` is a name, `main.c` a file.
    return len(extension) > 1 or (marked and "." not in stem)


def paths_in(text: str, codes: tuple[str, ...] = ()) -> list[str]:
    """Return the paths among a unit's words and inline code, in order and each once."""
    found: list[str] = []
    marked = {normal(code) for code in codes if _MARKED.fullmatch(normal(code))}
    found += [code for code in marked if is_path(code, marked=True)]
    for word in _WORD.findall(text):
        if "." not in word and word not in _NAMES:
            continue
        path = normal(word)
        if path not in marked and is_path(path, marked=False) and not any(path in code for code in codes):
            found.append(path)
    return sorted(set(found), key=lambda path: (text.find(path), path))


def is_test(path: str) -> bool:
    """Tell whether a file is part of the tests."""
    return _TEST.fullmatch(path) is not None


def is_document(path: str) -> bool:
    """Tell whether people read a file, and no machine."""
    return _DOCS.fullmatch(path) is not None


def is_by_product(path: str) -> bool:
    """Tell whether a file only follows other changes: a log of changes, a lock file."""
    return _LOG_OF_CHANGES.fullmatch(path) is not None or _LOCK.fullmatch(path) is not None
