"""A program that has the host inside: how it is made, started, asked and stopped, with and without HTTP."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import msgspec
import pytest

from jackfield import ConfigError, Jackfield
from jackfield.api import Attempt, Body, Call, CallError, Change, Event, Nested, Principal, Reply, Request, Response, reply_text
from jackfield.api.canonical import Begin, Done, Message, Text, TextDelta
from jackfield.api.testing import Harness
from jackfield.plugins import PluginLoadError
from tests.kernel.conftest import Toy, ToyProvider, pieces, talk
from tests.kernel.pipeline_kit import PATIENCE, Made, Observer, failing
from tests.kernel.toy import stream_of

BARE: dict[str, Any] = {"plugins": {"autoload": False}, "server": {"port": 0}}


def embedded(*plugins: object, given: Any = BARE, **options: Any) -> Jackfield:
    return Jackfield(given, plugins=plugins or (Toy(),), defaults=False, **{"listen": False, **options})


def request(words: str = "hi", model: str = "m") -> Request:
    return Request(model=model, messages=(Message(role="user", parts=(Text(text=words),)),))


# --------------------------------------------------------------------------------------------------- made


async def test_it_is_made_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "host.yaml"
    path.write_text("models: {aliases: {best: m}}\nplugins: {autoload: false}\n")
    for given in (path, str(path)):
        async with embedded(given=given) as host:
            assert isinstance(answer := await host.execute(request(model="best")), Response)
            assert (answer.text, answer.model) == ("Hello", "best")


async def test_it_is_made_from_a_mapping() -> None:
    async with embedded(given={**BARE, "models": {"aliases": {"best": "m"}}}) as host:
        assert isinstance(answer := await host.execute(request(model="best")), Response)
        assert answer.text == "Hello"


async def test_it_is_made_from_defaults_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with Jackfield(listen=False) as host:
        assert isinstance(answer := await host.execute(request("Hello", "sim/echo")), Response)
        assert answer.text == "Hello"


async def test_without_anything_it_reads_the_file_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jackfield.yaml").write_text("models: {aliases: {best: sim/echo}}\n")
    monkeypatch.chdir(tmp_path)
    async with Jackfield(listen=False) as host:
        assert isinstance(answer := await host.execute(request("Hello", "best")), Response)
        assert answer.text == "Hello"


def test_a_bad_configuration_is_refused_when_it_is_made_with_every_problem() -> None:
    with pytest.raises(ConfigError) as refused:
        Jackfield({"server": {"prot": 1}, "limits": {"body": "much"}})
    assert len(refused.value.problems) == 2


class Configured:
    """A plugin as a class: the host builds it."""

    built: list[dict[str, Any]] = []

    def __init__(self, config: Any, host: Any) -> None:
        self.built.append(config)

    def intercept_request(self, call: Call) -> Change:
        return Change(respond=reply_text("from a class"))


def module() -> ModuleType:
    made = ModuleType("my_plugin")
    made.intercept_request = lambda call: Change(respond=reply_text("from a module"))  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize(
    ("plugin", "id", "says"),
    [
        (Made("mine", intercept_request=lambda call: Change(respond=reply_text("from an object"))), "mine", "from an object"),
        (Configured, "configured", "from a class"),
        (module(), "my_plugin", "from a module"),
    ],
    ids=["object", "class", "module"],
)
async def test_plugins_need_no_entry_point(plugin: object, id: str, says: str) -> None:
    async with embedded(Toy(), plugin) as host:
        assert isinstance(answer := await host.execute(request()), Response)
        assert answer.text == says
        assert [found.origin for found in host.plugins if found.id == id] == ["object"]


async def test_a_plugin_class_gets_its_section_of_the_configuration() -> None:
    Configured.built.clear()
    async with embedded(Toy(), Configured, given={"plugins": {"autoload": False, "configured": {"colour": "red", "priority": 3}}}):
        pass
    assert Configured.built == [{"colour": "red"}]


async def test_a_plugin_that_is_handed_over_may_authenticate() -> None:
    door = Made("door", authenticate=lambda call: Principal(name="guest") if call.headers.get("toy-key") == "k" else None)
    async with embedded(Toy(), door, listen=True) as host:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{host.port}") as session:
            statuses = []
            for key in ("k", "x"):
                async with session.post("/toy/v1/talk", json=talk(), headers={"Toy-Key": key}) as response:
                    statuses.append(response.status)
        assert statuses == [200, 401]
        assert isinstance(await host.execute(request()), Response), "the program itself needs no key"


# ---------------------------------------------------------------------------------------- started and stopped


@pytest.mark.parametrize("waits", [False, True], ids=["def", "async def"])
async def test_callbacks_are_called_before_and_after_the_start(waits: bool) -> None:
    seen: list[Any] = []

    def note(host: Jackfield, when: str) -> None:
        seen.append((when, host.port > 0))

    async def note_async(host: Jackfield, when: str) -> None:
        await asyncio.sleep(0)
        note(host, when)

    called = note_async if waits else note
    async with embedded(listen=True, before_start=[lambda host: called(host, "before")], after_start=[lambda host: called(host, "after")]):
        assert seen == [("before", False), ("after", True)]


@pytest.mark.parametrize("when", ["before_start", "after_start"])
@pytest.mark.parametrize("waits", [False, True], ids=["def", "async def"])
async def test_a_callback_that_fails_ends_the_start_and_leaves_nothing_behind(when: str, waits: bool) -> None:
    closed: list[str] = []

    class Closing:
        id = "closing"

        async def close(self) -> None:
            closed.append("closed")

    def fail(host: Jackfield) -> None:
        raise LookupError("no database")

    async def fail_async(host: Jackfield) -> None:
        raise LookupError("no database")

    host = embedded(Toy(), Closing(), listen=True, **{when: [fail_async if waits else fail]})
    with pytest.raises(LookupError, match="no database"):
        await host.start()
    assert closed == (["closed"] if when == "after_start" else [])
    with pytest.raises(CallError):
        await host.execute(request())


async def test_a_required_plugin_that_cannot_start_ends_the_start() -> None:
    class Broken:
        id = "broken"

        async def start(self) -> None:
            raise OSError("no disk")

    host = embedded(Toy(), Broken(), given={"plugins": {"autoload": False, "broken": {"required": True}}})
    with pytest.raises(PluginLoadError, match="no disk"):
        await host.start()


async def test_a_start_that_is_cancelled_leaves_nothing_behind() -> None:
    begun = asyncio.Event()

    class Slow:
        id = "slow"

        async def start(self) -> None:
            begun.set()
            await asyncio.Event().wait()

    host = embedded(Toy(), Slow(), listen=True)
    task = asyncio.create_task(host.start())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("when", ["before it is started", "after it was stopped"])
async def test_a_host_that_does_not_run_says_so(when: str) -> None:
    host = embedded()
    if when == "after it was stopped":
        async with host:
            pass
    with pytest.raises(CallError, match="not started"):
        await host.execute(request())
    with pytest.raises(CallError, match="not started"):
        await anext(aiter(host.stream(request())))
    with pytest.raises(CallError, match="not started"):
        await host.models()


async def test_it_can_be_stopped_twice_and_started_again() -> None:
    host = embedded(listen=True)
    for _ in range(2):
        await host.start()
        assert isinstance(await host.execute(request()), Response)
        await host.stop()
        await host.stop()


async def test_stopping_lets_calls_finish_within_the_grace() -> None:
    begun, free = asyncio.Event(), asyncio.Event()

    class Slow(ToyProvider):
        async def execute(self, attempt: Attempt) -> Reply:
            begun.set()
            await free.wait()
            return await super().execute(attempt)

    host = embedded(Toy(Slow()))
    await host.start()
    task = asyncio.create_task(host.execute(request()))
    await begun.wait()
    stopping = asyncio.create_task(host.stop(grace=PATIENCE))
    await asyncio.sleep(0)
    free.set()
    assert isinstance(answer := await task, Response)
    assert answer.text == "Hello"
    await stopping


async def test_stopping_ends_calls_after_the_grace_with_an_error() -> None:
    begun = asyncio.Event()

    class Stuck(ToyProvider):
        async def execute(self, attempt: Attempt) -> Reply:
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

    host = embedded(Toy(Stuck()))
    await host.start()
    task = asyncio.create_task(host.execute(request()))
    await begun.wait()
    await host.stop(grace=0)
    with pytest.raises(CallError, match="stopping") as refused:
        await task
    assert refused.value.failure.code == "stopping"


PROGRAM = """
import sys
from jackfield import Jackfield

