"""What nobody should act on: an issue that gives orders to the reader's tools, or asks for harm.

Owns those signals. Pure. An issue's text is data from strangers; nothing here ever follows it. Keeps: what stands in
a traceback or in output counts for nothing by itself, and a report of an attack (kind `security`) isn't one.
"""

from __future__ import annotations

import re

import msgspec

from ...orchestration.issue_language import Words
from ...orchestration.issue_units import Reading

#: So much of a text is looked at; the rest of a longer one by its end.
LOOKED_AT_MAX = 200_000
#: Orders to forget other orders.
_OVERRIDE = Words(
    r"\b(?:ignor(?:e|ing)|disregard|forget|override|bypass|supersed\w+|vergiss|ignoriere|ignore[zr]|ignora|olvida"
    r"|oublie[zr]?)"
    r"\W+(?:\w+\W+){0,4}?(?:previous|prior|above|earlier|preceding|existing|other|your|former|vorherigen|bisherigen"
    r"|anteriores|précédentes|system)\W+(?:\w+\W+){0,2}?(?:instructions?|prompts?|rules?|guidelines?|directions?"
    r"|orders?"
    r"|constraints?|anweisungen|instrucciones|messages?|restrictions?|policies|policy|safety)\b"
    r"|\bnew (?:system )?instructions?\s*:|\bsystem (?:prompt|override|message)\s*:|<\|?(?:im_start|system"
    r"|endoftext)\|?>"
    r"|\[/?(?:inst|system)\]|\byou are now\b|\bdeveloper mode\b|\bjailbreak\b"
)
#: Words to a machine that reads issues, not to people who do the work.
_ADDRESSED = Words(
    r"\b(?:(?:note|instructions?|message|attention|important|hint|order|request)s? (?:to|for) (?:the |any |all "
    r"|every )?(?:\w+ )?"
    r"(?:ai|llm|bot|agents?|assistants?|copilot|language models?|automation|model)s?\b|(?:dear|hey|hello|hi) (?:ai"
    r"|bot|agent"
    r"|assistant|copilot|claude|chatgpt|gpt|gemini)\b|(?:ai|llm|coding|automated|autonomous)[ -](?:agents?"
    r"|assistants?|bots?"
    r"|models?|tools?)\b(?: \w+){0,6} (?:must|should|shall|have to|has to|need to|are to|please)\b"
    r"|if you are an? (?:\w+ )?(?:ai"
    r"|llm|agent|bot|assistant|language model)|as an? (?:ai|automated) (?:\w+ )?(?:agent|assistant|model)|you(?:,"
    r"| are) (?:the |an? )"
    r"(?:\w+ )?(?:agent|assistant|ai|bot)\b)"
)
#: Things that are nobody's business but their owner's.
_SECRETS = Words(
    r"(?:~|\$home|/home/\w+|/root)/\.(?:ssh|aws|gnupg|kube|docker|netrc|npmrc|pypirc|config|git-credentials)"
    r"|\.ssh/|\bid_(?:rsa|ed25519|ecdsa)\b|\.aws/credentials|\.netrc\b|\.git-credentials|/etc/(?:passwd|shadow|sudoers)"
    r"|/proc/(?:self|\d+)/environ|\b(?:github|gitlab|npm|pypi|aws|api|access|auth|deploy|ci|secret"
    r"|session)[_ -]?(?:access[_ -]?)?"
    r"(?:tokens?|keys?|secrets?|credentials?)\b|\bcredentials?\b|\bprivate keys?\b|\bpasswords?\b"
    r"|\benvironment variables\b|\bprintenv\b"
    r"|\benv dump\b|\bsecrets\b|\.env\b|\bcookies?\b|\bkeychain\b|\bwallets?\b"
)
_SENDING = Words(
    r"\b(?:upload|post|send|exfiltrat\w+|transmit|forward|leak|e-?mail|report|copy|mail|submit|push|beacon"
    r"|phone home|ship)\w*\b.{0,160}?"
    r"(?:https?://|\bto (?:my|our|the|an?|this|that|attacker|example|evil)\b.{0,40}?\b(?:server|endpoint|host"
    r"|webhook|url|address|bucket"
    r"|collector|domain|site|mail)\b|\b[\w.-]+\.(?:com|net|org|io|xyz|ru|cn|example|invalid|test|sh|dev)\b)"
    r"|\b(?:curl|wget|nc|ncat|scp|rsync|invoke-webrequest)\b.{0,200}?(?:-d|--data\S*|-f|-t|--upload-file|--post-\S+"
    r"|@|\$\(|`)"
)
#: Code from elsewhere that is to be run unseen.
_REMOTE_CODE = re.compile(
    r"\b(?:curl|wget|fetch|iwr)\b[^\n|]{0,300}\|\s*(?:sudo\s+)?(?:\w*sh|python\d?|perl|ruby|node|php)\b"
    r"|\b(?:ba)?sh\s+(?:-c\s+)?[\"']?<?\(?\$?\(?(?:curl|wget)\b|\bbase64\s+(?:-d|--decode)[^\n]{0,80}\|\s*(?:\w*sh"
    r"|python)"
    r"|\beval\s*[\"'(]?\s*[\"'(`]?\$?\(?\s*(?:curl|wget|base64)\b|\bpip3? install\s+(?:-\S+\s+)*(?:git\+)?http",
    re.I,
)
_DESTROY = re.compile(
    r"\brm\s+(?:-\w+\s+)*-\w*[rf]\w*\s+(?:-\S+\s+)*(?:--no-preserve-root\s+)?(?:/|~|\$HOME|\.\./|\*|\.git\b|\.\s"
    r"|/\w)|\bmkfs\b|\bdd\s+if=\S+\s+of=/dev"
    r"|:\(\)\s*\{\s*:\s*\|\s*:|\bshutil\.rmtree\(\s*[\"'](?:/|~)|\bgit\s+push\s+(?:\S+\s+)*(?:--force\b|-f\b|--mirror)"
    r"|\b(?:delete|wipe|erase|destroy|remove) (?:the )?(?:whole|entire|all (?:of )?the|everything in"
    r"|all) (?:\w+ )?(?:repositor\w+|repo\b|git history"
    r"|history|branches|home (?:folder|directory)|disk|backups?|databases?|files? (?:on|outside))",
    re.I,
)
_HIDING = Words(
    r"\b(?:(?:do not|don['’]t|never|without) (?:\w+ ){0,3}?(?:mention(?:ing)?|tell(?:ing)?|report(?:ing)?"
    r"|reveal(?:ing)?|disclos(?:e|ing)"
    r"|say(?:ing)? anything|show(?:ing)?|inform(?:ing)?|notify(?:ing)?) (?:\w+ ){0,4}?(?:this|these|it|about"
    r"|the user|anyone|anybody"
    r"|reviewers?|maintainers?|users?|humans?|owner)|so (?:that )?(?:no ?(?:one|body)|reviewers?|maintainers?"
    r"|nobody) (?:\w+ ){0,2}?(?:notices?|sees?|finds?"
    r"|suspects?)|(?:hide|conceal|disguise|obfuscate|bury|camouflage) (?:\w+ ){0,6}?(?:from|in|among|so|change|code"
    r"|commit)|unnoticed|covertly|silently"
    r" (?:add|send|upload|include|install|disable)|looks? (?:innocent|harmless|innocuous|unrelated)"
    r"|plausible deniability)\b"
)
_EVADE = Words(
    r"\b(?:(?:skip|disable|turn off|switch off|bypass|remove|delete|circumvent|mark as passed|fake"
    r"|forge) (?:\w+ ){0,4}?(?:tests?|checks?|reviews?|ci\b"
    r"|sandbox|safety|permission|approval|guard|code review|audit|security|signature|verification)"
    r"|without (?:any )?(?:review|tests?|testing"
    r"|approval|asking)|report (?:it |this |that )?(?:as )?(?:success|passed|done)|(?:say|claim|pretend|answer"
    r"|reply) (?:that )?(?:\w+ ){0,4}?(?:pass(?:ed)?"
    r"|succe\w+|done|fixed)|--no-verify|(?:directly|straight) (?:to|on|into) (?:main|master|production)"
    r"|merge (?:it )?(?:yourself|immediately|without))\b"
)
_BACKDOOR = Words(
    r"\b(?:(?:add|insert|leave|build in|install|put in|plant|include|open|create|implement|need"
    r"|want) (?:\w+ ){0,5}?(?:back ?doors?|reverse shell|key ?logger|root ?kit"
    r"|trojan|malware|ransomware|crypto ?miner|coin ?miner|spyware|logic bomb|web ?shell|hidden (?:admin|account"
    r"|user|endpoint|login))"
    r"|(?:master|universal|magic|hidden|secret) password (?:that|which|to|for)|(?:accept|allow|let"
    r"|grant) (?:\w+ ){0,5}?(?:any password|without (?:a )?password"
    r"|regardless of (?:the )?password)|mine (?:bitcoin|monero|crypto\w*)|(?:steal|harvest|siphon|exfiltrat\w+"
    r"|skim) (?:\w+ ){0,5}?(?:data|passwords?|tokens?"
    r"|credentials?|cookies?|keys?|secrets?|addresses|card)|denial[ -]of[ -]service (?:against|on|to)|ddos"
    r"|phishing (?:page|mail|site))\b"
)
#: Who tells of an attack in order to have it stopped.
_DEFENDING = Words(
    r"\b(?:prevent|fix|stop|block|reject|refuse|forbid|avoid|protect|harden|guard against|vulnerab\w+|cve-\d+"
    r"|attackers?|leaks?|exposed?|is possible"
    r"|can be (?:used|abused|exploited)|should(?:n['’]t| not| never)|must not|must never|no longer|redact|mask"
    r"|detect)\b"
)


