"""A bare reverse proxy in ordinary aiohttp code: the measure of what Jackfield costs.

It does what any proxy must do and nothing more: one catch-all route, one client session with unlimited
connections, hop-by-hop fields dropped in both directions, bodies passed on as they come. It checks no key, picks
no credential, counts nothing and sets no time-out. Nothing in it is tuned beyond what aiohttp's documentation
recommends: uvloop, no access log, no cookie jar, no decompression on the way.

The benchmark refuses to run when this file is not the one whose hash it knows (`servers.BARE_SHA256`), so that
figures of different days are figures of the same proxy.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Mapping

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"}
)
SESSION = web.AppKey("SESSION", aiohttp.ClientSession)
UPSTREAM = web.AppKey("UPSTREAM", str)


def end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Return the fields that a proxy passes on: all but the hop-by-hop ones (RFC 9110, section 7.6.1)."""
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP)


async def forward(request: web.Request) -> web.StreamResponse:
    """Send a request to the upstream and pass its answer on as it comes."""
    headers = end_to_end(request.headers)
    headers.popall("Host", None)
    body = await request.read() if request.can_read_body else None
    url = request.app[UPSTREAM] + request.path_qs
    async with request.app[SESSION].request(request.method, url, headers=headers, data=body, allow_redirects=False) as upstream:
        response = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=end_to_end(upstream.headers))
        try:
            await response.prepare(request)
            async for data in upstream.content.iter_any():
                await response.write(data)
            await response.write_eof()
        except ConnectionResetError:
            pass  # the client has left: nobody is there to be told
        return response


async def client_session(app: web.Application) -> AsyncIterator[None]:
    """Keep one client session for the life of the proxy."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    ) as session:
        app[SESSION] = session
        yield


def application(upstream: str) -> web.Application:
    """Return the proxy for an upstream's origin, such as `http://127.0.0.1:9000`."""
    app = web.Application(client_max_size=64 << 20)
    app[UPSTREAM] = upstream
    app.cleanup_ctx.append(client_session)
    app.router.add_route("*", "/{path:.*}", forward)
    return app


def event_loop() -> asyncio.AbstractEventLoop:
    """Return a new uvloop, or asyncio's own where uvloop is not installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def main() -> None:
    """Run the proxy until it is told to stop."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--upstream", required=True, help="origin, such as http://127.0.0.1:9000")
    said = options.parse_args()
    app = application(said.upstream)
    web.run_app(app, host="127.0.0.1", port=said.port, access_log=None, print=None, backlog=2048, loop=event_loop())


if __name__ == "__main__":
    main()