def ready(host):
    print(host.port, flush=True)

Jackfield({"server": {"port": 0}}, after_start=[ready]).run()
print("stopped", flush=True)
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_run_serves_until_a_signal(sent: signal.Signals, tmp_path: Path) -> None:
    import urllib.request

    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as child:
        try:
            assert child.stdout is not None
            port = int(child.stdout.readline())
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE) as answer:
                assert answer.status == 200
            child.send_signal(sent)
            assert child.stdout.readline() == "stopped\n"
            assert child.wait(PATIENCE) == 0
        finally:
            child.kill()


# -------------------------------------------------------------------------------------------------- asked


async def test_execute_answers_canonically_and_stream_in_deltas() -> None:
    async with embedded() as host:
        assert isinstance(answer := await host.execute(request()), Response)
        deltas = [delta async for delta in host.stream(request())]
    assert (answer.text, answer.finish, answer.usage and answer.usage.output) == ("Hello", "stop", 5)
    assert isinstance(deltas[0], Begin)
    assert isinstance(deltas[-1], Done)
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == "Hello"


@pytest.mark.parametrize("model", ["m", "toy://m", "best"])
async def test_without_http_the_answer_is_the_same_as_over_http(model: str) -> None:
    config = {"models": {"aliases": {"best": "n"}}}
    async with Harness([Toy()], config, bare=True) as harness:
        over_http = await harness.post("/toy/v1/talk", talk(model))
        reply = await harness.host.execute(Nested(dialect="toy.talk", body=talk(model)))
        assert isinstance(reply, Reply)
        assert isinstance(reply.body, Body)
        assert (reply.status, reply.body.raw) == (over_http.status, over_http.body)
        for name in ("content-type", "toy-request-id"):
            assert reply.headers[name] == over_http.headers[name]
        streamed = (await harness.post("/toy/v1/talk", talk(model, stream=True))).body
        events = [event async for event in harness.host.stream(Nested(dialect="toy.talk", body=talk(model)))]
        assert b"".join(event.raw for event in events if isinstance(event, Event)) == streamed


