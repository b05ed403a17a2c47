"""The words by which issues ask for something, keep something as it is, or speak of how much there is to change.

English first, with the plainest words of other languages that issues are written in. Pure, no judgement: what follows
from a word is `issue_units` and `complexity_signals`. Every pattern is bounded, so that no text makes it slow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator


class Words:
    """Words and phrases that are looked for in any case. Their patterns are in lower case, as is what they find.

    Searching a text in lower case is several times as fast as a pattern that ignores case.
    """

    __slots__ = ("_pattern",)

    def __init__(self, *patterns: str) -> None:
        self._pattern = re.compile("|".join(patterns))

    def search(self, text: str) -> re.Match[str] | None:
        """Return the first place where the words stand."""
        return self._pattern.search(text.lower())

    def match(self, text: str) -> re.Match[str] | None:
        """Return the words with which a text begins."""
        return self._pattern.match(text.lower())

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """Yield all places where the words stand."""
        return self._pattern.finditer(text.lower())


_ORDERS_WORDS = """
    add allow apply avoid bring bump build call change check clean collect convert copy correct create cut
    declare define delete deprecate describe disable display document drop emit enable enforce ensure exclude
    explain export expose extend extract fix forbid format generate give handle hide implement improve
    include insert install introduce keep let limit link list load log lower make mark mention merge migrate
    modernise modernize move name normalise normalize note offer open parse pass pin point port prefer prevent
    print provide publish put raise read recognise refactor refuse register reject release remove rename reorder
    reorganise replace report require reset restrict restructure return reuse rewrite save send serve set ship
    show simplify skip sort split start stop store strip support switch tell test translate treat turn unify
    update upgrade use validate warn wrap write"""
_ORDERS = _ORDERS_WORDS.split()
#: An order: a verb that begins a sentence.
ORDER = Words(
    rf"(?:^\W*(?:(?:please|and|then|also|now|finally|first|next|just|simply|to)\W+){{0,3}}|[,;:] (?:and|then) )"
    rf"(?:{'|'.join(_ORDERS)})\b"
)
#: A wish, a duty, a proposal, a complaint that something is missing.
ASK = Words(
    r"\b(?:please|should|must|ought to|needs?|needed|would like|i want|we want|let['’]?s|wish"
    r"|i['’]d (?:like|rather|prefer|love)|could (?:we|you|it|this|there|the|that|they|be|sit|go|put|have|use|show"
    r"|get|take|say)|can (?:we|you)|ha(?:s|ve) to"
    r"|propos\w+|suggest\w*|expected|required|requirements?|missing|lacks?|would be|seems? (?:the|best|natural)"
    r"|be (?:nice|great|good|helpful) (?:to|if)|(?:natural|right|best|obvious|easiest) (?:way|place|fix|solution)"
    r"|to-?do|acceptance|done when|goal"
    r"|bitte|soll(?:te|ten|en)?|muss|müssen|erwartet|vorschlag|wünsch\w*|fehlt|fehlen|wir brauchen|möchte"
    r"|devrait|devraient|doit|doivent|il faut|faudrait|veuillez|je propose|attendu|souhait\w*|manque"
    r"|debe(?:r[íi]an?|n)?|hay que|por favor|propongo|necesit\w+|esperado|falta|har[íi]a falta"
    r"|deve(?:ria|m)?|precisa\w*|esperado|proponho|dovrebbe|bisogna|vorrei|propongo)\b",
    # ru, zh, ja, ko
    r"(?:нужно|надо|должн|следует|пожалуйста|предлагаю|ожида|应该|應該|需要|请|建议|希望|期望|べき|ほしい|欲しい|ください|必要|해야|주세요|필요)",
)
#: What stays as it is, is over, is for later, or is somebody else's.
KEPT = Words(
    r"\b(?:un(?:changed|touched|affected)|must stay|stays?(?: as)?|remains?|leave (?:it|them|that|this|the"
    r"|as)|keep as"
    r"|(?:do(?:es)?n['’]?t|do(?:es)? not|must not|may not|shouldn['’]?t|should not|never) (?:touch|change|edit"
    r"|modify|alter)"
    r"|no (?:code|behaviou?r(?:al)?|other|further|functional|api) (?:changes?|files?|settings?)"
    r"|nothing (?:else )?(?:may|changes|has|needs|must|should|in it)|no changes?|not (?:now|yet|part of|in scope)"
    r"|(?:,|is|for|comes?|it) later"
    r"|out of scope|non-goals?|(?:is|are) (?:fine|right|correct|good|out of scope)|as before|(?:must"
    r"|should) behave as"
    r"|maintainers? (?:does|do|will)|keeps? working|everything that works"
    r"|bleib(?:t|en)|ändert sich nicht|unverändert|nicht ändern|später)\b|ne change(?:nt)? pas|inchangée?s?"
    r"|plus tard"
    r"|no cambia|sin cambios|no tocar|não muda|non cambia|не меня|остаётся|остается|不变|不變|変わらない|変更しない"
    r"|変更なし",
)
#: An option that was turned down, or something that is told as it happened.
TURNED_DOWN = Words(
    r"\b(?:decided against|had a try|tried|don['’]?t want|rejected|instead of an? |rather than an? "
    r"|won['’]?t (?:fix|do))\b"
)
#: Words behind which only an example stands.
EXAMPLE = Words(
    r"\b(?:e\.g\.|for example|for instance|such as|say,|like|example|sample|z\. ?b\.|zum beispiel|par exemple"
    r"|por ejemplo"
    r"|per esempio|например)\s*\W{0,3}$|(?:例えば|比如|例如)\W{0,3}$"
)
#: Headings and introductions by what stands below them.
ACCEPTANCE = Words(r"^\W*(?:acceptance|done when|definition of done|(?:success )?criteria|verification|checks?)\b")
TASKS = Words(
    r"\b(?:tasks?|to-?dos?|requirements?|changes?|proposal|proposed|solution|plan|needed|details|steps|scope|rules"
    r"|implementation|what to (?:do|build|change)|work|fix|aufgaben|anforderungen|tâches|tareas|requisitos)\b"
)
REPRODUCTION = Words(
    r"\b(?:reproduc\w+|repro|actual|current behaviou?r|what happen(?:s|ed)|observed|output|traceback"
    r"|stack ?trace|logs?"
    r"|environment|versions?|system|steps to|platform|setup|debug|schritte|reproduire|reproducir)\b"
)
EXPECTED = Words(
    r"^\W*(?:i (?:had )?expect(?:ed)?\b|expected|desired|expected behaviou?r|erwartet\w*|attendu|esperado)\b"
)
ASIDE = Words(
    r"\b(?:alternatives?|workarounds?|out of scope|non-goals?|not in scope|rejected|background|motivation"
    r"|related to a"
    r" problem|screenshots?|type|priority|status|state|labels?|severity|references?|links)\b"
)


#: One thing that follows another.
AFTER_IT = Words(
    r"^\W*(?:then|after(?:wards| that| this)?|once|finally|next|afterwards|lastly|danach|dann|ensuite|puis"
    r"|después|luego)\b"
)
CROSS_REFERENCE = Words(
    r"\b(?:steps?|parts?|items?|points?|tasks?|see|after|needs|requires|depends on|wie|punkt|schritt|paso|étape)"
    r" (?:no\. ?)?\(?(\d{1,2})\)?(?![.\d%])"
)
DEMONSTRATIVE = Words(r"\b(?:those|these|said|this)\s+(?=((?:\w+\s+)?\w+))")
#: An issue that is about the tests themselves, and a title in which they only show the fault.
TESTS = Words(r"\b(?:tests?|test suite|testing|flaky|flakiness|test cases?|fixtures?|pruebas|tests unitaires)\b")
#: A test by its own name, which is called nowhere.
NAMED_TEST = Words(r"\btest_\w+\b(?!\()")
FIX_TESTED = Words(r"\b(?:test client|test runner|test command|under test|a test for|latest)\b")
#: Why somebody wants something, which is no work.
MOTIVE = Words(
    r"\b(?:because|so that i|use it to|for \w+ (?:i|we) need|for (?:us|me|metrics)|i need (?:it|this) (?:to"
    r"|for)|people keep"
    r"|everybody|we use"
    r"|(?:has|have|had) to import|feature request)\b"
)
#: A file that isn't there yet.
CREATING = Words(
    r"\b(?:new (?:page|file|module|script|test|document|section in)|create|add a (?:new )?(?:page|file|module|script)"
    r"|neue (?:seite|datei)|nouve(?:au fichier|lle page)|nuev[oa] (?:archivo|página))\b"
)
#: Sentences that say what the work is, where a list below them only tells its details.
PROPOSAL = Words(
    r"^\W*(?:(?:my |the )?(?:proposal|suggestion|idea|request)\b|please\b|could (?:we|you)\b|can (?:we|you)\b"
    r"|let['’]?s\b"
    r"|i['’]d (?:like|rather|prefer)\b|i would like\b|we (?:should|need)\b|there should\b|bitte\b|je propose\b"
    r"|propongo\b)"
)
#: Sentences that say where a fault comes from.
CAUSE = Words(
    r"\b(?:culprit|root cause|caused by|the cause|(?:bug|problem|fault|error|issue|mistake) (?:is|seems to be|must be"
    r"|lies|sits) (?:probably |likely |somewhere )?(?:in|with|that)|(?:comes|stems|originates) from|responsible for"
    r"|due to|ursache|liegt (?:an|in)|vient de|à cause de|la causa|se debe a)\b"
)
#: Introductions of rules that every piece of the work has to keep.
RULES = Words(r"\b(?:rules|constraints|conditions|guidelines|conventions|regeln|règles|reglas)\W*$")
#: Something that is not to be.
NEGATED = Words(r"\b(?:nothing|no|not|never|none|nicht|kein\w*|nichts|rien|pas|nada|не|нет)\b|n['’]t\b|不")
#: Introductions of steps that show a fault, or of the versions it was seen with.
STEPS = Words(
    r"\b(?:steps|(?:steps|how) to reproduce|reproduc\w+|to see (?:it|this)|environment|versions?|schritte|étapes)\W*$"
)
#: A wish without a verb: "Docs with examples."
WISH = Words(
    r"^\W*(?:and )?(?:new|another|docs?|documentation|tests?|readme|man ?page|an? (?:new|entry|page|paragraph|section"
    r"|chapter|classifier|few words|test|check"
    r"|line|note|example|option|flag|command|method|function|class|property|hook)|neue[rs]?|nouve(?:au|lle)"
    r"|nuev[oa])\b"
)
#: What is told of the present or the past, below a title that orders something.
BACKGROUND = Words(
    r"\b(?:i|i['’]\w+|we|our|us|my|me|today|currently|now|was|were|had|been|people|users|everybody|nobody|everyone"
    r"|because|since|so far|at the moment|when i|already|here|only|exists?|has(?! to)|have(?! to)|does"
    r"|doesn['’]t|isn['’]t|other tools?|(?:is"
    r"|are)(?! \w+(?:ed|en|wn)\b))\b"
)
