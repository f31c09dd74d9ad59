"""Flavours: how the requests that one server takes differ from those of its dialect, as data.

Two servers of one dialect are seldom of one mind: a field that one requires is an error at the other. A `Flavour` says
what has to be dropped, renamed or said otherwise, for which models, and why; `apply_flavour` does it to a body that is
about to leave. Only the places named are touched, every other byte stays, and each touch is a `Loss`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from jackfield.api.canonical.splice import Member, items, locate, members
from jackfield.api.dialect import Loss, Operation
from jackfield.api.models import matches_any

_FIELD: Final = re.compile(r"[^.\[\]*]+(?:\[\*\])*(?:\.[^.\[\]*]+(?:\[\*\])*)*")
_STEP: Final = re.compile(r"\[\*\]|[^.\[\]]+")
_KEPT: Final = b""
"""Stands for a value that stays: no JSON text is empty."""

_ANY: Final = b'"*"'
_FEW: Final = 4
_NULL: Final = b"null"
_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NOTHING: Final = (_NULL, b"[]", b"{}", b'""')

Range = tuple[float, float]
"""The least and the greatest figure that is taken."""


class Fill(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is sent where a field is missing or null."""

    value: Any
    beside: str | None = None
    """Only in objects that have this field too, neither null nor empty."""


class Flavour(msgspec.Struct, frozen=True, kw_only=True, eq=False, omit_defaults=True, forbid_unknown_fields=True):
    """One way in which a server's requests differ from its dialect's. All that fit a request apply together.

    Fields are named by path: `top_p`, `stream_options.include_usage`, `messages[*].name`, where `[*]` stands for each
    item of an array. What is not there is not missed.
    """

    why: str = ""
    """The reason, as it stands in the list of losses: `not taken by reasoning models`."""
    source: str = ""
    """Where the provider says so: a URL."""
    models: str | tuple[str, ...] = "*"
    """Upstream names of the models for which it holds, with `*` for any text."""
    excluded: str | tuple[str, ...] = ()
    """Models for which it does not hold although `models` fits."""
    dialect: str | None = None
    """The upstream dialect in which it holds; None: in any."""
    operation: Operation = "generate"
    when: dict[str, tuple[str, ...]] = {}
    """It holds only for requests in which each of these fields holds one of these texts."""
    unless: dict[str, tuple[str, ...]] = {}
    """It does not hold for requests in which one of these fields holds one of these texts."""
    accept: frozenset[str] | None = None
    """The only fields at the top of the body that are taken: all others are dropped. Where several flavours say it, what
    all of them accept."""
    drop: tuple[str, ...] = ()
    """Fields that are taken out."""
    rename: dict[str, str] = {}
    """Fields that bear another name: the path to the new last name. Where one of that name is there already, the old is dropped."""
    values: dict[str, dict[str, Any]] = {}
    """Values that are said otherwise, by field: the text that a field holds to what is sent instead; None drops the field.
    The text `*` stands for every value that is not named."""
    clamp: dict[str, Range] = {}
    """Figures that must lie in a range, by field; those outside are moved to its end."""
    fill: dict[str, Fill] = {}
    """Fields that must be there, by path."""
    lines: dict[str, str] = {}
    """First lines that are taken out of texts, by field: how they begin. A text of which nothing is left goes too, together with
    the item of an array in which it is the field: `system[*].text`."""

    def __post_init__(self) -> None:
        for path in (*self.drop, *self.rename, *self.values, *self.clamp, *self.fill, *self.lines):
            if _FIELD.fullmatch(path) is None:
                raise ValueError(f"{path!r} names no field: expected names with '.' between them and '[*]' for the items of an array")
            if path.endswith("[*]") and path in (*self.drop, *self.rename, *self.fill, *self.lines):
                says = "only fields of an object can be dropped, renamed, filled or shortened"
                raise ValueError(f"{path!r} names the items of an array: {says}")

        for path in (*self.when, *self.unless):
            if _FIELD.fullmatch(path) is None or "[" in path:
                raise ValueError(f"{path!r}: a condition names one field, with '.' between names")

    def fits(self, model: str, dialect: str, operation: str) -> bool:
        """Tell whether it holds for a request to a model."""
        return (
            self.operation == operation
            and self.dialect in (None, dialect)
            and matches_any(model, _patterns(self.models))
            and not matches_any(model, _patterns(self.excluded))
        )


