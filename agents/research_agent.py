"""The agent that answers questions about repositories with what stands in them, cited.

Owns the task. Leaves finding to `research`. Keeps: every statement of an answer is a passage that was looked up at the
commit it names, or a sentence that cites such passages; where nothing was found, that is the answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ..eventstore.errors import TwelvefoldError
from .base import BaseAgent
from .context import TaskContext
from .repository_errors import RepositoryNameTaken
from .response import ToolResponse

#: A longer question is none.
QUESTION_LENGTH_MAX = 4000


class ResearchTask(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked: a question, and the repositories (folders, or `name=folder`) in which the answer may stand.

    `revision` is what to read of each, HEAD by default; `limit` bounds the passages. `optional`: repositories that
    can't be read are left out with a note, instead of being an error.
    """

    question: str
    repos: list[str]
    revision: str | None = None
    limit: int = 8
    optional: bool = False


class ResearchAgent(BaseAgent):
    """Answers a question about the code, documents and history of repositories, with citations."""

    workflow_stages = ("look", "search", "write")

    def execute_task(self, task: ResearchTask, context: TaskContext) -> ToolResponse:
        """Answer with `{question, found, answer, citations, repos, …}`, proved by each citation.

        `nothing_to_do`, reason `nothing_found`, where no passage speaks of what was asked.
        """
        question = task.question.strip()
        if not question or len(question) > QUESTION_LENGTH_MAX:
            return ToolResponse.failed("no_question", f"a question has 1 to {QUESTION_LENGTH_MAX} characters")
        if not task.repos:
            return ToolResponse.failed("no_repositories", "no repository to look into is named")
        self.current_stage = "look"
        sources, skipped = self._sources(task, context)
        if not sources:
            return ToolResponse.failed("no_repositories", "; ".join(skipped))
        self.current_stage = "search"
        return self._answer(question, task, sources, skipped, context)

    def _sources(self, task: ResearchTask, context: TaskContext) -> tuple[list[Any], list[str]]:
        """Find the commit of each repository, and record it; raises what keeps one from being read."""
        from .repositories.allowed import require
        from .repositories.rules import named_folder
        from .research.sources import Source, open_source

        sources, skipped = [], []
        for text in dict.fromkeys(task.repos):
            name, folder = named_folder(text)
            asked = {"repo": str(folder), "revision": task.revision}

            def find(name: str = name, folder: Path = folder) -> Source:
                require(context, folder, "read")
                return open_source(folder, name, task.revision)

            try:
                sources.append(context.effect("git", "find commit", asked, find, effect="read", result=Source))
            except TwelvefoldError as error:
                if not task.optional or error.code not in _UNREADABLE:
                    raise
                skipped.append(f"{name}: {error.message()}")
        by_name: dict[str, str] = {}
        for one in sources:
            if by_name.setdefault(one.name, one.path) != one.path:
                raise RepositoryNameTaken(one.name, (by_name[one.name], one.path))
        return list({one.path: one for one in sources}.values()), skipped

    def _answer(
        self, question: str, task: ResearchTask, sources: list[Any], skipped: list[str], context: TaskContext
    ) -> ToolResponse:
        from .research.citation import evidence_of
        from .research.search import Findings, search
        from .research.written_answer import written_answer

        folder = context.places.cache / "research"
        limit = min(max(task.limit, 1), 20)
        asked = {"question": question, "sources": [[one.path, one.commit] for one in sources], "limit": limit}
        findings = context.effect(
            "tool", "search", asked, lambda: search(question, sources, folder, limit), effect="read", result=Findings
        )
        self.current_stage = "write"
        written = written_answer(context, question, findings.citations)
        value = answer_data(question, findings, written, skipped)
        if not findings.citations:
            return ToolResponse(
                True, data=value, message=value["answer"], outcome="nothing_to_do", reason="nothing_found"
            )
        count = len(findings.citations)
        places = len({one.repo for one in findings.citations})
        message = f"{count} passage{'s' if count > 1 else ''} in {places} repositor{'ies' if places > 1 else 'y'}"
        return ToolResponse.succeeded(value, [evidence_of(one) for one in findings.citations], message)


#: What keeps a repository from being read without being a fault of the question: gone, none, empty, forbidden.
_UNREADABLE = frozenset({"E442", "E443", "E444", "E445", "E493"})


def answer_data(question: str, findings: Any, written: Any, skipped: list[str]) -> dict[str, Any]:
    """Return the answer as data: what was found, in words and as citations, and what was looked into."""
    from .research.written_answer import told

    citations = findings.citations
    names = ", ".join(one.name for one in findings.sources)
    if not citations:
        missing = f" ({', '.join(findings.missing)} stand nowhere in them)" if findings.missing else ""
        answer = f"Nothing was found about this in {names}{missing}."
    elif written.sentences:
        answer = told(written.sentences)
    else:
        answer = "\n\n".join(f"[{one.n}] {one.ref}\n{one.text}" for one in citations)
    return {
        "question": question,
        "found": bool(citations),
        "answer": answer,
        "written_by": written.model if written.sentences else None,
        "sentences": msgspec.to_builtins(written.sentences),
        "citations": msgspec.to_builtins(citations),
        "repos": msgspec.to_builtins(findings.sources),
        "missing_words": findings.missing,
        "notes": [
            *skipped,
            *(f"{one.name}: {note}" for one in findings.sources for note in one.notes),
            *([written.refused] if written.refused else []),
            *([f"{written.dropped} sentences without a valid citation were dropped"] if written.dropped else []),
            *([f"{findings.dropped} passages were not in their commits any more"] if findings.dropped else []),
        ],
    }
