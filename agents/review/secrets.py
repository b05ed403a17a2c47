"""Secrets that a change brings: known shapes of tokens and keys, and values under telling names that look random.

Pure. Keeps: the secret itself is never repeated, neither in a finding nor in a log; and what stands for a secret in
documentation (a placeholder, a published example) isn't one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from .change import Change, ChangedFile
from .finding import Confidence, Finding, weaker
from .kinds import LOCKS, is_fixture, is_test, is_text
from .rules import Rules

LINE_LENGTH_MAX = 20_000
#: What it is, its shape (group 1, or all, is the secret part), and whether that shape alone is proof enough.
_SHAPES: tuple[tuple[str, str, Confidence], ...] = (
    ("AWS access key", r"\b((?:AKIA|ASIA)[A-Z2-7]{16})\b", "high"),
    ("GitHub token", r"\b((?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{36,255})\b", "high"),
    ("GitHub token", r"\b(github_pat_[A-Za-z0-9_]{60,255})\b", "high"),
    ("GitLab token", r"\b(gl(?:pat|ptt|dt|rt|ft|soat|agent)-[A-Za-z0-9_-]{20,64})\b", "high"),
    ("Slack token", r"\b(xox[abeoprs]-(?:\d+-){0,3}[A-Za-z0-9-]{20,})\b", "high"),
    ("Slack webhook", r"https://hooks\.slack\.com/services/(T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/[A-Za-z0-9]{20,})", "high"),
    ("Stripe key", r"\b((?:sk|rk)_live_[A-Za-z0-9]{20,})\b", "high"),
    ("Google API key", r"\b(AIza[A-Za-z0-9_-]{35})(?![A-Za-z0-9_-])", "high"),
    ("Google OAuth secret", r"\b(GOCSPX-[A-Za-z0-9_-]{28})\b", "high"),
    ("npm token", r"\b(npm_[A-Za-z0-9]{36})\b", "high"),
    ("PyPI token", r"\b(pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,})", "high"),
    ("Anthropic key", r"\b(sk-ant-[A-Za-z0-9_-]{30,})", "high"),
    ("OpenAI key", r"\b(sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{16,}T3BlbkFJ[A-Za-z0-9_-]{16,})", "high"),
    ("Hugging Face token", r"\b(hf_[A-Za-z]{34})\b", "high"),
    ("SendGrid key", r"\b(SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})\b", "high"),
    ("Twilio key", r"\b(SK[0-9a-f]{32})\b", "medium"),
    ("DigitalOcean token", r"\b(do[por]_v1_[0-9a-f]{64})\b", "high"),
    ("Shopify token", r"\b(shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32})\b", "high"),
    ("Telegram bot token", r"\b(\d{8,10}:AA[A-Za-z0-9_-]{33})\b", "high"),
    ("Azure storage key", r"AccountKey=([A-Za-z0-9+/]{86}==)", "high"),
    ("JSON web token", r"\b(eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,})", "medium"),
    (
        "password in a URL",
        r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@'\"<>{}$]{1,64}:([^\s/@'\"<>{}$%]{6,64})@[\w.-]",
        "medium",
    ),
)
_KEY_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
_KEY_BODY = re.compile(r"[A-Za-z0-9+/]{40,}")
_NAMED = re.compile(
    r"""(?ix)
    (?<![\w.-])([\w.-]{0,60}?(?:passw(?:or)?d|passwd|pwd|secret|token|api[_-]?key|apikey|access[_-]?key|private[_-]?key|credential|auth
      [_-]?key|client[_-]?key|encryption[_-]?key)[\w.-]{0,60})
    ["']?\s*(?:=>|:=|=|:)\s*(?:str\()?\s*
    (?:[rbuf]{0,2}(["'])([^"'\s]{8,200})\2|([A-Za-z0-9+/=_.~!@#%^&*-]{16,200})\s*$)
    """
)
_PLACEHOLDER = re.compile(
    r"(?i)example|sample|dummy|placeholder|changeme|change[_-]?me|replace|your|my[_-]|insert|redacted|secret|passw|token|"
    r"test|fake|mock|foo|bar|xxx|\.\.\.|\*\*\*|<|>|\$\{|\{\{|%\(|\$\(|todo|none|null|undefined|abcdef|012345|123456|deadbeef"
)
_CODE_LIKE = re.compile(
    r"^[A-Za-z_][\w]*(?:[.\[(][\w.\[\]()'\"]*)+$|^[a-z]+(?:[_-][a-z]+)+$|^[A-Z]+(?:_[A-Z]+)+$|^https?://|^/|^\."
)
_HASHES = re.compile(
    r"(?i)sha(?:1|256|384|512)|md5|integrity|checksum|digest|hash|fingerprint|etag|public[_-]?key|pubkey"
)


def check_secrets(change: Change, rules: Rules) -> Iterator[Finding]:
    """Look for secrets on the lines that the change brings."""
    for file in change.files:
        if file.new_file is None or file.name in LOCKS:
            continue
        known = "\n".join(line for _, line in file.removed_lines)
        for number, line in file.added_lines:
            if len(line) <= LINE_LENGTH_MAX:
                yield from _line(file, number, line, known)


def _line(file: ChangedFile, number: int, line: str, known: str) -> Iterator[Finding]:
    told = False
    if _KEY_BEGIN.search(line):
        below = [*file.new_lines[number : number + 4], line.rpartition("PRIVATE KEY")[2]]
        if any(_KEY_BODY.search(one) and not _is_placeholder(_KEY_BODY.search(one)[0]) for one in below):  # type: ignore[index]
            told = True
            yield _finding(file, number, "private-key", "a private key", "high")
    for what, shape, sure in _SHAPES:
        for match in re.finditer(shape, line):
            secret = match[1]
            body = secret[4:] if len(secret) > 12 else secret
            # Moved or reindented, it is nothing that this change brings.
            if secret in known or _is_placeholder(body) or entropy(body) < (2.4 if sure == "medium" else 2.8):
                continue
            told = True
            yield _finding(file, number, "secret", f"{_article(what)} (`{masked(secret)}`)", sure)
    if told:
        return
    for match in _NAMED.finditer(line):
        name, value = match[1], match[3] or match[4]
        if match[4] is not None and file.suffix not in (
            "",
            ".env",
            ".ini",
            ".cfg",
            ".conf",
            ".properties",
            ".yml",
            ".yaml",
        ):
            continue  # without quotes it is a value only in files that hold nothing but values
        if value in known or _HASHES.search(name) or not _looks_random(value):
            continue
        yield _finding(file, number, "possible-secret", f"what may be a secret under the name `{name[:60]}`", "medium")


def _article(what: str) -> str:
    return f"an {what}" if what[0] in "AO" else f"a {what}"


def _finding(file: ChangedFile, number: int, rule: str, what: str, sure: Confidence) -> Finding:
    # Tests and documentation need things that look like secrets.
    apart = is_test(file.path) or is_fixture(file.path) or is_text(file.path)
    confidence = weaker(sure) if apart else sure
    return Finding(
        file=file.path, line=number, rule=rule,
        severity="warning" if rule == "possible-secret" or (apart and rule != "secret") else "error",
        confidence=confidence, message=f"{what} is committed",
        harm="whoever can read the repository can use it, and it stays in the history when it is removed again",
    )  # fmt: skip


def masked(secret: str) -> str:
    """Return what of a secret may be shown: enough to find it by, too little to use it."""
    return secret[: min(6, len(secret) // 4)] + "…"


def entropy(text: str) -> float:
    """Return the bits of information per character, as the frequencies of the characters in it say."""
    if not text:
        return 0.0
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


def _is_placeholder(text: str) -> bool:
    return bool(_PLACEHOLDER.search(text)) or len(set(text)) < 6


def _looks_random(value: str) -> bool:
    """Tell whether a value is nothing that a person would write: letters and digits mixed, and no word among them."""
    if _is_placeholder(value) or _CODE_LIKE.search(value) or " " in value:
        return False
    kinds = sum(bool(re.search(kind, value)) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    words = re.findall(r"[a-z]{5,}|[A-Z][a-z]{4,}|[A-Z]{6,}", value)
    if sum(map(len, words)) > len(value) / 2:
        return False
    hexadecimal = re.fullmatch(r"[0-9a-fA-F]{20,}", value) is not None
    return (kinds >= 2 and "".join(re.findall("[0-9]", value)) != "" and entropy(value) >= 3.3) or (
        hexadecimal and entropy(value) >= 3.0
    )
