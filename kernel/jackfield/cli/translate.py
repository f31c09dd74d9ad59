"""`jackfield translate`: show what a translation makes of a body, and what it loses, without a server."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from jackfield.api import BadRequest, Dialect, Event, Framing, Loss, Request
from jackfield.api.canonical.crossing import CanonicalWay, Wanted, read_response, write_request
from jackfield.api.canonical.fitting import Fitting, fit
from jackfield.cli.options import config_option, json_option, loaded, plugin_option

_Read = TypeVar("_Read")


class Untranslatable(Exception):
    """What was read cannot be translated; the message says why in one line."""


@click.command()
@click.option("--from", "source", required=True, help="The dialect of what is read, such as acme.chat.")
@click.option("--to", "target", required=True, help="The dialect of what is printed.")
@click.option(
    "--response", "answers", is_flag=True, help="Read an answer, to be shown to a client. Default: a request, to be sent to a provider."
)
@click.option("--stream", is_flag=True, help="Of a request: ask for a stream. With --response: read a stream of events, and print one.")
@click.option(
    "--request",
    "asked",
    type=click.Path(path_type=Path),
    help="With --response: the client's request, in the dialect of --to.",
)
@click.option("--model", help="Of a request: the model to ask for. Default: the one that it names.")
@click.option("--input", "given", type=click.Path(path_type=Path), help="Read this file. Default: standard input.")
@config_option
@plugin_option
@json_option
def translate(
    *,
    source: str,
    target: str,
    answers: bool,
    stream: bool,
    asked: Path | None,
    model: str | None,
    given: Path | None,
    config_file: Path | None,
    files: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Translate a body, from a file or standard input, to another dialect. What is lost is listed on standard error."""
    dialects = loaded(config_file, files).generation.dialects
    for name in (source, target):
        if name not in dialects:
            raise SystemExit(f"there is no dialect {name!r}; known: {', '.join(sorted(dialects))}")
    if asked is not None and not answers:
        raise SystemExit("--request says what an answer answers: it goes with --response")
    losses = list[Loss]()
    try:
        raw = sys.stdin.buffer.read() if given is None else given.read_bytes()
        if answers:
            request = decoded_request(dialects[target], asked.read_bytes()) if asked is not None else Request()
            made = (translated_stream if stream else translated_response)(dialects[source], dialects[target], raw, request, losses)
        else:
            made = translated_request(dialects[source], dialects[target], raw, losses, stream=stream, model=model)
    except (Untranslatable, OSError) as fault:
        raise SystemExit(str(fault)) from None
    _show(made, losses, as_json=as_json, events=answers and stream)


def _show(made: bytes, losses: Sequence[Loss], *, as_json: bool, events: bool) -> None:
    if as_json:
        shown: Any = made.decode(errors="replace") if events else msgspec.Raw(made)
        click.echo(msgspec.json.encode({"body": shown, "losses": losses}))
        return
    click.echo(made, nl=not made.endswith(b"\n"))
    for loss in losses:
        click.echo(f"{loss.what} {loss.path}: {loss.why}", err=True)


# ------------------------------------------------------------------------------------------------ translating


def decoded_request(dialect: Dialect, raw: bytes) -> Request:
    """Read a client's request. Raises `Untranslatable`."""
    return _read(lambda: dialect.decode_request(raw, "generate"), f"this is no request of {dialect.name}")


def translated_request(
    source: Dialect, target: Dialect, raw: bytes, losses: list[Loss], *, stream: bool = False, model: str | None = None
) -> bytes:
    """Turn a client's request into an upstream's, as a host does that knows nothing of the model. Raises `Untranslatable`."""
    request = decoded_request(source, raw)
    wanted = Wanted(model=model or request.model, stream=stream or request.stream)
    written = _read(lambda: write_request(request, source, target, wanted), f"{target.name} cannot be asked this")
    losses += written.losses
    return written.raw


def translated_response(source: Dialect, target: Dialect, raw: bytes, request: Request, losses: list[Loss]) -> bytes:
    """Turn an upstream's whole answer, or its error, into a client's. Raises `Untranslatable`."""
    no_answer = f"this is no answer of {source.name}"
    error = _read(lambda: source.glance(raw), no_answer).error
    if error is not None:
        return target.encode_error(error if source is target else msgspec.structs.replace(error, type=None, code=None, extensions={}))
    response = _read(lambda: source.decode_response(raw), no_answer)
    return target.encode_response(read_response(response, _fitting(source, target, request), None), losses)


def translated_stream(source: Dialect, target: Dialect, raw: bytes, request: Request, losses: list[Loss]) -> bytes:
    """Turn an upstream's stream into a client's. Raises `Untranslatable`."""
    no_stream = f"this is no stream of {source.name}"
    events = events_of(source, raw)
    if not events:
        raise Untranslatable(f"{no_stream}: there is no event in it")
    asked = msgspec.structs.replace(request, stream=True)
    way = CanonicalWay(source, target, asked, losses, fitting=_fitting(source, target, request), model=None)
    made = _read(lambda: [new for event in events if not way.done for new in way.over([event])], no_stream)
    made += way.over(()) if not way.done else ()
    return b"".join(event.raw for event in made) + target.framing.finish()


def _fitting(source: Dialect, target: Dialect, request: Request) -> Fitting | None:
    """Return how the names of a request were fitted when it was sent to the one who answers."""
    return fit(request, source, []) if source.name != target.name else None


def events_of(dialect: Dialect, raw: bytes) -> list[Event]:
    """Cut a whole stream into its events, in the first of the dialect's framings that finds any."""
    framings: list[Framing] = [dialect.framing, *(point.framing for point in dialect.endpoints if point.framing is not None)]
    for framing in framings:
        splitter = framing.splitter()
        whole = splitter.feed(raw) + splitter.rest()
        if frames := framing.frames(whole):
            make = dialect.event_class(framing)
            return [make(frame, name, end) for frame, name, end in frames]
    return []


def _read(reading: Callable[[], _Read], otherwise: str) -> _Read:
    try:
        return reading()
    except BadRequest as fault:
        raise Untranslatable(f"{otherwise}: {fault}") from None
    except (ValueError, RecursionError) as fault:
        raise Untranslatable(f"{otherwise}: {' '.join(str(fault).split())}") from None
