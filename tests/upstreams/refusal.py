"""A request that breaks a rule of its provider."""

from __future__ import annotations

from typing import Literal

Kind = Literal["unknown", "missing", "type", "value", "rule"]
Path = tuple[str | int, ...]


class Refused(Exception):
    """The provider refuses the request, with 400 unless said otherwise."""

    def __init__(self, path: Path, message: str, kind: Kind = "rule", *, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.path, self.message, self.kind, self.code, self.status = path, message, kind, code, status

    def __str__(self) -> str:
        return f"{brackets(self.path) or '(body)'}: {self.message}"


def brackets(path: Path) -> str:
    """Return a path as OpenAI writes it: `messages[0].content`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def dots(path: Path) -> str:
    """Return a path as Anthropic writes it: `messages.0.content`."""
    return ".".join(map(str, path))
