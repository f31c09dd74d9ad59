"""The files that describe the protocol, and how they are written to a folder."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jackfield.cli.json_schema import DIALECT, Schema
from jackfield.cli.rpc_schemas import openrpc, typescript
from jackfield.cli.rpc_schemas.definitions import described, message_schema, pointed


def files(config: Schema) -> dict[str, str]:
    """Return the texts of all files, by their paths within the folder. `config` is the schema of the configuration."""
    definitions, methods = described()
    made: dict[str, Any] = {openrpc.FILE: openrpc.document(), "config.json": config}
    made["message.json"] = pointed(message_schema(), "structs/{}.json")
    for name, schema in definitions.items():
        made[f"structs/{name}.json"] = {"$schema": DIALECT, "title": name, **pointed(schema, "{}.json")}
    for said in methods:
        name = said.method.name
        parts = {"params": said.params} if said.result is None else {"params": said.params, "result": said.result}
        for part, schema in parts.items():
            about = {"$schema": DIALECT, "title": f"{name}: {part}", "description": said.method.says}
            made[f"methods/{file_name(name)}.{part}.json"] = {**about, **pointed(schema, "../structs/{}.json")}
    texts = {path: to_json(value) for path, value in made.items()}
    return dict(sorted({**texts, "plugin.d.ts": typescript.declarations()}.items()))


def file_name(method: str) -> str:
    """Return how the files of a method are named."""
    return method.removeprefix("$/")


def to_json(value: Any) -> str:
    """Return JSON for people to read."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path, texts: Mapping[str, str]) -> None:
    """Write files to a folder, each whole or not at all, and remove those that were made before and are none of them any more."""
    old = stale(folder, texts)
    for path, text in texts.items():
        target = folder / path
        if not target.is_file() or target.read_bytes() != text.encode():
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(target, text)
    for target in old:
        target.unlink()


def stale(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Return the files in a folder that were made once and that nothing makes any more. Of a folder that is not ours, none."""
    try:
        read(folder)
    except (OSError, ValueError):
        return []
    there = (path for part in ("methods", "structs") for path in folder.glob(f"{part}/*.json"))
    return sorted(path for path in there if path.relative_to(folder).as_posix() not in texts)


def read(folder: Path) -> dict[str, Any]:
    """Return the OpenRPC document that was written to a folder. Raises `OSError` or `ValueError` where there is none of ours."""
    made = json.loads((folder / openrpc.FILE).read_bytes())
    if not isinstance(made, dict) or not isinstance(info := made.get("info"), dict) or info.get("title") != openrpc.TITLE:
        raise ValueError(f"{openrpc.FILE} is of something else")
    return made


def _write(target: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
