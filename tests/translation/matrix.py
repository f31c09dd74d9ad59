"""One cell of the matrix: a feature on its way from a client's dialect to an upstream's, or an answer on its way back.

A mark tells what became of the feature: `=` it arrived, `~` it was changed and the loss is listed, `-` it was dropped and the
loss is listed, `·` the dialect that should say it has no words for it. Everything else is a fault, which raises.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jackfield.api import Headers, Loss, Request, Response
from jackfield.api.canonical import Assembler, Done, Error, StreamError
from jackfield.cli.translate import events_of, translated_request, translated_response, translated_stream
from tests.translation.dialects import CHAT, GENERATE, MESSAGES, RESPONSES, spoken
from tests.translation.feature import Asked, Failed, Said
from tests.translation.players import PLAYERS
from tests.translation.said import STATUS_G, TYPES_A, TYPES_O

NO_WORDS: Final = "·"
_OPENAIS: Final = {*TYPES_O.values(), None}
WORDS_FOR_ERRORS: Final = {CHAT: _OPENAIS, RESPONSES: _OPENAIS, MESSAGES: {*TYPES_A.values()}, GENERATE: {*STATUS_G.values()}}
"""The types of errors that clients of a dialect know. In a stream of responses an error has a code alone."""
STREAMING: Final = Request(stream=True, stream_usage=True)


@dataclasses.dataclass(frozen=True)
class Cell:
    """What became of a feature."""

    mark: str
    losses: tuple[Loss, ...] = ()
    """Those that name the feature."""
    wire: bytes = b""
    """What was written."""


class Fault(AssertionError):
    """A feature neither arrived nor is named as lost."""


def judged(wanted: Any, got: Any, losses: Sequence[Loss], named: str, wire: bytes) -> Cell:
    """Return the mark that a feature earned. Raises `Fault`."""
    own = tuple(loss for loss in losses if re.search(named, loss.path))
    if not own:
        if wanted == got:
            return Cell("=", (), wire)
        raise Fault(f"{wanted!r} became {got!r}, and no loss names it ({[loss.path for loss in losses]}): {wire[:1500]!r}")
    dropped = any(loss.what == "dropped" for loss in own)
    return Cell("-" if dropped and wanted != got else "~", own, wire)


# ------------------------------------------------------------------------------------------------- requests


def asked(feature: Asked, client: str, upstream: str, stream: bool) -> Cell:
    """Send a request natively said in the client's dialect to an upstream; return what became of the feature."""
    if client not in feature.wires:
        return Cell(NO_WORDS)
    source, target = spoken()[client], spoken()[upstream]
    raw = json.dumps(feature.wires[client]).encode()
    wanted = feature.expected_of.get(client, feature.expected)
    understood = feature.meaning(source.decode_request(raw, "generate"))
    if understood != wanted:
        raise Fault(f"{client} understands its own words {feature.wires[client]} as {understood!r}, not {wanted!r}")
    losses: list[Loss] = []
    wire = translated_request(source, target, raw, losses, stream=stream)
    return judged(wanted, feature.meaning(target.decode_request(wire, "generate")), losses, feature.named, wire)


# -------------------------------------------------------------------------------------------------- answers


def said(feature: Said, client: str, upstream: str, stream: bool) -> Cell:
    """Bring an answer natively said by an upstream to a client, whole or as a stream."""
    if upstream not in feature.wires:
        return Cell(NO_WORDS)
    source, target = spoken()[upstream], spoken()[client]
    wanted = feature.expected_of.get(upstream, feature.expected)
    raw = json.dumps(feature.wires[upstream]).encode()
    losses: list[Loss] = []
    if stream:
        raw = PLAYERS[upstream](feature.wires[upstream])
        understood = assembled(upstream, raw)
        wire = translated_stream(source, target, raw, STREAMING, losses)
        got = assembled(client, wire)
    else:
        understood = source.decode_response(raw)
        wire = translated_response(source, target, raw, STREAMING, losses)
        got = target.decode_response(wire)
    if feature.meaning(understood) != wanted:
        raise Fault(f"{upstream} understands its own words {raw[:3000]!r} as {feature.meaning(understood)!r}, not {wanted!r}")
    return judged(wanted, feature.meaning(got), losses, feature.named, wire)


def assembled(dialect: str, raw: bytes) -> Response:
    """Read a whole stream as a client of a dialect would. Raises `Fault` for one that does not end well."""
    spoken_here = spoken()[dialect]
    decoder, assembler = spoken_here.decode_stream(), Assembler()
    events = events_of(spoken_here, raw)
    for event in events:
        assembler.feed(decoder.feed(event))
    assembler.feed(decoder.close())
    if assembler.error is not None or not assembler.done:
        raise Fault(f"a stream of {dialect} ends with {assembler.error}: {raw[-600:]!r}")
    return assembler.response()


# --------------------------------------------------------------------------------------------------- errors


def failed(feature: Failed, client: str, upstream: str, stream: bool) -> Cell:
    """Bring an error to a client: instead of an answer, or inside its stream."""
    source, target = spoken()[upstream], spoken()[client]
    if stream and feature.streams:
        return _failed_inside(feature, client, upstream)
    raw = json.dumps(feature.wires[upstream]).encode()
    error = source.decode_error(feature.status, Headers(), raw)
    wire = target.encode_error(error if source is target else foreign(error))
    again = target.decode_error(feature.status, Headers(), wire)
    native = target.decode_error(feature.status, Headers(), json.dumps(feature.wires[client]).encode())
    wanted = (feature.status, native.message, native.type)
    if (again.status, again.message, again.type) != wanted:
        raise Fault(f"{wanted} became {(again.status, again.message, again.type)}: {wire!r}")
    return Cell("=", (), wire)


def foreign(error: Error) -> Error:
    """Return an error as the host passes it on to another dialect: with no word of its own."""
    return msgspec.structs.replace(error, type=None, code=None, extensions={})


def _failed_inside(feature: Failed, client: str, upstream: str) -> Cell:
    source, target = spoken()[upstream], spoken()[client]
    losses: list[Loss] = []
    wire = translated_stream(source, target, feature.streams[upstream], STREAMING, losses)
    decoder = target.decode_stream()
    deltas = [delta for event in events_of(target, wire) for delta in decoder.feed(event)]
    deltas += decoder.close()
    errors = [delta.error for delta in deltas if isinstance(delta, StreamError)]
    said = source.decode_error(feature.status, Headers(), json.dumps(feature.wires[upstream]).encode()).message
    if [error.message for error in errors] != [said] or any(isinstance(delta, Done) for delta in deltas):
        raise Fault(f"the error {said!r} became {errors}: {wire!r}")
    if errors[0].type not in WORDS_FOR_ERRORS[client]:
        raise Fault(f"{client} knows no errors of the type {errors[0].type!r}: {wire[-400:]!r}")
    if not isinstance(deltas[-1], StreamError):
        raise Fault(f"something follows the error: {deltas[-1]}")
    words = Assembler()
    words.feed(deltas)
    if words.response().text != "Half":
        raise Fault(f"the words before the error became {words.response().text!r}")
    return Cell("=", (), wire)