def apply_flavour(
    raw: bytes, flavours: Sequence[Flavour], model: str, dialect: str, losses: list[Loss], *, operation: Operation = "generate"
) -> bytes:
    """Return a request's body as a server takes it: the same object where nothing has to change.

    `model` is the upstream's name and `dialect` the upstream's dialect. Each field that is touched is added to `losses`;
    one in many messages counts once. What is no JSON object passes as it is.
    """
    fitting = _fitting(tuple(flavours), model, dialect, operation)
    plan = _plan(fitting)
    if plan is None:
        return raw
    place = _Place({})
    try:
        if not (concerned := _concerned(raw, plan)):
            return raw
        holding = tuple([flavour for flavour in fitting if _holds(flavour, raw)])
        if holding != fitting:  # what does not hold takes part of the work away, and adds none
            plan = _plan(holding)
        made = raw if plan is None else _rewrite_object(raw, plan, place, concerned)
    except (ValueError, RecursionError):
        return raw
    touched = place.touched
    losses += [Loss(pattern if len(t.where) > 1 else t.where[0], t.what, why) for (pattern, why), t in touched.items()]
    return made


def _patterns(said: str | tuple[str, ...]) -> tuple[str, ...]:
    return (said,) if isinstance(said, str) else said


# ---------------------------------------------------------------------------------------------------------------- plan


class _Node(msgspec.Struct, eq=False):
    """What is to be done at one place of a body, and below it."""

    fields: dict[str, "_Node"] = {}
    items: "_Node | None" = None
    accept: frozenset[str] | None = None
    hint: Callable[[bytes], object] | None = None
    """Finds something in every text in which there is something to do; None where each has to be looked at."""
    why: str = ""
    always: bool = False
    """There is something to do wherever the field is."""
    dropped: bool = False
    name: str | None = None
    values: dict[bytes, bytes | None] = {}
    range: Range | None = None
    line: tuple[str, str] | None = None
    """The field with a text here, `''` for a text that stands here itself, and how the line begins that is taken out of it."""
    fill: Fill | None = None
    fills: dict[str, bytes] = {}
    """What is sent for each of `fields` that may have to be filled."""


@lru_cache(1024)
def _fitting(flavours: tuple[Flavour, ...], model: str, dialect: str, operation: str) -> tuple[Flavour, ...]:
    return tuple(flavour for flavour in flavours if flavour.fits(model, dialect, operation))


def _holds(flavour: Flavour, raw: bytes) -> bool:
    """Tell whether what a body says meets a flavour's conditions."""
    return all(_says(raw, *said) for said in flavour.when.items()) and not any(_says(raw, *said) for said in flavour.unless.items())


def _says(raw: bytes, path: str, texts: tuple[str, ...]) -> bool:
    span = locate(raw, tuple(path.split(".")))
    return span is not None and raw[slice(*span)] in map(msgspec.json.encode, texts)


@lru_cache(1024)
def _plan(flavours: tuple[Flavour, ...]) -> _Node | None:
    """Return what all of these flavours ask for, as one tree; None when there is nothing to do."""
    root = _Node()
    for flavour in flavours:
        _add(root, flavour)
    _look_for(root)
    return root if root.fields or root.accept is not None else None


def _add(root: _Node, flavour: Flavour) -> None:
    why = flavour.why or "not taken by this server"
    if flavour.accept is not None:
        root.accept = flavour.accept if root.accept is None else root.accept & flavour.accept
        root.why = root.why or why
    for path in flavour.drop:
        _at(root, path, why).dropped = True
    for path, name in flavour.rename.items():
        _at(root, path, why).name = name
    for path, figures in flavour.clamp.items():
        _at(root, path, why).range = figures
    for path, fill in flavour.fill.items():
        _at(root, path, why).fill = fill
    for path, said in flavour.values.items():
        _at(root, path, why).values.update(_encoded(said))
    for path, begins in flavour.lines.items():
        above, _, field = path.rpartition(".")
        within = above.endswith("[*]")
        _at(root, above if within else path, why).line = (field if within else "", begins)


def _encoded(said: Mapping[str, Any]) -> Iterable[tuple[bytes, bytes | None]]:
    for old, new in said.items():
        yield msgspec.json.encode(old), None if new is None else msgspec.json.encode(new)


def _at(root: _Node, path: str, why: str) -> _Node:
    """Return the node for a path, made where there is none."""
    node = root
    for step in _STEP.findall(path):
        if step == "[*]":
            node.items = node.items or _Node()
            node = node.items
        else:
            node = node.fields.setdefault(step, _Node())
    node.why = node.why or why
    return node


