"""What isolated plugins ask of the host, and what they register: the same as in process."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from jackfield.api import HostInfo
from jackfield.api.testing import Harness, ScriptedUpstream, json_answer
from jackfield.cli.main import main
from jackfield.rpc_plugin.host import ChildHost
from tests.kernel.conftest import Toy, talk
from tests.kernel.pipeline_kit import Observer, ask
from tests.kernel.test_crossing import Both, CurtProvider
from tests.kernel.toy import check_stream, stream_of


def apart(folder: Path, text: str, *plugins: object, isolate: bool = True, bare: bool = True, **more: Any) -> Harness:
    """Return a host with a plugin of one file."""
    (folder / "apart.py").write_text(text)
    section = {"path": str(folder / "apart.py"), "isolate": isolate, **more.pop("settings", {})}
    config = {"plugins": {"apart": section, **more.pop("others", {})}, **more}
    return Harness(plugins or (Toy(),), config, bare=bare)


ECHO = {"model": "sim/echo", "messages": [{"role": "user", "content": "hi"}]}
BOTH = pytest.mark.parametrize("isolate", [False, True], ids=["in_process", "isolated"])

ASKING = """
from jackfield.api import CallError, Change, HttpRequest, Nested, Reply, Request
from jackfield.api.canonical import Message, Text

SAID = Request(model="m", messages=(Message(role="user", parts=(Text(text="hi"),)),))

class Plugin:
    def __init__(self, config: dict, host):
        self.url, self.host = config.get("url"), host

    async def intercept_request(self, call):
        words = call.request.messages[-1].text
        made = await getattr(self, words)()
        body = b'{"blocks":[{"text":"%b"}],"id":"1","model":"m","stop":"stop"}' % made.encode()
        return Change(respond=Reply(headers=call.headers, body=body))

    async def execute(self):
        return (await self.host.execute(SAID)).text

    async def in_the_dialect(self):
        reply = await self.host.execute(Nested(dialect="toy.talk", body={"model": "m", "say": []}))
        return f"{reply.status} {reply.body.json['blocks'][0]['text']} {reply.body.canonical.text if reply.body.canonical else ''}"

    async def stream(self):
        return "".join([getattr(delta, "text", "") async for delta in self.host.stream(SAID)])

    async def stream_of_events(self):
        nested = Nested(dialect="toy.talk", body={"model": "m", "say": []})
        return "".join([event.json["text"] async for event in self.host.stream(nested) if event.name == "words"])

    async def unknown_model(self):
        try:
            await self.host.execute(Request(model="nobody", messages=SAID.messages))
        except CallError as fault:
            return f"{fault.failure.cause} {fault.failure.code} {fault.failure.shown_status}"

    async def http(self):
        response = await self.host.http.request(HttpRequest(url=self.url + "/x", body=b'{ "a": 1.10 }', headers=(("X-Y", "z"),)))
        return f"{response.status} {response.headers['x-was']} {(await response.read()).decode().replace(chr(34), '')}"

    async def http_in_pieces(self):
        response = await self.host.http.request(HttpRequest(url=self.url + "/x", method="GET"))
        pieces = [piece async for piece in response]
        await response.aclose()
        return b"".join(pieces).decode().replace('"', "")

    async def refused_address(self):
        try:
            await self.host.http.request(HttpRequest(url="http://10.0.0.1/"))
        except CallError as fault:
            return f"{fault.failure.cause} {fault.failure.code}"

    async def models(self):
        self.host.models()  # the first look may find what was there at the start
        import asyncio
        for _ in range(100):
            if names := sorted(model.id for model in self.host.models()):
                return " ".join(names)
            await asyncio.sleep(0.05)

    async def state(self):
        state = self.host.state
        said = [await state.set("a", b"1"), await state.set("a", b"2", if_absent=True), await state.get("a"), await state.add("n", 3)]
        said += [await state.add("n", 3, maximum=5), await state.get("n"), await state.delete("a"), await state.get("a")]
        try:
            await state.set("text", b"x")
            await state.add("text")
        except ValueError:
            said.append("ValueError")
        return str(said)

    async def info(self):
        return f"{self.host.info.plugin} {self.host.clock() > 0}"
