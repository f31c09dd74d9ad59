"""`python -m tests.translation`: how many cells have which mark; with `--write`, the tables of the document are written anew."""

from __future__ import annotations

import sys

from tests.translation.table import DOCUMENT, counts, written

if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        DOCUMENT.write_text(written(), encoding="utf-8")
    print(", ".join(f"{mark} {count}" for mark, count in sorted(counts().items())))
