"""The project's documents, cut into what tests look at: blocks, tables, sections and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
_FENCE: Final = re.compile(r"^```(?P<language>\w+)(?: (?P<file>\S+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block. One with a file name is a file that the reader is told to write."""

    document: str
    line: int
    language: str
    file: str | None
    text: str

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


class Document:
    """One Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.relative_to(ROOT).as_posix()
        self.text = path.read_text(encoding="utf-8")

    @property
    def blocks(self) -> list[Block]:
        """All fenced blocks, from top to bottom."""
        return [
            Block(self.name, self.text.count("\n", 0, found.start()) + 1, found["language"], found["file"], found["text"])
            for found in _FENCE.finditer(self.text)
        ]

    @property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return _FENCE.sub("", self.text)

    @property
    def links(self) -> list[str]:
        return _LINK.findall(self.prose)

    @property
    def headings(self) -> list[str]:
        return [title for _, title in _HEADING.findall(self.prose)]

    @property
    def anchors(self) -> set[str]:
        """What links may name after `#`: headings as the web shows them."""
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in self.headings}

    def section(self, title: str) -> str:
        """Return what stands below a heading, up to the next of its level or a higher one."""
        found = re.search(rf"^(#+) {re.escape(title)}$", self.text, re.MULTILINE)
        assert found is not None, f"{self.name} has no section {title!r}"
        rest = self.text[found.end() :]
        end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
        return rest[: end.start()] if end else rest

    def table(self, title: str) -> list[list[str]]:
        """Return the cells of the first table below a heading, without its head."""
        lines = self.section(title).split("\n|", 1)[1].split("\n\n")[0].splitlines()
        return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))] for line in lines[2:]]


def documents() -> Iterator[Document]:
    """Return every document of the project."""
    for path in sorted(
        (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugin*/README.md"), *ROOT.glob("plugin*/*/README.md"))
    ):
        yield Document(path)


def document(name: str) -> Document:
    """Return one document by its path in the project."""
    return Document(ROOT / name)


def own() -> list[Document]:
    """Return the documents that are not a single plugin's."""
    return [one for one in documents() if not one.name.startswith("plugin")]


def plain(cell: str) -> str:
    """Return a table's cell without the marks of code."""
    return cell.strip("`")