"""

SAYS = {
    "execute": "Hello",
    "in_the_dialect": "200 Hello Hello",
    "stream": "Hello",
    "stream_of_events": "Hello",
    "unknown_model": "caller model_not_found 404",
    "http": "200 here {ok:true}",
    "http_in_pieces": "{ok:true}",
    "refused_address": "network private_address",
    "models": "m n",
    "state": "[True, False, b'1', 3, None, b'3', None, None, 'ValueError']",
    "info": "apart True",
}


@BOTH
async def test_what_a_plugin_asks_of_the_host_is_answered_alike(tmp_path: Path, isolate: bool) -> None:
    answer = json_answer({"ok": True}, headers={"X-Was": "here"})
    async with ScriptedUpstream(answer, answer) as upstream:
        settings, others = {"url": upstream.url}, {"memory": {}, "simulator": {"enabled": False}}
        async with apart(tmp_path, ASKING, isolate=isolate, bare=False, settings=settings, others=others) as host:
            said = {}
            for words in SAYS:
                reply = await host.post("/toy/v1/talk", talk(words=words))
                said[words] = reply.json["blocks"][0]["text"] if reply.status == 200 else reply.body
        assert said == SAYS
        assert [(r.method, r.body, r.headers.get("x-y")) for r in upstream.requests] == [
            ("POST", b'{ "a": 1.10 }', "z"),
            ("GET", b"", None),
        ]


NESTED = """
from jackfield.api import Change, Nested, Request
from jackfield.api.canonical import Message, Text

SAID = Request(model="m", messages=(Message(role="user", parts=(Text(text="hi"),)),))

class Plugin:
    def __init__(self, host):
        self.host = host

    async def intercept_request(self, call):
        await self.host.execute(SAID)  # its own interceptor does not see this one

    async def request_complete(self, call, outcome):
        if call.depth == 0:
            await self.host.execute(SAID)
"""


@BOTH
async def test_its_calls_are_nested_in_those_in_which_it_makes_them(tmp_path: Path, isolate: bool) -> None:
    observer = Observer()
    async with apart(tmp_path, NESTED, Toy(), observer, isolate=isolate) as host:
        assert (await ask(host)).status == 200
        await observer.completed(3)
    [outer] = [call for call in observer.calls if call.depth == 0]
    inner = [call for call in observer.calls if call.depth == 1]
    assert len(inner) == 2
    assert {call.parent.id for call in inner if call.parent is not None} == {outer.id}
    assert {call.principal.name for call in inner} == {outer.principal.name}


PROVIDER = """
import json
from jackfield.api import Bearer, CallError, HttpProvider, HttpRequest, KeyHeader, ModelInfo, Provider, Reply, Rule, failure

class Acme(HttpProvider):
    def prepare(self, attempt):
        made = super().prepare(attempt)
        made.headers = (*made.headers, ("x-number", str(attempt.number)))
        made.body = made.body.replace(b"hi", b"hello")
        return made

    async def discover(self, credential, send, dialects):
        response = await send(HttpRequest(method="GET", url=f"{self.base_url}/list"))
        return [ModelInfo(id=name) for name in json.loads(await response.read())]

class Bytes(Provider):
    key, dialects, models = "bytes", ("toy.talk",), ("bytes",)

    async def execute(self, attempt):
        assert attempt.body.json["model"] == "bytes"
        assert attempt.request.model == "bytes"
        async def pieces():
            for at in range(0, len(STREAM), 7):
                yield STREAM[at : at + 7]
        return Reply(stream=pieces()) if attempt.stream else Reply(status=429, headers={}, body=b'{"oops": "slowly"}')

