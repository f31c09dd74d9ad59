"""A reader who follows a document to the letter: writes its files, types its commands, compares what is printed.

A block with a file name is a file. A `console` block holds commands after `$ `, each with what it prints; `...` in it
stands for any text. A command whose output is not shown must succeed.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from tests.docs.markdown import Block, Document

PORT: Final = "8317"
_BIN: Final = Path(sys.executable).parent
_PROGRAMS: Final = {
    "jackfield": [str(_BIN / "jackfield")],
    "python": [sys.executable],
    # Into a folder of the reader's, without a network; `PYTHONPATH` names it.
    "pip": [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"],
    "pytest": [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
    "sh": ["sh"],
    "node": ["node"],
}
_KEPT: Final = frozenset({"PATH", "HOME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR"})
"""What a reader has of the environment: no key of a provider, and no setting of the host's."""
_FOR_A_HOST: Final = frozenset({"reload", "rollback", "status", "credentials", "log"})
"""Commands that speak to the host."""
_PATIENCE: Final = 30.0


class Reader:
    """Reads one document, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        kept = {name: value for name, value in os.environ.items() if name in _KEPT}
        self._environment = {**kept, "PYTHONPATH": str(folder / "installed"), "PYTHONUNBUFFERED": "1"}
        self._host: subprocess.Popen[str] | None = None
        self._port = PORT

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop()

    def follow(self, document: Document) -> None:
        """Do what the document says, from top to bottom."""
        for block in document.blocks:
            if block.file is not None:
                path = self._folder / block.file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
            elif block.language == "console":
                self._type(block)

    def _type(self, block: Block) -> None:
        for entry in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, expected = re.sub(r"\\\n\s*", "", entry).partition("\n")
            status, printed = self._run(command)
            place = f"{block.place}: {command}\n{printed}"
            assert expected.strip() or status == 0, place
            wanted = ".*?".join(map(re.escape, expected.strip().split("...")))
            assert re.fullmatch(wanted if expected.strip() else ".*", printed.strip(), re.DOTALL), f"{place}\nexpected:\n{expected}"

    def _run(self, command: str) -> tuple[int, str]:
        """Run a command; return its exit status and what it prints."""
        words = shlex.split(command)
        if words[0] == "export":
            self._environment.update(word.replace(f":{PORT}", f":{self._port}").split("=", 1) for word in words[1:])
            return 0, ""
        if words == ["kill", "%1"]:
            self._stop()
            return 0, ""
        if words[:2] == ["pip", "install"]:
            words[2:2] = ["--no-index", "--no-deps", "--no-build-isolation", "--target", self._environment["PYTHONPATH"]]
        if words[0] == "curl":
            return 0, self._fetch(words[1:])
        if words[:2] in (["jackfield", "serve"], ["make", "serve"]):
            return self._serve([word for word in words[2:] if word != "&"])
        if words[0] == "python":  # a program that talks to the host, or is one
            self._port = _free_port() if words[-1] == "&" else self._port
            path = self._folder / words[1]
            path.write_text(re.sub(rf"\b{PORT}\b", self._port, path.read_text()))
        if words[-1] == "&":
            return self._begin(words[:-1])
        if words[0] == "jackfield" and words[1] in _FOR_A_HOST:
            words += ["--port", self._port]
        given = None
        if words[-2:-1] == ["<"]:
            words, given = words[:-2], (self._folder / words[-1]).read_text()
        done = subprocess.run(
            [*_PROGRAMS[words[0]], *words[1:]], input=given,
            cwd=self._folder, env=self._environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=2 * _PATIENCE, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout.replace(self._port, PORT)

    def _serve(self, options: list[str]) -> tuple[int, str]:
        """Start a host on a free port; it takes the place of the one before."""
        self._stop()
        self._host = subprocess.Popen(
            [*_PROGRAMS["jackfield"], "serve", *options, "--port", "0"],
            cwd=self._folder, env=self._environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert self._host.stdout is not None
        printed = ""
        for line in self._host.stdout:
            printed += line
            if found := re.search(r"listens on http://[^ ]*:(\d+)", line):
                self._port = found[1]
            if line.startswith("  curl "):
                return 0, printed.replace(self._port, PORT)
        return self._host.wait(), printed

    def _begin(self, words: list[str]) -> tuple[int, str]:
        """Start a program of the document's that is a host, and wait until it listens."""
        self._stop()
        self._host = subprocess.Popen([*_PROGRAMS[words[0]], *words[1:]], cwd=self._folder, env=self._environment, text=True)
        ends = time.monotonic() + _PATIENCE
        while time.monotonic() < ends and self._host.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(self._port)), 1):
                return 0, ""
        return 1, "it does not listen"

    def _stop(self) -> None:
        if self._host is not None:
            self._host.terminate()
            self._host.communicate(timeout=_PATIENCE)
            self._host = None

    def _fetch(self, words: list[str]) -> str:
        """Do what curl does with the few options that the documents use."""
        headers: dict[str, str] = {}
        url, body, shows_head = "", None, False
        rest = iter(words)
        for word in rest:
            if word == "-H":
                name, _, value = next(rest).partition(": ")
                headers[name] = re.sub(r"\$(\w+)", lambda found: self._environment[found[1]], value)
            elif word == "-d":
                body = next(rest)
            elif word == "-i":
                shows_head = True
            elif word not in ("-s", "-N"):
                url = word
        parts = urlsplit(url)
        assert parts.netloc == f"127.0.0.1:{PORT}", f"{url} is not the host that the document started"
        connection = http.client.HTTPConnection("127.0.0.1", int(self._port), timeout=_PATIENCE)
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request("GET" if body is None else "POST", target, body, headers)
            answer = connection.getresponse()
            head = f"HTTP/1.1 {answer.status} {answer.reason}\n{answer.headers}" if shows_head else ""
            return head + answer.read().decode()
        finally:
            connection.close()


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])
