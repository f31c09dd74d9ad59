"""What a program says last tells why it has ended."""

from __future__ import annotations

import pytest

from jackfield.rpc.noise import telling

NODE = """file:///a/router.mjs:3
throw new TypeError("no such model");
      ^

TypeError: no such model
    at file:///a/router.mjs:3:7

Node.js v20.20.2"""
GO = """panic: runtime error: index out of range [3] with length 0

goroutine 1 [running]:
main.main()
\t/a/main.go:9 +0x1d"""
RUST = """thread 'main' panicked at src/main.rs:2:5: no such model
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace"""
PYTHON = """Traceback (most recent call last):
  File "a.py", line 1, in <module>
acme.errors.LimitError: over the limit"""


@pytest.mark.parametrize(
    ("said", "tells"),
    [
        (NODE, "TypeError: no such model"),
        (GO, "panic: runtime error: index out of range [3] with length 0"),
        (RUST, "thread 'main' panicked at src/main.rs:2:5: no such model"),
        (PYTHON, "acme.errors.LimitError: over the limit"),
        ("sh: 0: cannot open router.sh: No such file", "sh: 0: cannot open router.sh: No such file"),
        ("Error: that was before\nError: that is why\nbye", "Error: that is why"),
        ("", ""),
    ],
    ids=["node", "go", "rust", "python", "shell", "the latest", "nothing"],
)
def test_the_line_that_names_the_error_is_told(said: str, tells: str) -> None:
    assert telling(said.encode().splitlines()).decode() == tells
