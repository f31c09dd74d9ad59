"""The tables of the guide say what the data says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from jackfield.api import Flavour
from jackfield_openai.presets import Preset, presets

GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "use-an-openai-compatible-server.md"


def code(names: Iterator[str] | tuple[str, ...] | frozenset[str] | list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def table_of_presets() -> list[list[str]]:
    def row(name: str, one: Preset) -> list[str]:
        models = code(one.patterns or one.models) or "-"
        return [f"`{name}`", f"[{one.title}]({one.source})", code(one.env) or "none", models, f"`{one.base_url}`"]

    return [row(name, one) for name, one in presets().items() if name != "openai"]


def changes(one: Flavour) -> Iterator[str]:
    """Say in words what a flavour does."""
    if one.accept is not None:
        yield f"takes only {code(sorted(one.accept))}"
    if one.drop:
        yield f"leaves out {code(one.drop)}"
    for path, figures in one.clamp.items():
        yield f"`{path}` from {figures[0]:g} to {figures[1]:g}"
    for path, fill in one.fill.items():
        yield f"adds `{path}`: `{msgspec.json.encode(fill.value).decode()}`" + (f" beside `{fill.beside}`" if fill.beside else "")
    for path, said in one.values.items():
        others = {old: new for old, new in said.items() if old != new and old != "*"}
        yield from (f"`{path}`: `{old}` " + ("is left out" if new is None else f"becomes `{text(new)}`") for old, new in others.items())
        if "*" in said:
            kept = code([old for old, new in said.items() if old == new])
            yield f"`{path}`: all but {kept} becomes `{text(said['*'])}`"
    yield from (f"`{path}` becomes `{name}`" for path, name in one.rename.items())


def conditions(one: Flavour) -> str:
    models, excluded = (code((said,) if isinstance(said, str) else said) for said in (one.models, one.excluded))
    words = ["all" if one.models == "*" else models, f"not {excluded}" if excluded else ""]
    words += [f"when `{path}` is {code(texts)}" for path, texts in one.when.items()]
    words += [f"unless `{path}` is {code(texts)}" for path, texts in one.unless.items()]
    return "; ".join(filter(None, words))


def table_of_flavours() -> list[list[str]]:
    return [
        [f"`{name}`", conditions(flavour), "; ".join(changes(flavour)), f"[{flavour.why}]({flavour.source})"]
        for name, preset in presets().items()
        for flavour in preset.flavours
    ]


def rows_between(mark: str) -> list[list[str]]:
    found = re.search(rf"<!-- {mark} -->\n(.*?)<!-- end -->", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return [[cell.strip() for cell in line.strip("|\n ").split(" | ")] for line in found[1].splitlines()[2:]]


def test_the_guide_lists_the_presets() -> None:
    assert rows_between("presets") == table_of_presets()


def test_the_guide_lists_what_is_fitted() -> None:
    assert rows_between("flavours") == table_of_flavours()
