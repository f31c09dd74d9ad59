"""What the documents say is so: their programs run, their configuration is accepted, their commands exist, their links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import click
import pytest

import jackfield_redis
from jackfield import Jackfield
from jackfield.cli.main import main
from tests.docs.markdown import ROOT, Block, Document, document, documents, own
from tests.docs.reader import Reader

BLOCKS = [block for one in documents() for block in one.blocks]
PROGRAMS = {
    "docs/tutorial/first-plugin-in-any-language.md": ("jq", "node"),
    "docs/how-to/write-a-provider-in-any-language.md": ("node",),
}
"""What documents need beside Python; without it they are not followed."""
FOLLOWED = [one for one in own() if any(block.language == "console" for block in one.blocks)]


def can_be_followed(document: str) -> None:
    """Skip the test of a document whose programs are not here."""
    for program in PROGRAMS.get(document, ()):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not here")


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


@pytest.mark.parametrize("one", FOLLOWED, ids=lambda one: one.name)
def test_a_reader_who_follows_the_document_sees_what_it_shows(one: Document, tmp_path: Path) -> None:
    can_be_followed(one.name)
    with Reader(tmp_path) as reader:
        reader.follow(one)


@pytest.mark.parametrize("block", [block for block in of("python") if block.file], ids=lambda block: block.place)
def test_every_python_file_is_used_by_a_command_of_its_document(block: Block) -> None:
    path = Path(block.file or "")
    names = (path.name, f"import {path.stem}", "pip install .")
    later = [other.text for other in document(block.document).blocks if other.line > block.line]
    assert any(name in text for name in names for text in later)


@pytest.mark.parametrize("block", [block for block in of("python") if not block.file], ids=lambda block: block.place)
async def test_a_python_block_without_a_file_name_is_a_plugin_that_loads(block: Block, tmp_path: Path) -> None:
    (tmp_path / "shown.py").write_text(block.text)
    assert await problems_of({"plugins": {"shown": {"path": str(tmp_path / "shown.py"), "required": True}}}) == []


@pytest.mark.parametrize("block", [block for block in of("yaml") if block.file in (None, "jackfield.yaml")], ids=lambda block: block.place)
async def test_a_yaml_block_is_configuration_without_problems(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    can_be_followed(block.document)
    set_variables_in(block.text, monkeypatch)
    for other in document(block.document).blocks:
        if other.file is not None:
            (path := tmp_path / other.file).parent.mkdir(parents=True, exist_ok=True)
            path.write_text(other.text)
    (tmp_path / "jackfield.yaml").write_text(block.text)
    assert await problems_of(tmp_path / "jackfield.yaml") == []


async def test_the_example_of_a_configuration_has_no_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    example = ROOT / "jackfield.example.yaml"
    set_variables_in(example.read_text(encoding="utf-8"), monkeypatch)
    assert await problems_of(example) == []


def set_variables_in(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b", text):
        monkeypatch.setenv(name, "http://proxy.example:3128" if name.endswith("_PROXY") else f"value-of-{name.lower()}")


async def problems_of(configuration: object) -> list[str]:
    """Return what a host says is wrong with a configuration, without starting it."""
    # Beside what is installed: plugins that are distributions of their own, as their READMEs have the reader install them.
    host = Jackfield(configuration, plugins=[jackfield_redis])  # type: ignore[arg-type]
    try:
        await host.load()
        return [*host.problems, *(f"{p.id} does nothing" for p in host.plugins if p.state == "active" and not p.implementations)]
    finally:
        await host.stop(grace=0)


def command_lines() -> list[tuple[str, str]]:
    """Return what a reader would type: in blocks that are followed it stands after `$ `, in those that are only shown alone."""
    lines = [(block, line) for block in of("sh", "console") for line in block.text.replace("\\\n", " ").splitlines()]
    typed = [(block.place, line.removeprefix("$ ")) for block, line in lines if line.startswith("$ ") == (block.language == "console")]
    return [(place, line.partition(" #")[0]) for place, line in typed if line.startswith("jackfield ")]


@pytest.mark.parametrize(("place", "line"), command_lines())
def test_a_command_line_is_one_that_the_program_takes(place: str, line: str) -> None:
    words = shlex.split(line.removesuffix(" &"))[1:]
    context = main.make_context("jackfield", words)
    command: click.Command = main
    while isinstance(command, click.Group) and (rest := [*context._protected_args, *context.args]):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        context = found.make_context(name, rest, parent=context)
        command = context.command


LINKS = [(one, link) for one in documents() for link in one.links if "://" not in link]


@pytest.mark.parametrize(("one", "link"), LINKS, ids=[f"{one.name}-{link}" for one, link in LINKS])
def test_a_link_leads_somewhere(one: Document, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = (one.path.parent / path).resolve() if path else one.path
    assert target.exists(), f"{one.name}: {link}"
    assert not anchor or anchor in Document(target).anchors, f"{one.name}: {link}"


def test_the_index_names_every_document() -> None:
    index = document("docs/README.md")
    listed = {(index.path.parent / link.partition("#")[0]).resolve() for link in index.links}
    assert {one.path for one in own() if one.name.startswith("docs/") and one.path != index.path} <= listed