class Plugin:
    def __init__(self, config: dict):
        global STREAM
        STREAM = config["stream"].encode()
        self.acme = Acme(key="acme", dialects="toy.talk", base_url=config["url"], auth=KeyHeader("x-acme-key"), models="discover",
                         failures=[Rule(status=418, cause="quota", retry_after=33)])

    def register_providers(self):
        return [self.acme, Bytes()]

    def register_models(self):
        return [("acme", ModelInfo(id="extra"))]
"""


@BOTH
async def test_its_providers_answer_alike(tmp_path: Path, isolate: bool) -> None:
    whole = json_answer({"id": "1", "model": "a", "blocks": [{"text": "from acme"}], "stop": "stop"})
    text = PROVIDER.replace("headers={}, ", "")
    async with ScriptedUpstream(json_answer(["a", "b"]), whole, json_answer({"oops": "full"}, status=418)) as upstream:
        settings = {"url": upstream.url, "stream": stream_of(["a", "ü", "c"]).decode()}
        credentials = [{"provider": "acme", "key": "acme-key", "base_url": upstream.url}]
        async with apart(tmp_path, text, isolate=isolate, settings=settings, credentials=credentials) as host:
            assert not host.host.problems
            names = {model.id for model in await host.host.models()}
            answered, refused = [await host.post("/toy/v1/talk", talk(model="a")) for _ in range(2)]
            streamed, limited = [await host.post("/toy/v1/talk", talk(model="bytes", stream=stream)) for stream in (True, False)]
        sent = [(r.method, r.target, r.headers.get("x-acme-key"), r.headers.get("x-number")) for r in upstream.requests]
    assert names >= {"a", "b", "extra", "bytes"}
    assert answered.json["blocks"][0]["text"] == "from acme"
    assert b"hello" in upstream.requests[1].body
    assert (refused.status, refused.headers["retry-after"]) == (429, "33")
    assert check_stream(streamed.body) == "aüc"
    assert limited.status == 429
    assert sent == [("GET", "/list", "acme-key", None), *[("POST", "/talk", "acme-key", "1")] * 2]


TRANSLATOR = """
import json
from jackfield.api import Loss

class Pair:
    source, target = "toy.talk", "curt.talk"

    def translate_request(self, raw, losses):
        losses.append(Loss("say", "changed", "shouted"))
        return raw.replace(b'"hi"', b'"HI"')

    async def translate_response(self, raw, losses):
        return raw.replace(b"Hello", b"HELLO")

    def translate_stream(self, call_id, losses):
        count = 0

        def step(event):
            nonlocal count
            if event is None:
                return ()
            count += 1
            if event.name != "words":
                return [(event.name, event.data)]
            return [(event.name, json.dumps({**event.json, "text": f"{event.json['text']}{count}"}).encode())]

        return step

def register_translators():
    return [Pair()]
"""


@BOTH
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_its_translators_translate_alike(tmp_path: Path, isolate: bool, stream: bool) -> None:
    provider, observer = CurtProvider(blocks=(["a", "b"],)), Observer()
    async with apart(tmp_path, TRANSLATOR, Both(provider), observer, isolate=isolate) as host:
        assert not host.host.problems
        answer = await ask(host, stream=stream)
        explained = await observer.explained()
    [attempt] = provider.attempts
    assert (attempt.fidelity, b'"HI"' in attempt.body.raw) == ("direct", True)
    assert all(words in answer.body for words in ((b'"a3"', b'"b4"') if stream else (b"HELLO",)))
    assert "shouted" in explained


SERVICES = """
import sys
from jackfield.api import CallError, Command, Headers, HttpRequest, PluginRoute, Reply, failure