@pytest.mark.parametrize(
    ("body", "provider"),
    [
        (talk("nobody"), ToyProvider()),
        ({"model": 7}, ToyProvider()),
        (talk(), ToyProvider(failing((422, {"oops": "bad words", "code": "words"})))),
        (talk(), ToyProvider(failing((500, {"oops": "x"})))),
        (talk(), ToyProvider(failing((429, {"oops": "x"})))),
    ],
    ids=["unknown model", "wrong type", "caller's fault", "upstream's fault", "rate"],
)
async def test_without_http_an_error_is_raised_with_what_a_client_would_be_told(body: Any, provider: ToyProvider) -> None:
    async with Harness([Toy(provider)], bare=True) as harness:
        over_http = await harness.post("/toy/v1/talk", body)
        for ask in (_execute, _stream):
            with pytest.raises(CallError) as refused:
                await ask(harness.host, body)
            fault = refused.value
            assert (fault.failure.shown_status, msgspec.json.decode(fault.body)) == (over_http.status, over_http.json)


async def _execute(host: Jackfield, body: Any) -> Any:
    return await host.execute(Nested(dialect="toy.talk", body=body))


async def _stream(host: Jackfield, body: Any) -> Any:
    return [event async for event in host.stream(Nested(dialect="toy.talk", body=body))]


