"""What plugins out of process ask of upstreams, through the host's connections."""

import asyncio
import codecs
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

import msgspec

from jackfield.api import Host, HttpRequest, HttpResponse, Timeouts
from jackfield.rpc import forms, wire_host
from jackfield.rpc.channel import Asked, Streamed
from jackfield.rpc.errors import BAD_PARAMS, BUSY, RpcFault
from jackfield.rpc.wire import Bodied, Item

_ON_BEHALF: Final = ("executor.", "model.for_auth")
"""Methods in which requests may be sent as the credential's own: what they are about has a `send`."""


class Http:
    """Answers `host.http.*`. `most` is how many bytes of an answer one message carries."""

    def __init__(self, host: Host, most: int) -> None:
        self._host, self._most = host, most

    async def request(self, said: wire_host.HttpAsk, asked: Asked | None) -> wire_host.HttpAnswer:
        """Send a request and return its whole answer."""
        response = await self._send(said, asked)
        pieces, size = list[bytes](), 0
        try:
            async for piece in response:
                pieces.append(piece)
                if (size := size + len(piece)) > self._most:
                    raise RpcFault(BUSY, f"the answer is over {self._most} bytes, too large for one message; ask with host.http.stream")
        finally:
            await response.aclose()
        kind = (response.headers.get("content-type") or "").partition(";")[0].strip().lower() or "application/octet-stream"
        about: dict[str, Any] = {} if kind == "application/json" else {"media_type": kind}
        raw = b"".join(pieces)
        fields = forms.plain_fields(raw, as_json=kind.endswith("json")) if raw else {}
        return wire_host.HttpAnswer(status=response.status, headers=forms.sayable_pairs(response.headers), **about, **fields)

    async def stream(self, said: wire_host.HttpStream, asked: Asked | None) -> Streamed:
        """Send a request and return its answer's head, and the body as it comes."""
        response = await self._send(said, asked)
        items = _items(response)
        await anext(items)
        head = wire_host.HttpAnswer(status=response.status, headers=forms.sayable_pairs(response.headers))
        return Streamed(head, said.stream, said.credit, items)

    async def _send(self, said: wire_host.HttpAsk, asked: Asked | None) -> HttpResponse:
        body, headers = await body_of(said), tuple(forms.pairs_of(said.headers))
        if body is not None and said.media_type != "application/json" and not any(name.lower() == "content-type" for name, _ in headers):
            headers = (*headers, ("Content-Type", said.media_type))
        request = HttpRequest(
            method=said.method,
            url=said.url,
            headers=headers,
            body=body,
            timeouts=timeouts_of(said.timeouts),
            credential=said.credential,
        )
        if not said.attempt:
            return await self._host.http.request(request)
        if asked is None or not asked.method.startswith(_ON_BEHALF):
            raise RpcFault(BAD_PARAMS, "attempt: `for` has to name the request that is being answered, executor.* or model.for_auth")
        answer: HttpResponse = await asked.subject.send(request)
        return answer


async def body_of(said: Bodied) -> bytes | None:
    """Return the body that stands in params."""
    try:
        if said.body_file is not None:
            return await asyncio.to_thread(forms.bytes_of, said)
        return forms.bytes_of(said)
    except ValueError as fault:
        raise RpcFault(BAD_PARAMS, str(fault)) from None


def timeouts_of(said: wire_host.Times | None) -> Timeouts | None:
    """Return limits on waiting."""
    return None if said is None else Timeouts(**msgspec.structs.asdict(said))


async def _items(response: HttpResponse) -> AsyncGenerator[Sequence[Item]]:
    """Yield an answer's body as it comes, after nothing: from then on the answer is closed in every case.

    No character is cut in two; what is no UTF-8 goes as it is.
    """
    rest = b""
    try:
        yield ()
        async for piece in response:
            raw = rest + piece
            try:
                text, used = codecs.utf_8_decode(raw, "strict", False)
            except UnicodeDecodeError:
                yield (forms.bytes_item(raw),)
                rest = b""
            else:
                rest = raw[used:]
                if text:
                    yield (Item(raw=text),)
        if rest:
            yield (forms.bytes_item(rest),)
    finally:
        await response.aclose()