class Refusal(msgspec.Struct, frozen=True):
    """Why an issue is not acted on: what it wants, in words, and the places."""

    why: tuple[str, ...]

    def text(self) -> str:
        """Say it in a sentence."""
        return "; ".join(self.why)


def refusal(text: str, reading: Reading) -> Refusal | None:
    """Return why an issue must not be acted on, None for all others."""
    looked = text if len(text) <= LOOKED_AT_MAX else text[: LOOKED_AT_MAX // 2] + "\n" + text[-LOOKED_AT_MAX // 2 :]
    looked = _visible(looked)
    words = _told(looked)
    found: dict[str, str] = {}
    for name, pattern, where in (
        ("override", _OVERRIDE, looked), ("addressed", _ADDRESSED, looked), ("hiding", _HIDING, words),
        ("evade", _EVADE, words), ("backdoor", _BACKDOOR, words), ("sending", _SENDING, looked),
        ("secrets", _SECRETS, looked), ("remote", _REMOTE_CODE, looked), ("destroy", _DESTROY, looked),
    ):  # fmt: skip
        match = _first(pattern, where)
        if match:
            found[name] = match
    defending = _DEFENDING.search(reading.outline.title) is not None
    why = _judge(found, _near(looked), defending)
    return Refusal(tuple(why)) if why else None


def _judge(found: dict[str, str], near: bool, defending: bool) -> list[str]:
    """Return what speaks against acting on an issue: one thing that has no honest meaning, or two that together"
    " don't."""
    why = []
    acts = [
        name for name in ("hiding", "evade", "backdoor", "sending", "remote", "destroy", "secrets") if name in found
    ]
    if "override" in found and ("addressed" in found or acts or not defending):
        why.append(f"it tells its reader to drop other instructions ({found['override']})")
    if "addressed" in found and acts:
        why.append(f"it gives orders to programs that read it ({found['addressed']})")
    if "backdoor" in found and not defending:
        why.append(f"it asks for something harmful ({found['backdoor']})")
    if near and not defending:
        why.append(f"it asks to send secrets away ({found.get('secrets', '')})")
    if "hiding" in found and any(name in found for name in ("evade", "backdoor", "sending", "remote", "destroy")):
        why.append(f"it asks to hide what is done ({found['hiding']})")
    if "remote" in found and ("evade" in found or "addressed" in found or "override" in found):
        why.append(f"it asks to run code from elsewhere ({found['remote']})")
    if "destroy" in found and ("evade" in found or "addressed" in found or "override" in found):
        why.append(f"it asks to destroy what is not its own ({found['destroy']})")
    return why


def _near(text: str) -> bool:
    """Tell whether secrets and their sending stand in one sentence or command."""
    for line in re.split(r"(?<=[.!?])\s+(?=[A-Z])|\n\s*\n|\n(?=\s*[-*\d])", text):
        piece = " ".join(line.split())[:1000]
        if _SECRETS.search(piece) and _SENDING.search(piece) and not _DEFENDING.search(piece):
            return True
    return False


def _visible(text: str) -> str:
    """Return a text in which nothing is hidden: without characters of no width, HTML comments as plain words."""
    text = re.sub("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u00ad]", "", text)
    return text.replace("<!--", " ").replace("-->", " ")


def _told(text: str) -> str:
    """Leave out code blocks: what a program printed isn't asked for."""
    return re.sub(r"^(```|~~~).*?(?:^\1|\Z)", "", text, flags=re.S | re.M)


def _first(pattern: Words | re.Pattern[str], text: str) -> str:
    """Return the first place where a pattern stands, line by line, so that no text makes it slow."""
    for paragraph in re.split(r"\n\s*\n", text):
        piece = " ".join(paragraph.split())
        for at in range(0, len(piece), 3500):
            if match := pattern.search(piece[at : at + 4000]):
                said = match[0]
                return said if len(said) <= 80 else said[:77] + "…"
    return ""