async def test_a_long_stream_waits_for_its_reader() -> None:
    sent: list[int] = []
    raw = stream_of([f"{n} " for n in range(300)])

    async def counted() -> Any:
        async for piece in pieces(raw, 100):
            sent.append(len(piece))
            yield piece

    async with embedded(Toy(ToyProvider(lambda attempt: Reply(stream=counted())))) as host:
        stream = host.stream(request())
        await anext(aiter(stream))
        for _ in range(200):
            await asyncio.sleep(0)
        assert sum(sent) < len(raw) / 2, "the host reads on although nobody takes what it read"
        rest = [delta.text async for delta in stream if isinstance(delta, TextDelta)]
    assert "".join(rest).split() == [str(n) for n in range(300)]


async def test_a_reader_that_leaves_a_stream_cancels_the_call() -> None:
    observer, closed = Observer(), asyncio.Event()

    async def endless() -> Any:
        try:
            yield stream_of(["one", "two"])[:-200]
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with embedded(Toy(ToyProvider(lambda attempt: Reply(stream=endless()))), observer) as host:
        stream = host.stream(request())
        await anext(aiter(stream))
        await stream.aclose()  # type: ignore[attr-defined]
        [outcome] = await observer.completed()
        assert closed.is_set()
    assert outcome.status == "canceled"


async def test_a_program_that_gives_up_cancels_the_call() -> None:
    observer, begun = Observer(), asyncio.Event()

    class Stuck(ToyProvider):
        async def execute(self, attempt: Attempt) -> Reply:
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

    async with embedded(Toy(Stuck()), observer) as host:
        task = asyncio.create_task(host.execute(request()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [outcome.status for outcome in await observer.completed()] == ["canceled"]


async def test_models_lists_what_can_be_called() -> None:
    async with embedded(given={**BARE, "models": {"aliases": {"best": "m", "lost": "nobody"}}}) as host:
        assert {model.id for model in await host.models()} == {"m", "n", "best"}


async def test_the_programs_calls_pass_all_stages_as_its_own() -> None:
    observer = Observer()
    async with embedded(Toy(), observer) as host:
        await host.execute(request())
        await observer.completed()
    [call] = observer.calls
    assert (call.principal.name, call.depth, call.parent, call.dialect) == ("embedder", 0, None, "canonical")


async def test_two_hosts_in_one_process_keep_apart() -> None:
    def named(name: str) -> ToyProvider:
        answer = msgspec.json.encode({"id": "t", "model": "m", "blocks": [{"text": name}], "stop": "stop"})
        return ToyProvider(lambda attempt: Reply(body=answer))

    async with embedded(Toy(named("left")), listen=True) as left, embedded(Toy(named("right")), listen=True) as right:
        assert left.port != right.port
        answers = [await host.execute(request()) for host in (left, right)]
        assert [answer.text for answer in answers if isinstance(answer, Response)] == ["left", "right"]


async def test_a_call_of_one_host_within_a_call_of_another_is_no_nested_one() -> None:
    observer = Observer()
    inner = embedded(Toy(), observer, given={**BARE, "models": {"aliases": {"inner": "m"}}})

    async def over_there(call: Call) -> Change:
        answer = await inner.execute(request(model="inner"))
        assert isinstance(answer, Response)
        return Change(respond=answer)

    async with inner, embedded(Toy(), Made("bridge", intercept_request=over_there)) as outer:
        assert isinstance(answer := await outer.execute(request()), Response)
        await observer.completed()
    assert answer.text == "Hello"
    [call] = observer.calls
    assert (call.depth, call.parent, call.principal.name) == (0, None, "embedder")


async def test_a_host_cannot_be_started_twice() -> None:
    async with Jackfield({"server": {"port": 0}}) as host:
        with pytest.raises(RuntimeError, match="started already"):
            await host.start()
        assert [model.id for model in await host.models()]
