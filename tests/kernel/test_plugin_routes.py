"""Routes and commands of plugins' own: who may ask, what is answered, what happens when a plugin fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from jackfield.api import Call, Headers, Host, Nested, PluginRoute, Principal, Reject, Reply
from jackfield.api.testing import Harness
from jackfield.cli.main import main
from tests.kernel.distributions import Distributions, distributions
from tests.kernel.pipeline_kit import Observer, toy_host

__all__ = ["distributions"]


class Pages:
    """Serves what a test gives it."""

    id = "pages"

    def __init__(self, *routes: PluginRoute) -> None:
        self.routes = list(routes)

    def register_routes(self) -> list[PluginRoute]:
        return self.routes


class Door:
    """Admits those whose key is their name; `root` is an administrator."""

    id = "door"

    def authenticate(self, call: Call) -> Principal | Reject | None:
        key = (call.headers.get("authorization") or "").removeprefix("Bearer ")
        return Principal(name=key, tags=("admin",) if key == "root" else ()) if key else None


async def tell(call: Call) -> Reply:
    said = f"{call.method} {call.path} {dict(call.params)} {call.query.get('q')} {call.body.raw.decode()} by {call.principal.name}"
    seen = "authorization" in call.headers
    return Reply(status=201, headers=Headers({"Content-Type": "text/plain", "Set-Cookie": "a=b", "X-Seen": str(seen)}), body=said.encode())


def key(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


async def test_a_route_sees_the_request_and_answers_as_it_likes() -> None:
    routes = (PluginRoute(method="POST", path="/pages/{name}/all/{path}", handle=tell),)
    async with toy_host(Pages(*routes), Door()) as host:
        answer = await host.request("POST", "/pages/a%20b/all/c/d?q=1", b"hello", {**key("me"), "Content-Type": "text/plain"})
    assert answer.status == 201
    assert answer.body.decode() == "POST /pages/{name}/all/{path} {'name': 'a b', 'path': 'c/d'} 1 hello by me"
    assert (answer.headers["content-type"], answer.headers["set-cookie"], answer.headers["x-seen"]) == ("text/plain", "a=b", "False")


@pytest.mark.parametrize(
    ("access", "who", "status"),
    [
        ("client", None, 401),
        ("client", "me", 201),
        ("admin", "me", 403),
        ("admin", "root", 201),
        ("admin", None, 401),
        ("public", None, 201),
    ],
)
async def test_who_may_ask(access: Any, who: str | None, status: int) -> None:
    async with toy_host(Pages(PluginRoute(path="/pages", access=access, handle=tell)), Door()) as host:
        assert (await host.get("/pages", key(who) if who else {})).status == status


async def test_without_access_rules_local_programs_alone_are_served() -> None:
    async with toy_host(Pages(PluginRoute(path="/pages", access="public", handle=tell))) as host:
        assert (await host.get("/pages")).status == 201
        assert (await host.get("/pages", {"Origin": "https://example.com"})).status == 403


async def test_a_method_that_a_path_does_not_take_is_405() -> None:
    async with toy_host(Pages(PluginRoute(path="/pages", handle=tell))) as host:
        answer = await host.request("DELETE", "/pages")
    assert (answer.status, answer.headers["allow"]) == (405, "GET")


async def broken(call: Call) -> Reply:
    raise KeyError("secret detail")


async def nonsense(call: Call) -> Reply:
    return "words"  # type: ignore[return-value]


async def slow(call: Call) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError("never")


@pytest.mark.parametrize("handle", [broken, nonsense, slow])
async def test_a_route_that_fails_is_502_and_says_no_more_than_whose_it_is(handle: Any) -> None:
    config = {"plugins": {"pages": {"hooks": {"register_routes": {"deadline": 0.05}}}}}
    observer = Observer()
    async with toy_host(Pages(PluginRoute(path="/pages", handle=handle)), observer, config=config) as host:
        answer = await host.get("/pages")
        (outcome,) = await observer.completed()
    assert answer.status == 502
    assert "plugin 'pages' failed (GET /pages)" in answer.body.decode()
    assert "secret" not in answer.body.decode()
    assert (outcome.status, outcome.http_status) == ("failed", 502)


async def test_a_streamed_answer_leaves_piece_by_piece() -> None:
    go = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        await go.wait()
        yield b"two"

    async def handle(call: Call) -> Reply:
        return Reply(headers=Headers({"Content-Type": "text/event-stream"}), stream=pieces())

    async with toy_host(Pages(PluginRoute(path="/pages", handle=handle))) as host, host.open("GET", "/pages") as response:
        assert await response.content.readany() == b"one "
        go.set()
        assert await response.content.read() == b"two"


async def test_a_stream_that_breaks_does_not_look_complete() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        raise OSError("gone")

    async def handle(call: Call) -> Reply:
        return Reply(stream=pieces())

    async with toy_host(Pages(PluginRoute(path="/pages", handle=handle))) as host, host.open("GET", "/pages") as response:
        with pytest.raises(Exception, match=r"payload|disconnected|reset"):
            await response.content.read()


async def test_a_route_may_make_calls_in_the_name_of_who_asks() -> None:
    class Asking:
        id = "asking"

        def __init__(self, host: Host) -> None:
            self._host = host

        def register_routes(self) -> list[PluginRoute]:
            return [PluginRoute(path="/ask", handle=self.ask)]

        async def ask(self, call: Call) -> Reply:
            body = {"model": "sim/echo", "messages": [{"role": "user", "content": "hi"}]}
            reply = await self._host.execute(Nested(dialect="openai.chat", body=body))
            assert isinstance(reply, Reply)
            return reply

    observer = Observer()
    async with Harness([Asking, Door(), observer]) as host:
        answer = await host.get("/ask", key("me"))
        await observer.completed(2)
    assert answer.json["choices"][0]["message"]["content"] == "hi"
    assert {call.principal.name for call in observer.calls} == {"me"}


async def test_of_two_routes_one_is_shadowed_and_a_dialects_goes_first() -> None:
    class Other(Pages):
        id = "other"
        priority = 5

    async def other(call: Call) -> Reply:
        return Reply(body=b'"other"')

    mine = [PluginRoute(path="/pages", handle=tell), PluginRoute(method="POST", path="/toy/v1/talk", handle=tell)]
    async with toy_host(Pages(*mine), Other(PluginRoute(path="/pages", handle=other))) as host:
        assert (await host.get("/pages")).json == "other"
        assert sorted(host.host.problems) == [
            "plugin 'pages': ('GET', '/pages') is shadowed: a plugin of higher priority has one",
            "plugin 'pages': register_routes: ValueError: POST /toy/v1/talk is a dialect's",
        ]


async def test_a_merely_installed_plugin_may_serve_clients_alone(distributions: Distributions) -> None:
    distributions.install(
        "one",
        """
        from jackfield.api import PluginRoute, Reply

        async def handle(call):
            return Reply(body=b"1")

        def register_routes():
            return [PluginRoute(path="/open", access="public", handle=handle), PluginRoute(path="/mine", handle=handle)]
        """,
    )
    async with Harness() as host:
        assert ((await host.get("/mine")).status, (await host.get("/open")).status) == (200, 404)
        assert "plugin 'one': register_routes: PermissionError: /open: public routes need a grant" in host.host.problems[0]
    async with Harness(config={"plugins": {"one": {}}}) as host:
        assert (await host.get("/open")).status == 200


# ------------------------------------------------------------------------------------------------ commands

COMMANDS = """
from jackfield.api import Command

def greet(arguments):
    print("hello", *arguments)
    return len(arguments)

async def later(arguments):
    return 7

def fail(arguments):
    raise OSError("no such thing")

def register_commands():
    return [
        Command(name="greet", help="Say hello.", run=greet),
        Command(name="later", help="Wait.", run=later),
        Command(name="fail", help="Fail.", run=fail),
    ]
"""


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 0, "greet                Say hello."),
        (("greet", "--loud", "you"), 2, "hello --loud you"),
        (("later",), 7, ""),
        (("fail",), 1, "the command 'fail' failed: OSError: no such thing"),
        (("gret",), 1, "no plugin has a command 'gret'; did you mean 'greet'?"),
    ],
)
def test_commands_of_a_single_file(tmp_path: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    (tmp_path / "extra.py").write_text(COMMANDS)
    done = CliRunner().invoke(main, ["run", "--plugin", str(tmp_path / "extra.py"), *arguments])
    assert done.exit_code == code
    assert says in done.output
