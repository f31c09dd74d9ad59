"""How the scripted providers speak, and how clients read what they get: OpenAI's chat and responses, Anthropic's messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

MODEL: Final = "m"


def frame(said: Any, name: str = "") -> bytes:
    """Return an event of a stream."""
    data = said if isinstance(said, bytes) else msgspec.json.encode(said)
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + data + b"\n\n"


class Wire:
    """What a provider answers in one protocol."""

    key_header: str
    path: str

    def whole(self, text: str) -> bytes:
        """Return a whole answer."""
        raise NotImplementedError

    def opening(self) -> list[bytes]:
        """Return the events that only say that an answer begins."""
        raise NotImplementedError

    def spoken(self, words: Sequence[str]) -> list[bytes]:
        """Return the events with words."""
        raise NotImplementedError

    def ending(self) -> list[bytes]:
        """Return the events that end an answer."""
        raise NotImplementedError

    def error(self, status: int, *, overloaded: bool = False) -> bytes:
        """Return the body of an error."""
        raise NotImplementedError

    def error_event(self) -> bytes:
        """Return the event of an error."""
        raise NotImplementedError


class Chat(Wire):
    """OpenAI's chat completions."""

    key_header, path = "authorization", "/chat/completions"

    def whole(self, text: str) -> bytes:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
        return msgspec.json.encode(
            {"id": "c1", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice], "usage": usage}
        )

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return frame({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]})

    def opening(self) -> list[bytes]:
        return [self._chunk({"role": "assistant", "content": ""})]

    def spoken(self, words: Sequence[str]) -> list[bytes]:
        return [self._chunk({"content": word}) for word in words]

    def ending(self) -> list[bytes]:
        return [self._chunk({}, "stop"), frame(b"[DONE]")]

    def error(self, status: int, *, overloaded: bool = False) -> bytes:
        code = {404: "model_not_found", 401: "invalid_api_key", 429: "rate_limit_exceeded"}.get(status)
        kind = "server_error" if status >= 500 or overloaded else "invalid_request_error"
        return msgspec.json.encode({"error": {"message": f"scripted {status}", "type": kind, "code": code, "param": None}})

    def error_event(self) -> bytes:
        return frame(self.error(503))


class Messages(Wire):
    """Anthropic's messages."""

    key_header, path = "x-api-key", "/v1/messages"

    def _message(self, content: list[Any], stop: str | None) -> dict[str, Any]:
        usage = {"input_tokens": 7, "output_tokens": 5}
        said = {"id": "m1", "type": "message", "role": "assistant", "model": MODEL, "content": content, "usage": usage}
        return {**said, "stop_reason": stop, "stop_sequence": None}

    def whole(self, text: str) -> bytes:
        return msgspec.json.encode(self._message([{"type": "text", "text": text}], "end_turn"))

    def _event(self, kind: str, **said: Any) -> bytes:
        return frame({"type": kind, **said}, kind)

    def opening(self) -> list[bytes]:
        return [self._event("message_start", message=self._message([], None)), self._event("ping")]

    def spoken(self, words: Sequence[str]) -> list[bytes]:
        start = self._event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        return [start, *(self._event("content_block_delta", index=0, delta={"type": "text_delta", "text": word}) for word in words)]

    def ending(self) -> list[bytes]:
        stop = {"stop_reason": "end_turn", "stop_sequence": None}
        last = self._event("message_delta", delta=stop, usage={"output_tokens": 5})
        return [self._event("content_block_stop", index=0), last, self._event("message_stop")]

    def error(self, status: int, *, overloaded: bool = False) -> bytes:
        kinds = {400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error"}
        kinds |= {404: "not_found_error", 429: "rate_limit_error", 529: "overloaded_error"}
        said = f"model: {MODEL}" if status == 404 else f"scripted {status}"
        kind = "overloaded_error" if overloaded else kinds.get(status, "api_error")
        return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": said}})

    def error_event(self) -> bytes:
        return frame(self.error(529), "error")


# ------------------------------------------------------------------------------------------------- clients


class Heard(msgspec.Struct):
    """What a client makes of a stream."""

    text: str = ""
    ends: list[str] = []
    """Its terminal events, in order: `done` or `error`."""
    after: int = 0
    """Events that came after a terminal one."""


_ASK: Final = "Please answer {}."


def _chat(name: str, stream: bool) -> tuple[str, dict[str, Any]]:
    return "/v1/chat/completions", {"model": MODEL, "stream": stream, "messages": [{"role": "user", "content": _ASK.format(name)}]}


def _messages(name: str, stream: bool) -> tuple[str, dict[str, Any]]:
    return "/v1/messages", {**_chat(name, stream)[1], "max_tokens": 64}


def _responses(name: str, stream: bool) -> tuple[str, dict[str, Any]]:
    return "/v1/responses", {"model": MODEL, "stream": stream, "input": _ASK.format(name)}


REQUESTS: Final[dict[str, Callable[[str, bool], tuple[str, dict[str, Any]]]]] = {
    "openai.chat": _chat, "anthropic.messages": _messages, "openai.responses": _responses,
}  # fmt: skip
"""Where each dialect's clients send a request of this name, and what they send."""


def words_of(dialect: str, body: bytes) -> str:
    """Return the words of a whole answer. Raises for what is none."""
    said = msgspec.json.decode(body)
    match dialect:
        case "openai.chat":
            return str(said["choices"][0]["message"]["content"])
        case "anthropic.messages":
            return "".join(part["text"] for part in said["content"])
    return "".join(part["text"] for item in said["output"] if item["type"] == "message" for part in item["content"])


def message_of(body: bytes) -> str:
    """Return the message of an error. Raises for what is none."""
    return str(msgspec.json.decode(body)["error"]["message"])


def hear(dialect: str, body: bytes) -> Heard:
    """Read a stream from its beginning as a client does. Raises for what no client could read."""
    heard = Heard()
    blocks, rest = body.split(b"\n\n")[:-1], body.rsplit(b"\n\n", 1)[-1]
    if rest.strip():
        raise ValueError(f"half an event: {rest[:100]!r}")
    for block in blocks:
        data = b"".join(line[6:] for line in block.split(b"\n") if line.startswith(b"data: "))
        if data:
            text, end = (None, "done") if data == b"[DONE]" else _said(dialect, msgspec.json.decode(data))
            # An error of a chat is followed by the end marker, one of responses by the failed response.
            heard.after += bool(heard.ends) and not (heard.ends == ["error"] and end is not None)
            heard.text += text or ""
            heard.ends += [end] if end is not None else []
    return heard


def _said(dialect: str, event: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return the words of an event, and whether it ends the stream."""
    kind = event.get("type")
    match dialect:
        case "openai.chat":
            words = "".join(choice["delta"].get("content") or "" for choice in event.get("choices", ()))
            return words, "error" if "error" in event else None
        case "anthropic.messages":
            words = event["delta"]["text"] if kind == "content_block_delta" else ""
            return words, {"message_stop": "done", "error": "error"}.get(str(kind))
    ends = {"response.completed": "done", "response.failed": "error", "error": "error"}
    return event["delta"] if kind == "response.output_text.delta" else "", ends.get(str(kind))
