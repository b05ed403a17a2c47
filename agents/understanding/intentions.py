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
    r"(?<![\"'“‘`«])\b(?:ignor(?:e|ing)|disregard|forget|override|bypass|supersed\w+|vergiss|ignoriere|ignore[zr]"
    r"|ignora|olvida|oublie[zr]?)\W+(?:\w+\W+){0,4}?(?:previous|prior|above|earlier|preceding|existing|other|your"
    r"|former|vorherigen|bisherigen|anteriores|précédentes|system)\W+(?:\w+\W+){0,2}?(?:instructions?|prompts?|rules?"
    r"|guidelines?|directions?|orders?|constraints?|anweisungen|instrucciones|messages?|restrictions?|policies|policy"
    r"|safety)\b|\bnew (?:system )?instructions?\s*:|\bsystem (?:prompt|override|message)\s*:|<\|?(?:im_start|system"
    r"|endoftext)\|?>|\[/?(?:inst|system)\]|\byou are now\b|\bdeveloper mode\b|\bjailbreak\b|\b(?:ignor\w+|oubli\w+"
    r"|olvid\w+|vergiss|vergesst|missachte\w*) (?:\w+ ){0,3}?(?:instructions|consignes|instrucciones|indicaciones"
    r"|anweisungen|istruzioni|instruções)\b"
)
#: Words to a machine that reads issues, not to people who do the work.
_ADDRESSED = Words(
    r"\b(?:(?:note|instructions?|message|attention|important|hint|order|request)s? (?:to|for) (?:the |any |all "
    r"|every )?(?:\w+ )?(?:ai|llm|bot|agents?|assistants?|copilot|language models?|automation|model)s?\b|(?:dear|hey"
    r"|hello|hi) (?:ai|bot|agent|assistant|copilot|claude|chatgpt|gpt|gemini)\b|(?:ai|llm|coding|automated"
    r"|autonomous)[ -](?:agents?|assistants?|bots?|models?|tools?)\b(?: \w+){0,6} (?:must|should|shall|have to|has to"
    r"|need to|are to|please)\b|if you are an? (?:\w+ )?(?:ai|llm|agent|bot|assistant|language model)|as an? (?:ai"
    r"|automated) (?:\w+ )?(?:agent|assistant|model)|you(?:,| are) (?:the |an? )(?:\w+ )?(?:agent|assistant|ai|bot)\b)"
)
#: Things that are nobody's business but their owner's.
_SECRETS = Words(
    r"(?:~|\$home|/home/\w+|/root)/\.(?:ssh|aws|gnupg|kube|docker|netrc|npmrc|pypirc|config|git-credentials)|\.ssh/"
    r"|\bid_(?:rsa|ed25519|ecdsa)\b|\.aws/credentials|\.netrc\b|\.npmrc\b|\.git-credentials|/etc/(?:passwd|shadow"
    r"|sudoers)|/proc/(?:self|\d+)/environ|\b(?:github|gitlab|npm|pypi|aws|deploy"
    r"|ci)[_ -]?(?:access[_ -]?)?(?:tokens?|keys?|secrets?|credentials?)\b|\b(?:private|ssh|signing) keys?\b|\b(?:all"
    r"|every|the (?:user|machine|developer|process|runner)['’]?s?) (?:of the |our |the |your |its )?(?:[\w'’-]+ )?"
    r"(?:environment variables"
    r"|env vars|secrets|credentials|passwords|tokens|cookies)\b|\bprintenv\b|(?<![\w.])\.env\b|\bkeychain\b"
    r"|\bwallets?\b|\bbrowser (?:cookies|passwords|history)\b"
)
_SENDING = Words(
    r"\b(?:envoi\w*|envoy\w*|env[íi]a\w*|sende\w*|schick\w*|hochlad\w*|отправ\w*|upload|post|send|exfiltrat\w+"
    r"|transmit|forward|leak|e-?mail|report|copy|mail|submit|push|beacon|phone home|ship)\w*\b.{0,160}?(?:https?://"
    r"|\bto (?:my|our|the|an?|this|that|attacker|example|evil)\b.{0,40}?\b(?:server|endpoint|host|webhook|url|address"
    r"|bucket|collector|domain|site|mail)\b|\b[\w.-]+\.(?:com|net|org|io|xyz|ru|cn|example|invalid|test|sh|dev)\b)"
    r"|\b(?:curl|wget|nc|ncat|scp|rsync|invoke-webrequest)\b.{0,200}?(?:-d|--data\S*|-f|-t|--upload-file|--post-\S+|@"
    r"|\$\(|`)"
)
#: Code from elsewhere that is to be run unseen.
_REMOTE_CODE = re.compile(
    r"\b(?:download|fetch|load|retrieve)\w*\b.{0,60}?\b(?:and|then)\b.{0,20}?\b(?:execut|run|eval"
    r"|install)\w*\b.{0,80}?https?://|\b(?:curl|wget|fetch|iwr)\b[^\n|]{0,300}\|\s*(?:sudo\s+)?(?:\w*sh|python\d?"
    r"|perl|ruby|node|php)\b|\b(?:ba)?sh\s+(?:-c\s+)?[\"']?<?\(?\$?\(?(?:curl|wget)\b|\bbase64\s+(?:-d"
    r"|--decode)[^\n]{0,80}\|\s*(?:\w*sh|python)|\beval\s*[\"'(]?\s*[\"'(`]?\$?\(?\s*(?:curl|wget|base64)\b"
    r"|\bpip3? install\s+(?:-\S{1,40}\s+){0,4}?(?:git\+)?http",
    re.I,
)
_DESTROY = re.compile(
    r"\brm\s+(?:-\w{1,12}\s+){0,3}?-\w{0,8}[rf]\w{0,8}\s+(?:-\S{1,30}\s+){0,3}?(?:/|~|\$HOME|\.\./|\*|\.git\b|\.\s"
    r"|/\w)|\bmkfs\b|\bdd\s+if=\S+\s+of=/dev|:\(\)\s*\{\s*:\s*\|\s*:|\bshutil\.rmtree\(\s*[\"'](?:/|~)"
    r"|\bgit\s+push\s+(?:\S{1,60}\s+){0,4}?(?:--force\b|-f\b|--mirror)|\b(?:delete|wipe|erase|destroy"
    r"|remove) (?:the )?(?:whole|entire|all (?:of )?the|everything in|all) (?:\w+ )?(?:repositor\w+|repo\b"
    r"|git history|history|branches|home (?:folder|directory)|disk|backups?|databases?|files? (?:on|outside))",
    re.I,
)
_HIDING = Words(
    r"\b(?:(?:do not|don['’]t|never|without) (?:\w+ ){0,3}?(?:mention(?:ing)?|tell(?:ing)?|report(?:ing)?"
    r"|reveal(?:ing)?|disclos(?:e|ing)|say(?:ing)? anything|show(?:ing)?|inform(?:ing)?"
    r"|notify(?:ing)?) (?:\w+ ){0,4}?(?:this|these|it|about|the user|anyone|anybody|reviewers?|maintainers?|users?"
    r"|humans?|owner)|so (?:that )?(?:no ?(?:one|body)|reviewers?|maintainers?|nobody) (?:\w+ ){0,2}?(?:notices?"
    r"|sees?|finds?|suspects?)|(?:hide|conceal|disguise|obfuscate|bury|camouflage) (?:\w+ ){0,6}?(?:from|in|among|so"
    r"|change|code|commit)|(?:nobody|no ?one) (?:needs to|has to|must|should|may|will) (?:know|notice|see|find out)"
    r"|unnoticed|covertly|silently (?:add|send|upload|include|install|disable)|looks? (?:innocent|harmless|innocuous"
    r"|unrelated)|plausible deniability)\b"
)
_EVADE = Words(
    r"\b(?:(?:skip|disable|turn off|switch off|bypass|remove|delete|circumvent|mark as passed|fake"
    r"|forge) (?:\w+ ){0,4}?(?:tests?|checks?|reviews?|ci\b|sandbox|safety|permission|approval|guard|code review"
    r"|audit|security|signature|verification)|without (?:any )?(?:review|tests?|testing|approval|asking)"
    r"|report (?:it |this |that )?(?:as )?(?:success|passed|done)|(?:say|claim|pretend|answer"
    r"|reply) (?:that )?(?:\w+ ){0,4}?(?:pass(?:ed)?|succe\w+|done|fixed)|--no-verify|(?:directly|straight) (?:to|on"
    r"|into) (?:main|master|production)|merge (?:it )?(?:yourself|immediately|without))\b"
)
_BACKDOOR = Words(
    r"\b(?:(?:add|insert|leave|build in|install|put in|plant|include|open|create|implement|need"
    r"|want) (?:\w+ ){0,5}?(?:back ?doors?|reverse shell|key ?logger|root ?kit|trojan|malware|ransomware|(?:crypto\w*"
    r"|coin|monero|bitcoin)[ -]?miner|spyware|logic bomb|web ?shell|hidden (?:admin|account|user|endpoint|login))"
    r"|(?:master|universal|magic|hidden|secret) password (?:that|which|to|for)|(?:accept|allow|let"
    r"|grant) (?:\w+ ){0,5}?(?:any password|without (?:a )?password|regardless of (?:the )?password)|mine (?:bitcoin"
    r"|monero|crypto\w*)|(?:steal|harvest|siphon|exfiltrat\w+|skim) (?:\w+ ){0,5}?(?:data|passwords?|tokens?"
    r"|credentials?|cookies?|keys?|secrets?|addresses|card)|denial[ -]of[ -]service (?:against|on|to)|ddos"
    r"|phishing (?:page|mail|site))\b"
)
#: Who tells of an attack in order to have it stopped.
_DEFENDING = Words(
    r"\b(?:prompt injection|jailbreak\w*|prevent|fix|stop|block|reject|refuse|forbid|avoid|protect|harden"
    r"|guard against|vulnerab\w+|cve-\d+|attackers?|leaks?|exposed?|is possible|can be (?:used|abused|exploited)"
    r"|should(?:n['’]t| not| never)|must not|must never|no longer|redact|mask|detect)\b"
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