class Plugin:
    def __init__(self, host):
        self.host = host

    async def greet(self, call):
        if call.query.get("fail"):
            raise CallError(failure("caller", "no such thing", status=404, code="nothing"))
        said = f"{call.method} {call.params['name']} {call.query.get('x')} {call.principal.name} {call.body.raw!r}"
        return Reply(status=201, headers=Headers({"Content-Type": "text/plain", "X-A": "b"}), body=said.encode())

    async def boom(self, call):
        raise RuntimeError("boom")

    async def pieces(self, call):
        async def each():
            yield b"one "
            yield b"two"
        return Reply(stream=each(), headers=Headers({"Content-Type": "text/plain"}))

    def register_routes(self):
        return [PluginRoute(method="POST", path="/greet/{name}", handle=self.greet), PluginRoute(path="/boom", handle=self.boom),
                PluginRoute(path="/pieces", handle=self.pieces, access="public")]

    def register_commands(self):
        return [Command(name="hello", help="Says hello.", run=self.hello)]

    def hello(self, arguments):
        print("hello", *arguments)
        print("on the side", file=sys.stderr)
        return 3
"""


@BOTH
async def test_its_routes_are_served_alike(tmp_path: Path, isolate: bool) -> None:
    async with apart(tmp_path, SERVICES, isolate=isolate) as host:
        assert not host.host.problems
        made = await host.request("POST", "/greet/ann?x=1", b"a\nbody\xff", headers={"Content-Type": "application/json"})
        missing = await host.request("POST", "/greet/ann?fail=1", b"{}", headers={"Content-Type": "application/json"})
        broken, streamed = await host.get("/boom"), await host.get("/pieces")
    assert (made.status, made.headers["x-a"], made.headers["content-type"]) == (201, "b", "text/plain")
    assert made.body == b"POST ann 1 local b'a\\nbody\\xff'"
    assert (missing.status, broken.status) == (404, 502)
    assert streamed.body == b"one two"


@BOTH
def test_its_commands_run_alike(tmp_path: Path, isolate: bool, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "apart.py").write_text(SERVICES)
    (tmp_path / "jackfield.yaml").write_text(f"plugins: {{apart: {{path: ./apart.py, isolate: {str(isolate).lower()}}}}}")
    with pytest.raises(SystemExit) as ended:
        main(["run", "--config", str(tmp_path / "jackfield.yaml"), "hello", "you", "--all"])
    said = capfd.readouterr()
    assert (ended.value.code, said.out) == (3, "hello you --all\n")
    assert "on the side\n" in said.err


IN_THREADS = """
import threading
from jackfield.api import Route, hook

class Plugin:
    def __init__(self, config: dict, host):
        self.host = host

    @hook(blocking=True)
    def intercept_request(self, call):
        assert threading.current_thread() is not threading.main_thread()
        for number in range(50):
            self.host.log.info("line %s of %s", number, "x" * 500)
            self.host.models()
"""


@BOTH
async def test_hooks_in_threads_may_log_and_look_at_lists(tmp_path: Path, isolate: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "jackfield.plugins.apart")
    async with apart(tmp_path, IN_THREADS, isolate=isolate, bare=False) as host:
        answers = await asyncio.gather(*[host.post("/v1/chat/completions", ECHO) for _ in range(2)])
    assert [answer.status for answer in answers] == [200, 200]
    assert sum(record.getMessage().startswith("line ") for record in caplog.records) == 100


async def test_lines_of_threads_are_written_where_all_else_is() -> None:
    wrote: list[int] = []

    class Noting:
        def notify(self, method: str, params: object) -> None:
            wrote.append(threading.get_ident())

    host: Any = Noting()
    log = ChildHost(host, HostInfo(version="1", plugin="noting")).log
    await asyncio.to_thread(log.info, "from a thread")
    log.info("from here")
    await asyncio.sleep(0)
    assert wrote == [threading.get_ident()] * 2


async def test_a_list_that_is_looked_at_often_is_asked_for_once() -> None:
    asked: list[str] = []

    class Counting:
        async def request(self, method: str, params: object) -> bytes:
            asked.append(method)
            return b'{"models":["m"]}'

    channel: Any = Counting()
    host = ChildHost(channel, HostInfo(version="1", plugin="counting"))
    for _ in range(100):
        host.models()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (asked, [model.id for model in host.models()]) == (["host.models.list"], ["m"])
    await host.close()