def _look_for(node: _Node) -> set[bytes]:
    """Give each node its hint; return the texts of which one stands wherever there is something to do."""
    below = set[bytes]()
    for name, child in node.fields.items():
        needs = _look_for(child)
        child.always = child.dropped or child.name is not None or child.range is not None or _ANY in child.values
        below |= {msgspec.json.encode(name)} if child.always else needs | set(child.values) | _line_of(child)
        if child.fill is not None:
            node.fills[name] = msgspec.json.encode(child.fill.value)
            below.add(b"" if child.fill.beside is None else msgspec.json.encode(child.fill.beside))
    if node.items is not None:
        below |= _look_for(node.items) | ({b""} if _ANY in node.items.values else set(node.items.values)) | _line_of(node.items)
    if node.accept is None and below and b"" not in below:
        node.hint = _search(below)
    return below


def _line_of(node: _Node) -> set[bytes]:
    """Return the text by which a line is found that is to be taken out here."""
    return {msgspec.json.encode(node.line[1])[1:-1]} if node.line is not None else set()


def _search(texts: set[bytes]) -> Callable[[bytes], object]:
    """Return what finds one of some JSON texts: a plain search for each is quicker than a pattern while they are few."""
    needles = list[bytes]()
    for text in sorted(texts):
        if needles and text.startswith(needles[-1].removesuffix(b'"')):  # one search for all that begin alike
            needles[-1] = needles[-1].removesuffix(b'"')
        else:
            needles.append(text)
    if len(needles) > _FEW:
        return re.compile(b"|".join(map(re.escape, needles))).search
    return lambda raw: any(needle in raw for needle in needles)


# ------------------------------------------------------------------------------------------------------------- rewrite


class _Touched(msgspec.Struct):
    what: Literal["dropped", "changed", "invented"]
    where: list[str] = []


class _Place(msgspec.Struct):
    """Where a value stands, as a pattern and in this body, and the record of what was touched."""

    touched: dict[tuple[str, str], _Touched]
    pattern: str = ""
    path: str = ""

    def field(self, name: str) -> "_Place":
        """Return the place of a member of the object here."""
        return _Place(self.touched, f"{self.pattern}.{name}".lstrip("."), f"{self.path}.{name}".lstrip("."))

    def item(self, index: int) -> "_Place":
        """Return the place of an item of the array here."""
        return _Place(self.touched, f"{self.pattern}[*]", f"{self.path}[{index}]")

    def note(self, what: Literal["dropped", "changed", "invented"], why: str) -> None:
        """Record what is done here."""
        self.touched.setdefault((self.pattern, why), _Touched(what)).where.append(self.path)


def _concerned(raw: bytes, root: _Node) -> frozenset[str]:
    """Return the fields at the top of a body in which there may be something to do, or that may be missing."""
    found = _object.decode(raw)
    concerned = {name for name, value in found.items() if _concerns(name, bytes(value), root)}
    concerned.update(name for name in root.fills if name not in found or bytes(found[name]) == _NULL)
    return frozenset(concerned)


def _concerns(name: str, value: bytes, root: _Node) -> bool:
    node = root.fields.get(name)
    if node is None:
        return root.accept is not None and name not in root.accept
    if node.always or (node.values and value in node.values) or any(line in value for line in _line_of(node)):
        return True
    return bool(node.fields or node.items) and (node.hint is None or bool(node.hint(value)))


def _rewrite(raw: bytes, node: _Node, place: _Place) -> bytes:
    """Return the text of a value with all done that a node and those below it ask for; the same object when that is nothing."""
    if node.hint is not None and not node.hint(raw):
        return raw
    first = raw.lstrip()[:1]
    if first == b"{" and (node.fields or node.accept is not None):
        return _rewrite_object(raw, node, place)
    return _rewrite_array(raw, node.items, place) if first == b"[" and node.items is not None else raw


def _rewrite_array(raw: bytes, node: _Node, place: _Place) -> bytes:
    pieces, end, left = list[bytes](), 0, list[bytes]()
    for index, (start, stop) in enumerate(spans := list(items(raw))):
        old = raw[start:stop]
        new = _value(old, node, place.item(index))
        if new is None and node.line is None:
            new = old  # an item of which nothing may be left out
        if new is not None:
            left.append(new)
        if new is not old and new is not None:
            pieces += (raw[end:start], new)
            end = stop
    if len(left) < len(spans):
        return b"[" + b",".join(left) + b"]"
    return b"".join((*pieces, raw[end:])) if pieces else raw


