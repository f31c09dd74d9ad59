"""What a later description of the protocol takes from plugins that were written for an earlier one."""

import json
from collections.abc import Container, Iterator, Mapping
from typing import Any, Final, Literal

from jackfield.cli.json_schema import Schema

Reader = Literal["host", "plugin"]

_TARGET: Final = "#/components/schemas/"
_BOUNDS: Final = (
    "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "minItems", "maxItems",
)  # fmt: skip
_READERS: Final[Mapping[str, tuple[Reader, ...]]] = {"host": ("plugin",), "plugin": ("host",), "either": ("host", "plugin")}
"""Who reads the params of a method, by who asks."""
_OTHER: Final[Mapping[Reader, Reader]] = {"host": "plugin", "plugin": "host"}


def breaking_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what breaks plugins between two OpenRPC documents of the protocol, one sentence each.

    What a plugin reads may gain fields, but lose none, and its fields may not take values of other kinds. What a plugin writes may be
    anything that it might have been before. A field's default is what its absence says, so it stays.
    """
    later = {method["name"]: method for method in new["methods"]}
    compare = _Comparison(old["components"]["schemas"], new["components"]["schemas"])
    found = [line for method in old["methods"] for line in _of_method(method, later.get(method["name"]), compare)]
    return list(dict.fromkeys(found))


def _of_method(old: Mapping[str, Any], new: Mapping[str, Any] | None, compare: "_Comparison") -> Iterator[str]:
    name = old["name"]
    if new is None:
        yield f"{name}: the method is gone"
        return
    if old["x-asks"] != new["x-asks"]:
        yield f"{name}: is asked by the {new['x-asks']} now, not by the {old['x-asks']}"
        return
    if gone := set(old["x-kinds"]) - set(new["x-kinds"]):
        yield f"{name}: is no {' and no '.join(sorted(gone))} any more"
    if old.get("x-opens") != new.get("x-opens"):
        yield f"{name}: opens {new.get('x-opens', 'no stream')} now, not {old.get('x-opens', 'no stream')}"
    for reader in _READERS[old["x-asks"]]:
        yield from compare.schemas(old["x-params"], new["x-params"], f"{name}, params", reader)
        if "result" in old and "result" in new:
            yield from compare.schemas(old["result"]["schema"], new["result"]["schema"], f"{name}, result", _OTHER[reader])


class _Comparison:
    """Compares schemas, each pair of named ones once for each who reads it."""

    def __init__(self, old: Mapping[str, Schema], new: Mapping[str, Schema]) -> None:
        self._old, self._new, self._seen = old, new, set[tuple[str, str, Reader]]()

    def schemas(self, old: Schema, new: Schema, where: str, reader: Reader) -> Iterator[str]:
        """Yield what breaks between two schemas of what the reader reads."""
        where = old["$ref"].removeprefix(_TARGET) if "$ref" in old and "$ref" in new else where
        before = {key: (option, name) for key, option, name in _options(old, self._old)}
        after = {key: (option, name) for key, option, name in _options(new, self._new)}
        if reader == "host" and (gone := [key for key in before if not _covered(key, after)]):
            yield f"{where}: no longer takes {_listed(gone)}"
        if reader == "plugin" and (more := [key for key in after if not _covered(key, before)]):
            yield f"{where}: may be {_listed(more)} now"
        for key in (key for key in before if key in after):
            (option, name), (other, later) = before[key], after[key]
            if not name or (name, later, reader) not in self._seen:
                self._seen.add((name, later, reader))
                yield from self._option(option, other, name or where, reader)

    def _option(self, old: Schema, new: Schema, where: str, reader: Reader) -> Iterator[str]:
        for bound in _BOUNDS:
            if old.get(bound) != new.get(bound) and (bound in new if reader == "host" else bound in old):
                yield f"{where}: has another {bound} now"
        if "properties" in old:
            yield from self._fields(old, new, where, reader)
        inner, outer = old.get("additionalProperties", True), new.get("additionalProperties", True)
        if outer is False and inner is not False and reader == "host":
            yield f"{where}: takes no unknown fields any more"
        elif isinstance(inner, dict) and isinstance(outer, dict):
            yield from self.schemas(inner, outer, f"{where}.*", reader)
        if isinstance(old.get("items"), dict) and isinstance(new.get("items"), dict):
            yield from self.schemas(old["items"], new["items"], f"{where}[]", reader)
        pairs = zip(old.get("prefixItems", ()), new.get("prefixItems", ()), strict=False)
        for at, (one, other) in enumerate(pairs):
            yield from self.schemas(one, other, f"{where}[{at}]", reader)

    def _fields(self, old: Schema, new: Schema, where: str, reader: Reader) -> Iterator[str]:
        fields, later = old["properties"], new.get("properties", {})
        needed, needed_now = set(old.get("required", ())), set(new.get("required", ()))
        if reader == "host":
            yield from (f"{where}.{name}: must be given now" for name in new.get("required", ()) if name not in needed)
        for name, field in fields.items():
            if name not in later:
                yield f"{where}.{name}: the field is gone"
                continue
            if reader == "plugin" and name in needed - needed_now:
                yield f"{where}.{name}: may be missing now"
            if name not in needed | needed_now and field.get("default") != later[name].get("default"):
                was, now = (json.dumps(one.get("default")) for one in (field, later[name]))
                yield f"{where}.{name}: its absence says {now} now, not {was}"
            yield from self.schemas(field, later[name], f"{where}.{name}", reader)


def _options(schema: Schema, named: Mapping[str, Schema], name: str = "") -> Iterator[tuple[str, Schema, str]]:
    """Yield what a value may be, each under a key that says so: `string`, `"a value"`, `{}` for anything, `object begin` by its tag.

    The name is that of the definition that it stands in, if in one.
    """
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_TARGET)
        yield from _options(named[name], named, name)
    elif "anyOf" in schema:
        for option in schema["anyOf"]:
            yield from _options(option, named, name)
    elif "enum" in schema or "const" in schema:
        yield from ((json.dumps(value), {}, "") for value in schema.get("enum", [schema.get("const")]))
    elif "type" not in schema:
        yield "{}", schema, ""
    elif isinstance(schema["type"], list):
        yield from ((kind, {**schema, "type": kind}, "") for kind in schema["type"])
    elif schema["type"] == "object":
        tags = [field["const"] for field in schema.get("properties", {}).values() if "const" in field]
        yield " ".join(["object", *tags]), schema, name if "properties" in schema else ""
    else:
        yield f"array of {len(schema['prefixItems'])}" if "prefixItems" in schema else schema["type"], schema, ""


def _covered(key: str, options: Container[str]) -> bool:
    """Tell whether what a key stands for is among the options."""
    wider = {"integer": ["number"], "{}": []}.get(key, ["string"] if key.startswith('"') else ["array"] if key.startswith("array") else [])
    return any(name in options for name in (key, "{}", *wider))


def _listed(keys: list[str]) -> str:
    return ", ".join("anything" if key == "{}" else key for key in keys)
