"""What interceptors may change of a request and of an answer, and what stays as it came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from jackfield.api import Attempt, Call, Change, Headers, Path, Reply, Request, hook, reply_text
from jackfield.api.canonical import Message, Sampling, Text
from jackfield.api.testing import ScriptedUpstream, json_answer
from tests.kernel.conftest import WHOLE, ToyProvider, http_toy, pieces, talk
from tests.kernel.pipeline_kit import Made, Observer, ask, failing, toy_host
from tests.kernel.toy import check_stream, stream_of

ODD = (
    b'{ "num" :1.10,"big":123456789012345678901234567890,\t"e":1E5 ,"esc":"caf\\u00e9 \\/ \\ud83d\\ude00",'
    b'\n  "model"  :  "m" , "z":[ 1 , 2,3 ], "a":{"y":1,"x":  null},"say":[{"who":"user","words":"hi"}],"dup":1,"dup":2 }'
)
"""What no decoder and encoder would keep: spaces, the order of keys, numbers and escapes as they are written, doubled keys."""


async def sent(*plugins: object, body: bytes = ODD, config: dict[str, Any] | None = None) -> bytes:
    """Return the bytes that reach the upstream for a body that passes these plugins."""
    provider = ToyProvider()
    async with toy_host(*plugins, provider=provider, config=config) as host:
        answer = await host.post("/toy/v1/talk", body)
        assert answer.status == 200, answer.body
    return provider.attempts[-1].body.raw


EDITS: list[tuple[str, dict[Path, Any], Sequence[Path], list[tuple[bytes, bytes]]]] = [
    ("nothing", {}, [], []),
    ("a value", {("z", 1): "two"}, [], [(b"[ 1 , 2,3 ]", b'[ 1 , "two",3 ]')]),
    ("a nested value", {("a", "x"): False}, [], [(b'"x":  null', b'"x":  false')]),
    ("a new member", {("a", "w"): 0}, [], [(b"null}", b'null,"w":0}')]),
    ("one more item", {("z", 3): 4}, [], [(b"3 ]", b"3 ,4]")]),
    ("raw JSON", {("num",): msgspec.Raw(b"2.50")}, [], [(b":1.10", b":2.50")]),
    ("without the first", {}, [("num",)], [(b'"num" :1.10,', b"")]),
    ("without one in the middle", {}, [("e",)], [(b'"e":1E5 ,', b"")]),
    ("without the last", {}, [("a", "x")], [(b',"x":  null', b"")]),
    ("without what is not there", {}, [("nothing", "here")], []),
    ("set and removed", {("z", 0): 9}, [("big",)], [(b"[ 1 ", b"[ 9 "), (b'"big":123456789012345678901234567890,\t', b"")]),
]


@pytest.mark.parametrize("hook", ["intercept_request", "intercept_attempt", "normalize_request"])
@pytest.mark.parametrize(("set", "remove", "edits"), [row[1:] for row in EDITS], ids=[row[0] for row in EDITS])
async def test_a_change_by_path_keeps_every_other_byte(
    hook: str, set: dict[Path, Any], remove: Sequence[Path], edits: list[tuple[bytes, bytes]]
) -> None:
    expected = ODD
    for old, new in edits:
        assert expected.count(old) == 1
        expected = expected.replace(old, new)
    assert await sent(Made("editor", **{hook: lambda: Change(set=set, remove=remove)})) == expected


async def test_a_renamed_model_keeps_every_other_byte() -> None:
    assert await sent(config={"models": {"aliases": {"m": "n"}}}) == ODD.replace(b'"m" ,', b'"n" ,')


async def test_changes_of_several_plugins_add_up_and_each_sees_the_ones_before() -> None:
    def count(call: Call) -> Change:
        return Change(set={("count",): call.body.json.get("count", 0) + 1})

    raw = await sent(*[Made(f"p{n}", intercept_request=count) for n in range(3)], Made("q", intercept_attempt=lambda: None))
    assert msgspec.json.decode(raw)["count"] == 3


async def test_a_canonical_request_replaces_the_body_and_model_and_stream_stay() -> None:
    said = Request(model="other", stream=True, messages=(Message(role="user", parts=(Text(text="new"),)),))
    seen: list[str] = []

    def look(call: Call) -> None:
        seen.append(call.request.messages[0].text)

    for stage in ("intercept_request", "intercept_attempt"):
        raw = await sent(Made("a", priority=1, **{stage: lambda: Change(request=said)}), Made("b", intercept_request=look))
        assert msgspec.json.decode(raw) == {"model": "m", "stream": False, "say": [{"who": "user", "words": "new"}]}
    assert seen == ["new", "hi"]


async def test_a_whole_body_replaces_the_body_and_model_and_stream_stay() -> None:
    raw = await sent(Made("a", intercept_request=lambda: Change(body=b'{"model":"n","stream":true,"mine":1.10}')))
    assert raw == b'{"model":"m","stream":false,"mine":1.10}'


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[1]", b'{"model":', b"\xff"])
@pytest.mark.parametrize("hook", ["intercept_request", "intercept_attempt"])
async def test_a_whole_body_that_is_no_body_is_the_plugins_failure(hook: str, body: bytes) -> None:
    provider = ToyProvider()
    async with toy_host(Made("vandal", **{hook: lambda: Change(body=body)}), provider=provider) as host:
        answer = await ask(host)
    assert answer.status == 503
    assert "vandal" in answer.json["oops"]
    assert provider.attempts == []


@pytest.mark.parametrize(
    "change",
    [
        Change(set={("model",): "n"}),
        Change(set={("stream",): True}),
        Change(remove=[("model",)]),
        Change(set={("nobody", "here"): 1}),
        Change(set={("z", 7): 1}),
        Change(response=reply_text("an answer to nothing")),
        Change(request="say hi"),  # type: ignore[arg-type]
    ],
    ids=["model", "stream", "no model", "no parent", "no place", "response", "no request"],
)
@pytest.mark.parametrize(("hook", "status"), [("intercept_request", 503), ("intercept_attempt", 503), ("normalize_request", 200)])
async def test_a_change_that_may_not_be_is_the_plugins_failure(change: Change, hook: str, status: int) -> None:
    observer = Observer()
    async with toy_host(Made("vandal", **{hook: lambda: change}), observer) as host:
        assert (await host.post("/toy/v1/talk", ODD)).status == status
        explained = await observer.explained()
    assert "'by': 'vandal', 'what': 'raised ValueError" in explained.replace('"', "'")


@pytest.mark.parametrize("wrong", ["text", 7, {"set": {}}, Reply(), reply_text("x")], ids=lambda wrong: type(wrong).__name__)
async def test_an_answer_of_the_wrong_kind_is_the_plugins_failure(wrong: Any) -> None:
    async with toy_host(Made("vandal", intercept_request=lambda: wrong)) as host:
        assert (await ask(host)).status == 503


async def test_headers_for_the_upstream_are_set_and_taken_away() -> None:
    provider = ToyProvider()
    plugins = [
        Made("a", priority=2, intercept_request=lambda: Change(headers={"X-One": "1", "Toy-Feature": None})),
        Made("b", priority=1, intercept_attempt=lambda: Change(headers={"X-Two": "2", "X-One": "changed"})),
        Made("c", normalize_request=lambda: Change(headers={"X-Three": "3", "x-two": None})),
    ]
    async with toy_host(*plugins, provider=provider) as host:
        await ask(host, headers={"Toy-Feature": "on"})
    assert dict(provider.attempts[0].headers) == {"X-One": "changed", "X-Three": "3"}


async def test_headers_of_the_connection_and_keys_are_nothing_that_a_plugin_sets() -> None:
    wire = {"Host": "evil.example", "Content-Length": "1", "Transfer-Encoding": "gzip", "Cookie": "c=1", "Authorization": "Bearer x"}
    hooks = ("intercept_request", "intercept_attempt", "normalize_request")
    plugins = [Made(name, **{name: lambda: Change(headers=wire)}) for name in hooks]
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, toy_host(*plugins, provider=[http_toy(upstream.url)]) as host:
        assert (await ask(host)).status == 200
        address = upstream.url.removeprefix("http://")
    [received] = upstream.requests
    assert received.json == talk()
    assert received.headers["host"] == address
    assert not {"cookie", "authorization", "transfer-encoding"} & {name.lower() for name, _ in received.headers}


@pytest.mark.parametrize(("hook", "status"), [("intercept_request", 413), ("intercept_attempt", 413), ("normalize_request", 200)])
async def test_a_body_over_the_limit_for_parsing_is_nobodys_failure(hook: str, status: int) -> None:
    """What is closed ends the call, what is open is skipped; bytes that nobody parses pass."""
    provider, large = ToyProvider(), talk(words="x" * 2000)
    config = {"limits": {"json": 1000}, "hooks": {"failures": 1}}
    async with toy_host(Made("editor", **{hook: lambda: Change(set={("note",): 1})}), provider=provider, config=config) as host:
        assert (await host.post("/toy/v1/talk", large)).status == status
        assert (await ask(host)).status == 200, "the plugin did nothing wrong"
    assert [attempt.body.json.get("note") for attempt in provider.attempts[-1:]] == [1]


# --------------------------------------------------------------------------------- answers that plugins give


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    "given",
    [
        reply_text("mine"),
        Reply(body=msgspec.json.encode({**WHOLE, "blocks": [{"text": "mine"}]})),
        Reply(response=reply_text("mine", model="m")),
        lambda: Reply(stream=pieces(stream_of(["mine"]), 9)),
    ],
    ids=["canonical", "body", "reply of a canonical one", "stream"],
)
async def test_an_answer_given_by_a_plugin_comes_as_the_client_asked(given: Any, stream: bool) -> None:
    provider, observer = ToyProvider(), Observer()
    plugin = Made("giver", intercept_request=lambda: Change(respond=given() if callable(given) else given))
    async with toy_host(plugin, observer, provider=provider) as host:
        answer = await ask(host, stream=stream)
        [said] = await observer.completed()
    assert answer.status == 200
    assert (check_stream(answer.body) if stream else answer.json["blocks"][0]["text"]) == "mine"
    assert (provider.attempts, said.status, said.attempts) == ([], "succeeded", 0)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_refusal_given_by_a_plugin_is_sent_as_it_is(stream: bool) -> None:
    refusal = Reply(status=451, headers=Headers({"X-Why": "law", "Set-Cookie": "a=b"}), body=b'{"oops":"not here"}')
    async with toy_host(Made("giver", intercept_request=lambda: Change(respond=refusal))) as host:
        answer = await ask(host, stream=stream)
    assert (answer.status, answer.body, answer.headers["x-why"]) == (451, b'{"oops":"not here"}', "law")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("body", [b"", b"garbage", b'{"no":"blocks"}'])
async def test_a_given_answer_that_is_none_is_never_the_hosts_fault(body: bytes, stream: bool) -> None:
    async with toy_host(Made("giver", intercept_request=lambda: Change(respond=Reply(body=body)))) as host:
        answer = await ask(host, stream=stream)
    if stream:
        assert answer.status == 503
        assert "giver" in answer.json["oops"]
    else:
        assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize("given", [Reply(status=0), Reply(status=101), Reply(status=1000), Reply(body="text"), Reply(body={"a": 1})])  # type: ignore[arg-type]
async def test_a_given_answer_that_cannot_be_sent_is_the_plugins_failure(given: Reply) -> None:
    async with toy_host(Made("giver", intercept_request=lambda: Change(respond=given))) as host:
        answer = await ask(host)
    assert answer.status == 503
    assert "giver" in answer.json["oops"]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_only_the_response_interceptors_before_the_one_that_answers_see_its_answer(stream: bool) -> None:
    seen: list[str] = []

    def plugin(name: str, priority: int, answers: bool = False) -> Made:
        def look(*_: Any) -> None:
            seen.append(name)

        request = (lambda: Change(respond=reply_text("mine"))) if answers else (lambda: None)
        return Made(name, priority=priority, intercept_request=request, intercept_response=look, intercept_stream=look)

    async with toy_host(plugin("first", 3), plugin("second", 2), plugin("giver", 1, answers=True), plugin("after", 0)) as host:
        await ask(host, stream=stream)
    assert seen == ["second", "first"]


# ------------------------------------------------------------------------------------------------- answers


async def changed(change: Change, hook: str = "intercept_response", provider: ToyProvider | None = None) -> Any:
    async with toy_host(Made("editor", **{hook: lambda: change}), provider=provider or ToyProvider()) as host:
        return await ask(host)


@pytest.mark.parametrize("hook", ["intercept_response", "normalize_response"])
async def test_an_answer_is_changed_by_path_by_canonical_form_or_whole(hook: str) -> None:
    raw = b'{"id":"t-1", "model":"m","blocks":[{"text":"Hello"}],"stop":"stop","x":1.10}'
    provider = ToyProvider(lambda attempt: Reply(body=raw))
    assert (await changed(Change(set={("stop",): "length"}), hook, provider)).body == raw.replace(b'"stop":"stop"', b'"stop":"length"')
    assert (await changed(Change(remove=[("stop",)]), hook, provider)).body == raw.replace(b',"stop":"stop"', b"")
    assert (await changed(Change(response=reply_text("other", model="m")), hook, provider)).json["blocks"] == [{"text": "other"}]
    for whole in (b'{"all":"new"}', b""):
        assert (await changed(Change(body=whole), hook, provider)).body == whole


@pytest.mark.parametrize("hook", ["intercept_response", "normalize_response"])
async def test_the_headers_of_an_answer_can_be_changed_but_not_those_of_the_connection(hook: str) -> None:
    answer = await changed(Change(headers={"X-Mine": "1", "Toy-Request-Id": None, "Set-Cookie": "a=b", "Content-Length": "3"}), hook)
    assert answer.headers["x-mine"] == "1"
    assert "toy-request-id" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert answer.json == WHOLE


async def test_response_interceptors_run_in_reverse_and_each_sees_what_the_one_before_made() -> None:
    def add(name: str) -> Any:
        def change(call: Call, reply: Reply) -> Change:
            assert reply.canonical is not None
            return Change(response=reply_text(reply.canonical.text + name, model="m"))

        return change

    plugins = [Made(name, priority=priority, intercept_response=add(name)) for name, priority in (("a", 2), ("b", 1), ("c", 0))]
    async with toy_host(*plugins) as host:
        assert (await ask(host)).json["blocks"] == [{"text": "Hellocba"}]


@pytest.mark.parametrize(
    ("provider", "body", "status", "cause"),
    [
        (ToyProvider(failing((422, {"oops": "x"}))), talk(), 422, "caller"),
        (ToyProvider(failing((500, {"oops": "x"}))), talk(), 502, "upstream"),
        (ToyProvider(failing((500, {"oops": "x"}))), talk(stream=True), 502, "upstream"),
        (ToyProvider(), talk("nobody"), 404, None),
        (ToyProvider(), {"model": 7}, 400, None),
    ],
    ids=["caller's", "upstream's", "upstream's to a stream", "no model", "wrong type"],
)
async def test_errors_from_the_interceptors_on_pass_the_response_interceptors_with_their_origin(
    provider: ToyProvider, body: Any, status: int, cause: str | None
) -> None:
    seen: list[tuple[int, Any]] = []
    look = Made("look", intercept_response=lambda call, reply: seen.append((reply.status, reply.failure and reply.failure.cause)))
    observer = Observer()
    async with toy_host(look, observer, provider=provider) as host:
        assert (await host.post("/toy/v1/talk", body)).status == status
        await observer.completed()
    assert seen == ([(status, cause)] if cause else [])


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_response_interceptors_that_cannot_read_the_request_do_not_hide_what_was_wrong_with_it(stream: bool) -> None:
    """All of them look at the request, also at one that is not valid: the client is told so, and nobody else is blamed."""
    read = {"intercept_request": lambda call: call.request and None, "intercept_response": lambda call, reply: call.request and None}
    async with toy_host(Made("reader", **read), config={"hooks": {"failures": 1}}) as host:
        for _ in range(2):
            answer = await host.post("/toy/v1/talk", {"model": "m", "stream": stream, "say": 7})
            assert (answer.status, answer.json["field"]) == (400, "say")
        assert (await ask(host)).status == 200, "the plugin did nothing wrong"


@pytest.mark.parametrize(("path", "answer"), [("embed", b'{"vectors":[[1.10]],"model":"m"}'), ("count", b'{"tokens":7}')])
async def test_other_operations_have_an_empty_request_and_no_canonical_answer(path: str, answer: bytes) -> None:
    seen: list[Any] = []
    reads = {
        "intercept_request": lambda call: seen.append(call.request.messages),
        "intercept_attempt": lambda attempt: seen.append(attempt.request.messages),
        "intercept_response": lambda call, reply: seen.append(reply.canonical),
    }
    async with toy_host(Made("reader", **reads), provider=ToyProvider(lambda attempt: Reply(body=answer))) as host:
        got = await host.post(f"/toy/v1/{path}", {"model": "m", "input": "x"})
    assert (got.status, got.body) == (200, answer)
    assert seen == [(), (), None]


async def test_attempt_interceptors_begin_afresh_from_the_clients_body() -> None:
    def note(attempt: Attempt) -> Change:
        before = attempt.body.json.get("notes", [])
        return Change(set={("notes",): [*before, f"{attempt.provider.key} {attempt.number}"]}, headers={f"X-{attempt.number}": "1"})

    first, second = ToyProvider(failing((500, {"oops": "x"}))), ToyProvider()
    first.key, second.key = "one", "two"
    seen: list[tuple[Any, ...]] = []

    config = {"models": {"aliases": {"both": ["one://m", "two://m"]}}, "scheduler": "sequence"}
    plugins = [
        Made("noter", intercept_attempt=note),
        Made("sequence", pick_credential=lambda pool: pool.eligible[0]),
        Made("look", priority=-1, intercept_attempt=lambda attempt: seen.append((attempt.number, len(attempt.before)))),
    ]
    async with toy_host(*plugins, provider=[first, second], config=config) as host:
        assert (await ask(host, model="both")).status == 200
    [one], [two] = first.attempts, second.attempts
    assert (one.body.json["notes"], two.body.json["notes"]) == (["one 1"], ["two 2"])
    assert (dict(one.headers), dict(two.headers)) == ({"X-1": "1"}, {"X-2": "1"})
    assert (one.body.json["model"], two.body.json["model"]) == ("m", "m")
    assert seen == [(1, 0), (2, 1)]
    assert [fault.cause for fault in two.before] == ["upstream"]


# ---------------------------------------------------------------------------------------------- what is private


@pytest.mark.parametrize("blocking", [False, True], ids=["in the loop", "in a thread"])
async def test_a_plugins_state_of_a_call_is_its_own_in_every_hook(blocking: bool) -> None:
    seen: dict[str, Any] = {}

    def plugin(name: str) -> Made:
        @hook(blocking=blocking)
        def write(call: Call) -> None:
            call.state["mine"] = [*call.state.get("mine", []), name]

        @hook(blocking=blocking)
        def add(attempt: Attempt) -> None:
            attempt.call.state["mine"].append("attempt")

        def read(call: Call, outcome: Any) -> None:
            seen[name] = call.state.get("mine")

        return Made(name, intercept_request=write, intercept_attempt=add, request_complete=read)

    observer = Observer("z")
    async with toy_host(plugin("a"), plugin("b"), observer) as host:
        assert (await ask(host)).status == 200
        await observer.completed()
    assert seen == {"a": ["a", "attempt"], "b": ["b", "attempt"]}


async def test_what_a_canonical_change_cannot_say_in_the_clients_dialect_is_on_the_list_of_losses() -> None:
    warm = Request(model="m", sampling=Sampling(temperature=0.7), messages=(Message(role="user", parts=(Text(text="hi"),)),))
    observer = Observer()
    async with toy_host(Made("warm", intercept_request=lambda: Change(request=warm)), observer) as host:
        assert (await ask(host)).status == 200
        [said] = await observer.completed()
    assert [loss["path"] for loss in said.explain()["losses"] or ()] == ["sampling.temperature"]


@pytest.mark.parametrize(
    "change",
    [
        Change(set={("n",): 1}, body=b'{"model": "m"}'),
        Change(remove=[("n",)], request=Request(model="m")),
        Change(body=b"{}", request=Request(model="m")),
    ],
    ids=["set and body", "remove and request", "body and request"],
)
async def test_a_change_in_two_ways_at_once_is_its_plugins_failure(change: Change) -> None:
    observer = Observer()
    async with toy_host(Made("torn", intercept_request=lambda: change), observer) as host:
        assert (await ask(host)).status == 503
        assert "a change names one way" in await observer.explained()