def _rewrite_object(raw: bytes, node: _Node, place: _Place, only: frozenset[str] | None = None) -> bytes:
    """Do what a node asks for of an object; of the fields named `only`, where that is given."""
    found = members(raw)
    names, kept, changed, end = frozenset(member.key for member in found), list[bytes](), False, raw.index(b"{") + 1
    head = raw[: found[0].start] if found else raw[:end]
    filled = _filled(raw, found, node, place) if node.fills else {}
    for member in found:
        old = raw[member.start : member.value[1]]
        asked = only is None or member.key in only
        new = None if member.key in filled else _member(member, old, node, place, names) if asked else old
        if new is not None:
            kept += (raw[end : member.start] if kept else head, new)
        changed, end = changed or new is not old, member.value[1]
    for added in filled.values():
        kept += (b"," if kept else head, added)
    return b"".join((*(kept or (head,)), raw[end:])) if changed or filled else raw


def _filled(raw: bytes, found: Sequence[Member], node: _Node, place: _Place) -> dict[str, bytes]:
    """Return the members by which an object has to be filled up."""
    there, made = {m.key for m in found if raw[slice(*m.value)] not in _NOTHING}, dict[str, bytes]()
    present = there.union(m.key for m in found if raw[slice(*m.value)] != _NULL)
    for name, value in node.fills.items():
        child = node.fields[name]
        if name not in present and child.fill is not None and (child.fill.beside is None or child.fill.beside in there):
            place.field(name).note("invented", f"{child.why}: {value.decode()}")
            made[name] = msgspec.json.encode(name) + b":" + value
    return made


def _member(member: Member, old: bytes, parent: _Node, place: _Place, names: frozenset[str]) -> bytes | None:
    """Return one member of an object as it is to leave, or None when it is dropped. `names` are the object's."""
    node = parent.fields.get(member.key)
    if node is None:
        if parent.accept is None or member.key in parent.accept:
            return old
        place.field(member.key).note("dropped", parent.why)
        return None
    here, value = place.field(member.key), member.value[0] - member.start
    said = old[value:]
    new = None if _gone(node, here, names) else _value(said, node, here)
    if new is None or (node.name is None and new is said):
        return new and old
    if node.name is None:
        return old[:value] + new
    here.note("changed", f"{node.why}: sent as {node.name}")
    return msgspec.json.encode(node.name) + b":" + old[:value].rpartition(b":")[2] + new


def _gone(node: _Node, here: _Place, names: frozenset[str]) -> bool:
    if node.dropped:
        here.note("dropped", node.why)
    elif node.name in names:
        here.note("dropped", f"{node.why}; {node.name} is there already")
    else:
        return False
    return True


def _value(said: bytes, node: _Node, here: _Place) -> bytes | None:
    """Return a value as it is to leave, or None when its field is dropped because of it."""
    if node.line is not None:
        shorter = _without_line(said, *node.line)
        if shorter is not said:
            here.note("changed" if shorter is not None else "dropped", node.why)
        if shorter is None:
            return None
        said = shorter
    new = node.values.get(said, node.values.get(_ANY, _KEPT)) if node.values else _KEPT
    if new is _KEPT and node.range is not None and said[:1] in b"-0123456789":
        new = _within(said, *node.range)
    if new is _KEPT or new == said:
        made = _rewrite(said, node, here) if node.fields or node.items is not None else said
        return None if made == b"[]" != said else made
    if new is None:
        here.note("dropped", f"{node.why}: {said.decode()}")
    else:
        here.note("changed", f"{node.why}: {said.decode()} is sent as {new.decode()}")
    return new


def _without_line(said: bytes, field: str, begins: str) -> bytes | None:
    """Return a value without the first line of its text, if that begins so; None where nothing else is left of the text."""
    span = locate(said, (field,)) if field and said[:1] == b"{" else (0, len(said))
    text = said[slice(*span)] if span is not None else b""
    words = msgspec.json.decode(text) if text[:1] == b'"' else ""
    if span is None or not words.startswith(begins):
        return said
    rest = words.partition("\n")[2]
    return said[: span[0]] + msgspec.json.encode(rest) + said[span[1] :] if rest.strip() else None


def _within(said: bytes, least: float, most: float) -> bytes:
    """Return the nearest figure in a range; `_KEPT` where it is in it."""
    figure = float(said)
    bound = least if figure < least else most if figure > most else None
    return _KEPT if bound is None else msgspec.json.encode(int(bound) if bound.is_integer() and b"." not in said else bound)
