"""Of what kind the work on an issue is, judged by what it says of itself, its title, and what it asks for.

Pure and deterministic. What an issue declares counts before what its words suggest. Leaves the signals that complexity
shares to `orchestration.issue_kind`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from ...orchestration import extent_language as extent
from ...orchestration import issue_language as language
from ...orchestration.issue_kind import is_bug, only_documents
from ...orchestration.issue_language import Words
from ...orchestration.issue_units import Reading
from ...orchestration.path_mentions import is_document, is_test
from .statements import Statements

Kind = Literal["bug", "feature", "docs", "refactor", "test", "perf", "security", "chore"]

_DECLARED: tuple[tuple[Kind, Words], ...] = (
    ("security", Words(r"\b(?:security|vulnerabilit\w+|cve)\b")),
    ("docs", Words(r"\b(?:docs?|documentation|readme|typo in docs)\b")),
    ("test", Words(r"\b(?:tests?|testing|flaky|flake)\b")),
    ("perf", Words(r"\b(?:perf|performance|speed|optimi[sz]ation)\b")),
    ("refactor", Words(r"\b(?:refactor\w*|clean-?up|tech(?:nical)?[ -]debt|restructur\w*)\b")),
    (
        "chore",
        Words(r"\b(?:chore|maintenance|housekeeping|release|dependenc(?:y|ies)|build|ci|packaging|infra\w*|tooling)\b"),
    ),
    ("bug", Words(r"\b(?:bugs?|defect|regression|fix|crash|fehler|erreur|error)\b")),
    (
        "feature",
        Words(
            r"\b(?:feat(?:ure)?s?|feature[ -]request|enhancements?|improvements?|proposal|rfc|wish(?:list)?|story)\b"
        ),
    ),
)
#: `[Bug]`, `docs:`, `feat(cli)!:`, `(perf)` before a title.
_PREFIX = re.compile(r"\A\W{0,3}[\[(]([\w /-]{2,30})[\])]|\A([A-Za-z]{2,15}(?:[ -]request)?)(?:\([^()]{0,40}\))?!?\s?:")
_SECURITY = Words(
    r"<script|\b(?:plain http|clear ?text|samesite|httponly|(?:certificate|tls|signature) (?:verification|validation"
    r"|checks?)|(?:isn['’]t|not|never|un)[ -]?(?:escaped|saniti[sz]ed))\b|\bcve-\d{4}-\d+|\b(?:vulnerab\w+|security"
    r"|insecure|exploit\w*|xss|csrf|ssrf|redos|(?:sql|command|code|header|shell|template|log) injection"
    r"|path traversal|directory traversal|arbitrary (?:code|files?|commands?)|privilege escalation"
    r"|remote code execution|saniti[sz]e|constant[- ]time|timing attack|plain ?text passwords?|session fixation"
    r"|open redirect|man[- ]in[- ]the[- ]middle|hard-?coded (?:secret|password|credential)s?|sicherheitsl\w+|(?:log"
    r"|print|show|leak|expose|store)\w* (?:the |all |our |its )?(?:\w+ )?(?:secret|password|token|credential"
    r"|api key)s?|vulnérabilit\w+|vulnerabilidad\w*|faille de sécurité)\b|漏洞|脆弱性"
)
#: Where an issue only speaks of security beside, it isn't about it.
_STRONG_SECURITY = Words(
    r"<script\b|\bsent over plain http\b|\bcve-\d{4}-\d+|\b(?:vulnerab\w+|exploit\w*|xss|csrf|ssrf|redos|(?:sql"
    r"|command|code|shell|template) injection|(?:path|directory) traversal|privilege escalation|remote code execution"
    r"|attacker)\b|漏洞|脆弱性"
)
_CHORE = Words(
    r"\b(?:(?:bump|raise|upgrade|update|pin|unpin|relax|require) (?:\S+ ){0,4}(?:version|pin|bound|dependenc\w+"
    r"|requirements?|lock ?file|v?\d+\.\d)|(?:bump|upgrade|unpin) \S+(?: \S+)? to v?\d|require (?:python|node|php"
    r"|ruby|go|java) [\d.]+|release \W?v?[\d.]+|new release|(?:ci|github actions?|gitlab|travis|appveyor|workflows?"
    r"|pre-commit|prettier|eslint|dependabot|renovate|linters?|ruff|flake8|mypy config|build script|makefile"
    r"|dockerfile|packaging|wheels?|classifiers?|licen[cs]e|copyright|changelog|code owners|\.gitignore"
    r"|\.editorconfig|pyproject|setup\.(?:py|cfg)|build system|py\.typed|artifacts?)\b|(?:drop|end"
    r"|remove) (?:the )?(?:support (?:for|of)|compatibility with) \w+|(?:drop|remove|end) (?:\w+ ){0,2}(?:python|node"
    r"|ruby|php|go|java|py)\b|(?:test|run|support) (?:on|against|for)? ?(?:python|node|php|ruby) ?\d"
    r"|python \d\.\d+ (?:is )?(?:out|eol|end of life)|version(?:s)? number|end of life|eol)\b"
)
_REFACTOR = Words(
    r"\breplace (?:[^\s:]+ ){1,6}(?:with|by) \S|\bcopies of the same\b|\bsame code\b|\b(?:refactor\w*"
    r"|re-?organi[sz]\w+|restructur\w+|clean(?:ing)? ?up|tidy|simplif(?:y|ies|ication)|de-?duplicat\w+|duplicat(?:e"
    r"|ed|ion) (?:code|logic)|extract (?:\w+ ){0,5}(?:into|from|to|package|module|class|function|library)"
    r"|split (?:\S+ ){0,5}(?:into|up|in)|^split\b|^\W*mov(?:e|ing) |^\W*renam(?:e|ing)|umbenennen|umbenannt|renommer"
    r"|renombrar|rename \S+ to|get rid of|dead code|unused|legacy code|replace \S+ (?:with|by)"
    r"|switch (?:\S+ ){0,4}(?:to|from)|migrat(?:e|ion) (?:\S+ ){0,4}(?:to|from)|port (?:\S+ ){0,4}to|(?:use|usable"
    r"|useable) (?:\w+ ){0,2}as an? (?:\w+ ){0,2}(?:library|module|package)|moderni[sz]\w+|type (?:annotations|hints)"
    r"|annotat\w+|decoupl\w+|inline|^\W*deprecat\w+|^\W*make .{0,60} (?:public|private|internal)$|remov(?:e|al"
    r"|ing) (?:\S+ ){0,4}deprecat\w+|deprecated (?:code|api|functions?|methods?|aliases))\b|重构|重構|リファクタ"
)
#: The program does what it did.
_SAME_BEHAVIOUR = Words(
    r"\b(?:purely internal|no user-visible|internal change)\b|\b(?:behaviou?r (?:is|stays|remains|must (?:stay|not)"
    r"|doesn['’]t|does not|should (?:stay|not)) ?(?:un\w+|the same|as|change)?|must behave as"
    r"|behaves? (?:exactly )?as before|no (?:behaviou?r(?:al)?|functional) changes?"
    r"|without changing (?:the )?behaviou?r|same (?:behaviou?r|output) as before|verhalten (?:bleibt"
    r"|ändert sich nicht)|comportement (?:reste|ne change pas|inchangé)|comportamiento no cambia)\b"
)
_PERFORMANCE = Words(
    r"\b(?:slow(?:er|ly|ness|s)?|perf(?:ormance)?|overhead|faster|speed(?:s|up)?(?: up)?|latency|throughput|profil\w+"
    r"|bottleneck|pays for|quadratic|o\(n|takes (?:too )?(?:long|forever|minutes|seconds)|memory (?:usage|footprint)"
    r"|cpu usage|too much memory|optimi[sz]\w+|langsam\w*|lent(?:e|es|s|eur)?|lento|медленн\w+)\b|慢|遅い"
)
_TESTS = Words(
    r"\b(?:flaky|flakiness|(?:unit|regression|integration|missing|more|new|add|write|the|our"
    r"|these) (?:\w+ ){0,2}tests?|tests? (?:for|of|about|suite|coverage|cases?|fixtures?)|test coverage|untested"
    r"|coverage (?:for|of)|testing of)\b"
)
_EXCEPTION = re.compile(r"\b[A-Z]\w*(?:Error|Exception)\b", re.ASCII)
#: Titles that only name a wish.
_WISH = Words(
    r"\b(?:feature request|add|allow|support|option(?:al)?|new|enable|provide|would be (?:nice|great)|let (?:the"
    r"|users?|me|us)|introduce|implement|make it possible|expose|offer|ability to|should be able to|configurable"
    r"|proposal)\b"
)
_PACKAGED = Words(r"\b(?:wheels?|sdists?|source distribution|package data)\b")
#: Measured, or told as a multiple.
_MEASURED = Words(
    r"\b\d+(?:\.\d+)? ?(?:%|percent) of (?:the |its |all |our )?(?:\w+ )?(?:time|cpu|runtime|memory)\b|"
    r"\b\d+(?:\.\d+)? ?(?:times|x|%|percent) (?:slower|faster|more memory)|\btakes \d+(?:\.\d+)? ?(?:ms|s|sec\w*"
    r"|min\w*|hours?)\b|\b(?:times|multiple of) (?:its|the|their) size\b|\bquadratic\b|\bo\(n"
)
_EXPLAIN = Words(
    r"^\W*(?:explain|document|describe|docstrings?|mention|faq|typos?\b.*\b(?:docs?|faq|readme|guide|manual|page))\b"
)
_UNSTEADY = Words(
    r"\btest_\w+|\b(?:flaky|flakiness|at random|randomly|intermittent\w*)\b.*\btests?\b|\btests?\b.*\b(?:flaky"
    r"|random\w*|intermittent\w*)\b"
)
_WRONG_TEXT = Words(
    r"\b(?:typos?|misspell\w*|spelling|grammar|wording|tippfehler|faute de frappe|errata|dead links?)\b"
)
#: What a program does, told in the present: a title of that form complains.
_DOES = Words(
    r"\b(?:accepts|adds|appears|assumes|becomes|blocks|breaks|builds|calls|changes|claims|closes|collapses|compares"
    r"|consumes|contains|converts|copies|counts|creates|cuts|deletes|disappears|discards|duplicates|eats|emits|ends"
    r"|escapes|exits|expands|falls|finishes|forgets|freezes|gets|gives|goes|grows|guesses|happens|jumps|keeps|kills"
    r"|loads|logs|marks|merges|misses|mixes|mutates|opens|orders|overwrites|parses|picks|prints|produces|puts|reads"
    r"|reports|resets|resolves|returns|reverses|rounds|runs|says|sends|shows|skips|sorts|starts|stays|sticks|stops"
    r"|strips|swallows|takes|treats|triggers|truncates|turns|uses|waits|writes|yields)\b|\b(?:is|are|was|were"
    r"|gets?) (?:\w+ly )?(?:not |never )?(?:\w+ed|lost|cut|sent|shown|written|read|run|set|put|kept|taken)\b"
)
_COMPLAINT = Words(
    r"\b(?:never|although|even though|despite|without a chance|twice|unexpected\w*|misleading|inconsistent"
    r"|race(?: condition)?|deadlock|stale|off by one|not (?:found|set|respected|honou?red|applied|escaped|closed"
    r"|shown)|\w+error|\w+exception|irreführend|falsch|kaputt|geht nicht|funktioniert nicht|ne marche pas"
    r"|ne fonctionne pas|ignore[nt]? |ignora(?:n|do)?|no funciona|não funciona|falla|plante(?:nt)?|se bloque"
    r"|stürzt ab|se pierde|не работает|ошибка|не учитыва\w+)\b|ずれ|できない|無視|失敗|不正|错误|不对|失败|无法|不工作"
)
_DESCRIBED = Words(
    r"\b(?:that|which|who|command|option|flag|hook|way|method|function|helper) (?:to |that |which )?\w*$"
)
_CALL = re.compile(r"`?\b[A-Za-z_][\w.]*\([^()]*\)`?")
#: What something that is called does, told in the present.
_IT_DOES = Words(r"\Ait (?:\w+ly )?\w+s\b")
_DOCSTRING = Words(r"\b(?:docstrings?|comments?|help (?:text|page)|man ?page)\b")
_IMPROVED = Words(r"\b(?:leak\w*|deadlock\w*|race|hang\w*|crash\w*|segfault\w*|corrupt\w*|panic\w*)\b")


class KindFound(msgspec.Struct, frozen=True):
    """A kind, why, and whether the issue itself says so."""

    kind: Kind
    why: str
    declared: bool = False


def kind_of_issue(
    reading: Reading, said: Statements, targets: Sequence[str] = (), renames: int = 0, edits: int = 0
) -> KindFound:
    """Return the kind of an issue; any issue has one. `renames` and `edits` count its explicit pairs."""
    if declared := _declared(reading, said):
        return declared
    return _of_words(reading, targets, renames, edits)


def _declared(reading: Reading, said: Statements) -> KindFound | None:
    for words, where in ((said.types, "type"), (said.labels, "label")):
        for word in words:
            if found := _named(word):
                return KindFound(found, f"its {where} says {word}", declared=True)
    if (prefix := _PREFIX.match(reading.outline.title)) and (found := _named(prefix[1] or prefix[2])):
        return KindFound(found, f"its title begins with {prefix[0].strip()}", declared=True)
    first = next((part.unit.text for part in reading.parts if part.unit.kind == "sentence"), "")
    if re.match(r"\W*(?:this is an? )?(feature request|enhancement|bug report)\b\W*", first, re.I):
        return KindFound("bug" if "bug" in first.lower()[:24] else "feature", f"it begins: {first[:40]}", declared=True)
    return None


def _named(word: str) -> Kind | None:
    return next((kind for kind, words in _DECLARED if words.search(word)), None)


def _of_words(reading: Reading, targets: Sequence[str], renames: int, edits: int) -> KindFound:
    # `add() subtracts` orders nothing: the name of what is called is no verb.
    title = _CALL.sub("it", reading.outline.title)
    text = " \n".join(part.unit.text for part in reading.parts if part.role != "step")
    asked = " \n".join(part.unit.text for part in reading.asked())
    if _SECURITY.search(title) or _STRONG_SECURITY.search(text):
        return KindFound("security", "it tells how something can be abused")
    if _PACKAGED.search(title):
        return KindFound("chore", "it is about what is packaged")
    if only_documents(reading, targets) or _documents_alone(reading, targets, text):
        return KindFound("docs", "it is about documents and leaves the code as it is")
    if _about_tests(reading, title):
        return KindFound("test", "it is about the tests themselves")
    order = language.ORDER.search(title) is not None
    if _MEASURED.search(text) and not _IMPROVED.search(title) and not re.search(r"timeout|limit", title, re.I):
        return KindFound("perf", "it measures how slow or large something is")
    if _PERFORMANCE.search(title) and not _IMPROVED.search(title):
        return KindFound("perf", "its title speaks of speed or size")
    if _chore(title, targets, edits):
        return KindFound("chore", "it is about releases, dependencies, packaging or the pipeline")
    if _REFACTOR.search(title) or (renames and order):
        return KindFound("refactor", "it asks for another shape of what is there")
    if _complains(reading, title):
        return KindFound("bug", "it says that something goes wrong")
    if _SAME_BEHAVIOUR.search(text) or renames:
        return KindFound("refactor", "the program is to do what it did")
    if _PERFORMANCE.search(asked) and not is_bug(reading) and not order:
        return KindFound("perf", "what it asks for is speed or size")
    if edits and not order and not _WISH.search(title):
        return KindFound("bug", "its edits correct what is there")
    return KindFound("feature", "it asks for something new")


def _complains(reading: Reading, title: str) -> bool:
    """Tell whether a title says what goes wrong, or the text below one that orders nothing does."""
    if language.ORDER.search(title) or re.search(r"\b(?:should|could|would|might|please)\b", title, re.I):
        return is_bug(reading) and not _WISH.search(title)
    if _WISH.search(title) and not _COMPLAINT.search(title):
        return False
    if _IT_DOES.search(title):
        return True
    does = _DOES.search(title)
    told = (
        does is not None
        and does.start() > 0
        and does.end() < len(title.rstrip())
        and not _DESCRIBED.search(title[: does.start()].rstrip() + " ")
    )
    return told or _COMPLAINT.search(title) is not None or is_bug(reading) or _foreign_fault(reading, title)


def _foreign_fault(reading: Reading, title: str) -> bool:
    """Tell whether an issue whose words are not known here names an exception: that one is the same everywhere."""
    letters = [letter for letter in title if letter.isalpha()]
    foreign = sum(not letter.isascii() for letter in letters) * 2 > len(letters)
    return foreign and any(_EXCEPTION.search(part.unit.text) for part in reading.parts)


def _documents_alone(reading: Reading, targets: Sequence[str], text: str) -> bool:
    """Tell whether only documents, or texts that people read, are asked about."""
    title = reading.outline.title
    if _EXPLAIN.search(title):
        return True
    if targets and all(is_document(path) and not is_test(path) for path in targets):
        return bool(
            extent.SURFACES["documentation"].search(title) or _WRONG_TEXT.search(title) or extent.NO_CODE.search(text)
        )
    if extent.NO_CODE.search(text) and extent.SURFACES["documentation"].search(text) and not targets:
        return not _SAME_BEHAVIOUR.search(title)
    return bool(
        _WRONG_TEXT.search(title) and (_DOCSTRING.search(title) or extent.SURFACES["documentation"].search(title))
    )


def _about_tests(reading: Reading, title: str) -> bool:
    if _UNSTEADY.search(title):
        return True
    if language.FIX_TESTED.search(title) or not language.TESTS.search(title):
        return False
    if re.match(r"\W*(?:test|run)\b.*\b(?:on|with|against) (?:python|node|pypy|windows|php)\b", title, re.I):
        return False
    begins = re.match(
        r"\W*(?:\w+ )?(?:unit |regression |integration )?tests?\b(?! (?:files?|runs?|runner|client))", title, re.I
    )
    return bool(_TESTS.search(title) or (begins and reading.about_tests))


def _chore(title: str, targets: Sequence[str], edits: int) -> bool:
    if _CHORE.search(title):
        return not re.search(r"\b(?:wrong|crash\w*|fails?|broken|error|refus\w+|ignor\w+)\b", title, re.I)
    settings = re.compile(
        r"(?:.*/)?(?:\.github/.*|\.gitlab-ci\.yml|tox\.ini|noxfile\.py|setup\.(?:py|cfg)|pyproject\.toml|Makefile"
        r"|Dockerfile|\.pre-commit-config\.yaml|requirements[\w.-]*\.txt|package\.json|LICENSE\S*|\.\w+ignore)\Z"
    )
    return bool(targets) and all(settings.match(path) for path in targets) and edits > 0
