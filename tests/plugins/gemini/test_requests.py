"""Requests: what others say as Gemini's protocol can say it, what is lost on the way, and what is wrong with bad ones."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import msgspec
import pytest

from jackfield.api import BadRequest, Request, Response
from jackfield.api.canonical import (
    Audio,
    Cache,
    Choice,
    Document,
    Image,
    Message,
    Opaque,
    Output,
    Part,
    Sampling,
    ServerToolCall,
    Signature,
    Source,
    Text,
    Thinking,
    ThinkingConfig,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Video,
    WebSearch,
    play,
)
from tests.plugins.gemini.gemini_wire import GEMINI, encoded, read_request, write_answer, write_request

PLACEHOLDER = b64encode(b"skip_thought_signature_validator").decode()
ASKED = Message(role="user", parts=(Text(text="x"),))


def message(role: Any, *parts: Part | str) -> Message:
    return Message(role=role, parts=tuple(Text(text=part) if isinstance(part, str) else part for part in parts))


def asking(*messages: Message, model: str = "", **more: Any) -> tuple[Any, list[tuple[str, str]]]:
    """Write a request; return its JSON, and what was lost, by path and kind."""
    body, losses = write_request(Request(model=model, messages=messages or (ASKED,), **more))
    return body, [(loss.path, loss.what) for loss in losses]


def contents(*messages: Message, model: str = "") -> tuple[list[tuple[str, list[Any]]], list[tuple[str, str]]]:
    """Write messages; return who says what, and what was lost."""
    body, losses = asking(*messages, model=model)
    return [(one["role"], one["parts"]) for one in body["contents"]], losses


# ---------------------------------------------------------------------------------------- the conversation


def test_the_systems_words_have_a_place_of_their_own() -> None:
    body, losses = asking(message("system", "a"), message("developer", "b"), ASKED)
    assert body == {
        "systemInstruction": {"parts": [{"text": "a"}, {"text": "b"}]},
        "contents": [{"role": "user", "parts": [{"text": "x"}]}],
    }
    assert losses == []


def test_later_words_of_the_system_are_a_reminder_by_the_user() -> None:
    said, losses = contents(ASKED, message("assistant", "y"), message("system", "now"), message("user", "z"))
    assert said[2] == ("user", [{"text": "<system-reminder>\nnow\n</system-reminder>"}, {"text": "z"}])
    assert losses == [("messages[2]", "changed")]


def test_words_of_the_system_alone_are_said_by_the_user() -> None:
    body, losses = asking(message("system", "do it"))
    assert body == {"contents": [{"role": "user", "parts": [{"text": "do it"}]}]}
    assert losses == [("messages", "changed")]


def test_what_one_says_in_a_row_is_one_content() -> None:
    said, losses = contents(message("user", "a"), message("user", "b"), message("assistant", "c"), message("assistant", "d"))
    assert said == [("user", [{"text": "a"}, {"text": "b"}]), ("model", [{"text": "c"}, {"text": "d"}])]
    assert losses == []


def test_the_user_speaks_first() -> None:
    said, losses = contents(message("assistant", "hello"), ASKED)
    assert [role for role, _ in said] == ["user", "model", "user"]
    assert losses == [("messages[0]", "invented")]


def test_results_stand_together_in_the_order_of_their_calls() -> None:
    calls = [ToolCall(id=f"c{n}", name=f"f{n}", arguments="{}") for n in range(3)]
    results = [message("tool", ToolResult(call_id=f"c{n}", parts=(Text(text=str(n)),))) for n in (2, 0, 1)]
    said, losses = contents(ASKED, message("assistant", *calls), *results, message("user", "go on"))
    *given, last = said[2][1]
    assert [(part["functionResponse"]["id"], part["functionResponse"]["name"]) for part in given] == [(f"c{n}", f"f{n}") for n in range(3)]
    assert [part["functionResponse"]["response"] for part in given] == [{"output": str(n)} for n in range(3)]
    assert last == {"text": "go on"}
    assert losses == []


def test_an_error_of_a_tool_is_said_as_one() -> None:
    result = ToolResult(call_id="c", name="f", parts=(Text(text="no"),), is_error=True)
    said, _ = contents(ASKED, message("assistant", ToolCall(id="c", name="f")), message("tool", result))
    assert said[2][1][0]["functionResponse"]["response"] == {"error": "no"}
    (again,) = read_request({"contents": [{"role": role, "parts": parts} for role, parts in said]}).messages[2].parts
    assert again == result


@pytest.mark.parametrize(
    ("arguments", "args"), [("", None), ("{}", {}), ('{"a":1}', {"a": 1}), ("[1]", {"input": [1]}), ("{bad", {"input": "{bad"})]
)
def test_arguments_are_an_object(arguments: str, args: Any) -> None:
    said, losses = contents(ASKED, message("assistant", ToolCall(id="c", name="f", arguments=arguments)))
    assert said[1][1][0]["functionCall"].get("args") == args
    assert bool(losses) == (args is not None and "input" in args)


# ------------------------------------------------------------------------------------------- signatures


def test_signatures_of_others_stay_out() -> None:
    theirs = Signature(value="s", family="anthropic")
    said, losses = contents(ASKED, message("assistant", Thinking(text="hm", signature=theirs), Thinking(redacted=theirs), "y"), ASKED)
    assert said[1] == ("model", [{"text": "hm", "thought": True}, {"text": "y"}])
    assert losses == [("messages[1].parts[0].signature", "dropped"), ("messages[1].parts[1].redacted", "dropped")]


def test_tagged_signatures_are_known_again() -> None:
    tagged, sealed = (b64encode(text).decode() for text in (b"jf1.anthropic.sig", b"jf1.openai/redacted.sealed"))
    parts = [{"text": "hm", "thought": True, "thoughtSignature": tagged}, {"text": "", "thought": True, "thoughtSignature": sealed}]
    for spelled in (tagged, tagged.rstrip("=")):
        parts[0]["thoughtSignature"] = spelled
        first, second = (
            read_request({"contents": [{"role": "user", "parts": [{"text": "x"}]}, {"role": "model", "parts": parts}]}).messages[1].parts
        )
        assert first == Thinking(text="hm", signature=Signature(value="sig", family="anthropic"))
        assert second == Thinking(redacted=Signature(value="sealed", family="openai"))
    assert any(tag.decode() in tagged for tag in GEMINI.needles.tagged)


THEIRS = (
    Thinking(text="hm", signature=Signature(value="sig", family="anthropic")),
    Thinking(redacted=Signature(value="sealed", family="openai"), id="rs_1"),
)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("shown", [True, False], ids=["thoughts sent back", "thoughts left out"])
def test_thoughts_of_others_come_back_with_the_call_that_they_led_to(streamed: bool, shown: bool) -> None:
    """Google's command line sends no thought back, but every signature that stands on a call."""
    calls = (ToolCall(id="a", name="f", arguments="{}"), ToolCall(id="b", name="g", arguments="{}"))
    answer = Response(choices=(Choice(message=message("assistant", *THEIRS, "words", *calls), finish="tool_calls"),))
    if streamed:
        chunks = encoded(list(play(answer)))
        parts = [part for one in chunks for part in one["candidates"][0]["content"]["parts"] if part != {"text": ""}]
    else:
        parts = write_answer(answer)[0]["candidates"][0]["content"]["parts"]
    turn = {"role": "model", "parts": [part for part in parts if shown or not part.get("thought")]}
    results = [{"functionResponse": {"id": id_, "name": name, "response": {"output": "r"}}} for id_, name in (("a", "f"), ("b", "g"))]
    body = {"contents": [{"parts": [{"text": "x"}]}, turn, {"role": "user", "parts": results}]}
    said = read_request(body).messages[1].parts
    assert [part for part in said if isinstance(part, ToolCall)] == list(calls)
    thoughts = [part for part in said if isinstance(part, Thinking) and (part.signature or part.redacted)]
    assert [(part.text, part.signature, part.redacted) for part in thoughts] == [(t.text, t.signature, t.redacted) for t in THEIRS]
    assert any(tag in json.dumps(body).encode() for tag in GEMINI.needles.tagged)


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("gemini-3-pro-preview", True),
        ("gemini-3.8-flash", True),
        ("gemini-10", True),
        ("models/gemini-3-flash", True),
        ("gemini-flash-latest", True),
        ("gemini-2.5-pro", False),
        ("gemini-1.5-flash", False),
        ("gemma-4-27b", False),
        ("something", False),
        ("", False),
    ],
)
def test_a_placeholder_stands_where_the_model_wants_a_signature(model: str, wanted: bool) -> None:
    calls = [ToolCall(id="a", name="f"), ToolCall(id="b", name="g")]
    results = [message("tool", ToolResult(call_id=call.id, parts=(Text(text="r"),))) for call in calls]
    said, losses = contents(ASKED, message("assistant", *calls), *results, model=model)
    assert [part.get("thoughtSignature") for part in said[1][1]] == ([PLACEHOLDER, None] if wanted else [None, None])
    assert losses == ([("contents[1].thoughtSignature", "invented")] if wanted else [])


def test_a_real_signature_is_never_written_over() -> None:
    call = ToolCall(id="a", name="f", signature=Signature(value="c2ln", family="gemini"))
    said, losses = contents(ASKED, message("assistant", call), message("tool", ToolResult(call_id="a")), model="gemini-3-pro")
    assert said[1][1][0]["thoughtSignature"] == "c2ln"
    assert losses == []


# ------------------------------------------------------------------------------------------------ media

PNG = Source(data="AA-_", media_type="image/png")


@pytest.mark.parametrize(
    ("part", "wire", "lost"),
    [
        (Image(source=PNG), {"inlineData": {"mimeType": "image/png", "data": "AA+/"}}, None),
        (
            Image(source=Source(url="https://a/b.webp?x=1")),
            {"fileData": {"mimeType": "image/webp", "fileUri": "https://a/b.webp?x=1"}},
            None,
        ),
        (Image(source=Source(url="https://a/b")), {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://a/b"}}, "invented"),
        (Image(source=PNG, detail="high"), {"inlineData": {"mimeType": "image/png", "data": "AA+/"}}, "dropped"),
        (Image(source=Source(file_id="file-abc")), None, "dropped"),
        (Image(source=Source(url="data:image/png,x")), None, "dropped"),
        (
            Document(source=Source(file_id="files/x", media_type="application/pdf")),
            {"fileData": {"mimeType": "application/pdf", "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x"}},
            None,
        ),
        (Document(source=Source(data="AAAA"), title="a.pdf"), {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}}, "dropped"),
        (Document(text="words", title="T"), {"text": "T\n\nwords"}, "changed"),
        (Audio(source=Source(data="AAAA"), format="mp3"), {"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}}, None),
        (Audio(id="audio_1", transcript="hi"), {"text": "hi"}, "changed"),
        (Audio(id="audio_1"), None, "dropped"),
        (Video(source=Source(url="https://youtu.be/x")), {"fileData": {"mimeType": "video/mp4", "fileUri": "https://youtu.be/x"}}, None),
        (Opaque(dialect="acme", kind="k", value="{}"), None, "dropped"),
        (ServerToolCall(name="web_search", arguments='{"query":"q"}'), None, "dropped"),
    ],
    ids=str,
)
def test_media_are_said_as_they_can_be(part: Any, wire: Any, lost: str | None) -> None:
    said, losses = contents(message("user", "x", part))
    assert said[0][1][1:] == ([wire] if wire is not None else [])
    assert [what for _, what in losses] == ([lost] if lost else [])


@pytest.mark.parametrize(("model", "inside"), [("gemini-3-flash", True), ("gemini-2.5-flash", False)])
def test_pictures_in_results_stand_inside_where_the_model_takes_them(model: str, inside: bool) -> None:
    result = ToolResult(call_id="c", name="f", parts=(Text(text="see"), Image(source=PNG)))
    call = ToolCall(id="c", name="f", signature=Signature(value="c2ln", family="gemini"))
    said, losses = contents(ASKED, message("assistant", call), message("tool", result), model=model)
    given, *beside = said[2][1]
    picture = {"inlineData": {"mimeType": "image/png", "data": "AA+/"}}
    assert given["functionResponse"].get("parts") == ([picture] if inside else None)
    assert beside == ([] if inside else [{"text": "From the result of function f:"}, picture])
    assert losses == ([] if inside else [("messages[2].parts[0].parts[1]", "changed")])


# ------------------------------------------------------------------------------------------------ tools


def test_functions_keep_their_json_schema() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"const": {"$ref": "#/$defs/x"}, "b": {"type": ["string", "null"], "pattern": "^a"}},
        "$defs": {"x": {"enum": ["a"]}},
        "additionalProperties": False,
    }
    body, losses = asking(tools=(Tool(name="f", description="d", parameters=schema),))
    assert body["tools"] == [{"functionDeclarations": [{"name": "f", "description": "d", "parametersJsonSchema": schema}]}]
    assert losses == []


def test_what_a_schema_may_not_say_is_said_otherwise() -> None:
    schema = {"type": "object", "properties": {"a": {"const": "x"}}}
    body, losses = asking(tools=(Tool(name="f", parameters=schema),))
    (function,) = body["tools"][0]["functionDeclarations"]
    assert function["parametersJsonSchema"]["properties"]["a"]["enum"] == ["x"]
    assert all(path.startswith("tools[0].parameters") for path, _ in losses)


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (ToolChoice(mode="auto"), {"mode": "AUTO"}),
        (ToolChoice(mode="none"), {"mode": "NONE"}),
        (ToolChoice(mode="required"), {"mode": "ANY"}),
        (ToolChoice(mode="named", names=("f",)), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice(mode="allowed", names=("f", "g"), required=True), {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}),
        (ToolChoice(mode="allowed", names=("f",)), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    ],
    ids=str,
)
def test_which_tools_may_be_used(choice: ToolChoice, wire: Any) -> None:
    body, losses = asking(tools=(Tool(name="f"),), tool_choice=choice)
    assert body["toolConfig"] == {"functionCallingConfig": wire}
    assert losses == []
    assert read_request(body).tool_choice == choice


def test_a_choice_without_functions_is_left_out() -> None:
    assert "toolConfig" not in asking(tool_choice=ToolChoice(mode="auto"))[0]


SEARCH = Tool(name="web_search_20250305", kind="hosted", dialect="anthropic.messages", search=WebSearch(max_uses=3))


def test_a_search_of_the_web_becomes_googles() -> None:
    body, losses = asking(tools=(SEARCH,))
    assert body["tools"] == [{"googleSearch": {}}]
    assert losses == [("tools[0].max_uses", "dropped")]


@pytest.mark.parametrize(
    ("name", "wire", "what"),
    [
        ("web_fetch_20250910", {"urlContext": {}}, "changed"),
        ("code_interpreter", {"codeExecution": {}}, "changed"),
        ("computer_use", None, "dropped"),
    ],
)
def test_other_tools_of_providers_become_their_next_of_kin(name: str, wire: Any, what: str) -> None:
    body, losses = asking(tools=(Tool(name=name, kind="hosted", dialect="acme"),))
    assert body.get("tools") == ([wire] if wire else None)
    assert losses == [("tools[0]", what)]


@pytest.mark.parametrize(
    ("model", "tools", "config", "losses"),
    [
        ("gemini-2.5-pro", ["functionDeclarations"], None, [("tools[1]", "dropped")]),
        ("gemini-3-pro", ["functionDeclarations", "googleSearch"], {"includeServerSideToolInvocations": True}, [("tools", "invented")]),
        ("acme-model", ["functionDeclarations", "googleSearch"], None, []),
    ],
)
def test_functions_beside_tools_of_googles(model: str, tools: list[str], config: Any, losses: Any) -> None:
    search = Tool(name="googleSearch", kind="hosted", dialect="gemini.generate", search=WebSearch())
    body, lost = asking(model=model, tools=(Tool(name="f"), search))
    assert [next(iter(entry)) for entry in body["tools"]] == tools
    assert body.get("toolConfig") == config
    assert lost == losses


# ---------------------------------------------------------------------------------- calls without a result

NO_RESULT = {"error": "No result."}


def called(*names: str) -> Message:
    return message("assistant", *(ToolCall(id=name, name=f"do_{name}", arguments="{}") for name in names))


def answered(said: tuple[str, list[Any]]) -> list[Any]:
    """Return what a content holds: the id, name and answer of each result, and words."""
    responses = [(part["functionResponse"], part) for part in said[1] if "functionResponse" in part]
    held = [(one["id"], one["name"], one["response"]) for one, _ in responses]
    assert said[1][: len(held)] == [part for _, part in responses], "results come first"
    return [*held, *(part["text"] for part in said[1][len(held) :])]


def test_a_call_that_the_user_went_on_without_gets_a_result() -> None:
    said, losses = contents(ASKED, called("a"), message("user", "never mind"))
    assert answered(said[2]) == [("a", "do_a", NO_RESULT), "never mind"]
    assert losses == [("contents[2]", "invented")]


def test_one_of_several_results_that_is_missing_stands_in_its_place() -> None:
    given = [message("tool", ToolResult(call_id=name, parts=(Text(text=name),))) for name in ("c", "a")]
    said, losses = contents(ASKED, called("a", "b", "c"), *given, message("user", "go on"), called("d"), message("user", "x"))
    assert answered(said[2]) == [("a", "do_a", {"output": "a"}), ("b", "do_b", NO_RESULT), ("c", "do_c", {"output": "c"}), "go on"]
    assert answered(said[4]) == [("d", "do_d", NO_RESULT), "x"]
    assert losses == [("contents[2]", "invented"), ("contents[4]", "invented")]


def test_calls_that_have_their_results_and_the_last_one_get_none() -> None:
    said, losses = contents(ASKED, called("a"), message("tool", ToolResult(call_id="a", parts=(Text(text="r"),))), called("b"))
    assert answered(said[2]) == [("a", "do_a", {"output": "r"})]
    assert len(said) == 4
    assert losses == []


def test_a_caller_of_this_protocol_hears_itself_of_calls_without_a_result() -> None:
    call = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}
    body = {"contents": [USER, call, USER, call, USER]}
    assert write_request(read_request(body)) == (body, [])


# --------------------------------------------------------------------------------------------- settings


def test_settings_have_their_places() -> None:
    sampling = Sampling(
        temperature=0.5, top_p=0.9, top_k=7, frequency_penalty=0.1, presence_penalty=0.2, seed=3, max_tokens=9, stop=("a",), n=2,
        logprobs=True, top_logprobs=4,
    )  # fmt: skip
    body, losses = asking(sampling=sampling, output=Output(modalities=("text", "audio"), voice="Kore"), store=False)
    assert body["generationConfig"] == {
        "temperature": 0.5, "topP": 0.9, "topK": 7, "frequencyPenalty": 0.1, "presencePenalty": 0.2, "seed": 3, "maxOutputTokens": 9,
        "stopSequences": ["a"], "candidateCount": 2, "responseLogprobs": True, "logprobs": 4, "responseModalities": ["TEXT", "AUDIO"],
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
    }  # fmt: skip
    assert body["store"] is False
    assert losses == []
    again = read_request(body)
    assert (again.sampling, again.output, again.store) == (sampling, Output(modalities=("text", "audio"), voice="Kore"), False)


def test_labels_are_written_for_a_caller_that_wrote_them_and_metadata_of_others_is_none() -> None:
    labeled = read_request({"contents": [USER], "labels": {"team": "a", "cost": "7"}})
    assert labeled.metadata == {"team": "a", "cost": "7"}
    body, losses = write_request(labeled)
    assert (body, losses) == ({"contents": [USER], "labels": {"team": "a", "cost": "7"}}, [])
    emptied, _ = write_request(msgspec.structs.replace(labeled, metadata={}))
    assert emptied == {"contents": [USER]}
    body, said = asking(metadata={"team": "a", "user_id": "42"})
    assert body.keys() == {"contents"}
    assert said == [("metadata", "dropped")]


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        ({"sampling": Sampling(stop=tuple("abcdefg"))}, ("sampling.stop", "changed")),
        ({"sampling": Sampling(min_p=0.1)}, ("sampling.min_p", "dropped")),
        ({"sampling": Sampling(logit_bias={"1": 2.0})}, ("sampling.logit_bias", "dropped")),
        ({"output": Output(verbosity="low")}, ("output.verbosity", "dropped")),
        ({"output": Output(format="grammar")}, ("output.format", "dropped")),
        ({"metadata": {"team": "a"}}, ("metadata", "dropped")),
        ({"user": "u"}, ("user", "dropped")),
        ({"cache_key": "k"}, ("cache_key", "dropped")),
        ({"service_tier": "scale"}, ("service_tier", "dropped")),
        ({"tools": (Tool(name="f"),), "parallel_tools": False}, ("parallel_tools", "dropped")),
        ({"tools": (Tool(name="f", strict=True),)}, ("tools[0].strict", "dropped")),
        ({"tools": (Tool(name="f", namespace="n"),)}, ("tools[0].namespace", "dropped")),
        ({"tools": (Tool(name="f", kind="custom"),)}, ("tools[0]", "changed")),
        ({"messages": (message("user", Text(text="x", cache=Cache(ttl="1h"))),)}, ("messages[0].parts[0].cache", "dropped")),
    ],
    ids=str,
)
def test_what_cannot_be_said_is_listed(said: Any, lost: tuple[str, str]) -> None:
    messages = said.pop("messages", (ASKED,))
    _, losses = asking(*messages, **said)
    assert losses == [lost]


@pytest.mark.parametrize(
    ("tier", "wire"), [("default", "standard"), ("standard", "standard"), ("flex", "flex"), ("priority", "priority"), ("auto", None)]
)
def test_service_tiers(tier: str, wire: str | None) -> None:
    body, losses = asking(service_tier=tier)
    assert body.get("serviceTier") == wire
    assert losses == []


@pytest.mark.parametrize(
    ("model", "said", "wire", "lost"),
    [
        ("gemini-3-pro", ThinkingConfig(mode="on", effort="low"), {"thinkingLevel": "LOW"}, None),
        ("gemini-3-pro", ThinkingConfig(mode="on", effort="max"), {"thinkingLevel": "HIGH"}, "changed"),
        ("gemini-3-pro", ThinkingConfig(mode="on", budget=100), {"thinkingBudget": 100}, None),
        ("gemini-3-pro", ThinkingConfig(effort="low", budget=100), {"thinkingLevel": "LOW"}, "dropped"),
        ("gemini-2.5-pro", ThinkingConfig(effort="low", budget=100), {"thinkingBudget": 100}, None),
        ("gemini-2.5-pro", ThinkingConfig(mode="on", effort="medium"), {"thinkingBudget": 8192}, "changed"),
        ("", ThinkingConfig(effort="high", summary="auto"), {"thinkingLevel": "HIGH", "includeThoughts": True}, None),
        ("", ThinkingConfig(mode="off"), {"thinkingBudget": 0}, None),
        ("", ThinkingConfig(effort="none"), {"thinkingBudget": 0}, None),
        ("", ThinkingConfig(mode="auto"), {"thinkingBudget": -1}, None),
        ("", ThinkingConfig(summary="none"), {"includeThoughts": False}, None),
        ("", ThinkingConfig(summary="detailed"), {"includeThoughts": True}, "changed"),
        ("", ThinkingConfig(mode="on"), None, None),
    ],
    ids=str,
)
def test_how_much_to_think(model: str, said: ThinkingConfig, wire: Any, lost: str | None) -> None:
    body, losses = asking(model=model, thinking=said)
    assert body.get("generationConfig", {}).get("thinkingConfig") == wire
    assert [what for _, what in losses] == ([lost] if lost else [])


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        ({"thinkingBudget": 0}, ThinkingConfig(mode="off")),
        ({"thinkingBudget": -1}, ThinkingConfig(mode="auto")),
        ({"thinkingBudget": 99}, ThinkingConfig(mode="on", budget=99)),
        ({"thinkingLevel": "minimal"}, ThinkingConfig(mode="on", effort="minimal")),
        ({"includeThoughts": True}, ThinkingConfig(summary="auto")),
        ({"include_thoughts": False, "thinking_level": "HIGH"}, ThinkingConfig(mode="on", effort="high", summary="none")),
    ],
    ids=str,
)
def test_how_much_to_think_is_read(wire: Any, said: ThinkingConfig) -> None:
    assert read_request({"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"thinkingConfig": wire}}).thinking == said


def test_an_answer_of_a_certain_form() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    body, losses = asking(output=Output(format="json_schema", schema=schema, name="n", strict=True))
    assert body["generationConfig"] == {"responseMimeType": "application/json", "responseJsonSchema": schema}
    assert losses == [("output.name", "dropped")]
    assert asking(output=Output(format="json"))[0]["generationConfig"] == {"responseMimeType": "application/json"}


def test_old_models_take_no_form_beside_functions() -> None:
    body, losses = asking(model="gemini-2.5-pro", tools=(Tool(name="f"),), output=Output(format="json"))
    assert "generationConfig" not in body
    assert losses == [("output.format", "dropped")]


# --------------------------------------------------------------------------------------- counting tokens


def test_a_count_of_more_than_words_names_its_model() -> None:
    bare, _ = write_request(Request(model="m", messages=(ASKED,)), "count")
    assert bare == {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}
    more, _ = write_request(Request(model="m", messages=(message("system", "s"), ASKED)), "count")
    assert more["generateContentRequest"]["model"] == "models/m"
    assert read_request(more, "count").messages == (message("system", "s"), ASKED)
    assert read_request(bare, "count").messages == (ASKED,)


def test_vectors_have_no_canonical_form() -> None:
    assert read_request({"content": {}}, "embed") == Request()


# -------------------------------------------------------------------------------------------- bad input

USER = {"role": "user", "parts": [{"text": "x"}]}


def part(value: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [value]}]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], None),
        ({}, "contents"),
        ({"contents": None}, "contents"),
        ({"contents": []}, "contents"),
        ({"contents": "x"}, "contents"),
        ({"contents": [3]}, "contents[0]"),
        ({"contents": [{"role": "robot", "parts": []}]}, "contents[0].role"),
        ({"contents": [{"role": 3, "parts": []}]}, "contents[0].role"),
        ({"contents": [{"role": "user"}]}, "contents[0].parts"),
        ({"contents": [{"role": "user", "parts": "x"}]}, "contents[0].parts"),
        (part(3), "contents[0].parts[0]"),
        (part({"text": 3}), "contents[0].parts[0].text"),
        (part({"inlineData": 3}), "contents[0].parts[0].inlineData"),
        (part({"inline_data": {"mime_type": "image/png"}}), "contents[0].parts[0].inlineData.data"),
        (part({"inlineData": {"mimeType": 3, "data": ""}}), "contents[0].parts[0].inlineData.mimeType"),
        (part({"fileData": {}}), "contents[0].parts[0].fileData.fileUri"),
        (part({"functionCall": {}}), "contents[0].parts[0].functionCall.name"),
        (part({"functionCall": {"name": "f", "args": []}}), "contents[0].parts[0].functionCall.args"),
        (part({"functionResponse": {"response": {}}}), "contents[0].parts[0].functionResponse.name"),
        (part({"functionResponse": {"name": "f", "response": "x"}}), "contents[0].parts[0].functionResponse.response"),
        (part({"toolCall": {}}), "contents[0].parts[0].toolCall.toolType"),
        ({"contents": [USER], "systemInstruction": {"parts": [{"text": 3}]}}, "systemInstruction.parts[0].text"),
        ({"contents": [USER], "tools": 3}, "tools"),
        ({"contents": [USER], "tools": [{"functionDeclarations": [{"description": "x"}]}]}, "tools[0].functionDeclarations[0].name"),
        (
            {"contents": [USER], "tools": [{"functionDeclarations": [{"name": "f", "parameters": []}]}]},
            "tools[0].functionDeclarations[0].parameters",
        ),
        ({"contents": [USER], "toolConfig": {"functionCallingConfig": {"mode": 3}}}, "toolConfig.functionCallingConfig.mode"),
        (
            {"contents": [USER], "toolConfig": {"functionCallingConfig": {"allowedFunctionNames": [3]}}},
            "toolConfig.functionCallingConfig.allowedFunctionNames[0]",
        ),
        ({"contents": [USER], "generationConfig": []}, "generationConfig"),
        ({"contents": [USER], "generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
        ({"contents": [USER], "generation_config": {"max_output_tokens": 1.5}}, "generationConfig.maxOutputTokens"),
        ({"contents": [USER], "toolConfig": {"functionCallingConfig": {"mode": "ZZZ"}}}, "toolConfig.functionCallingConfig.mode"),
        ({"contents": [USER], "tool_config": {"function_calling_config": {"mode": "ZZZ"}}}, "toolConfig.functionCallingConfig.mode"),
        ({"contents": [USER], "generationConfig": {"stopSequences": "x"}}, "generationConfig.stopSequences"),
        ({"contents": [USER], "generation_config": {"stop_sequences": ""}}, "generationConfig.stopSequences"),
        ({"contents": [USER], "generationConfig": {"stopSequences": [1]}}, "generationConfig.stopSequences[0]"),
        ({"contents": [USER], "generationConfig": {"responseSchema": "x"}}, "generationConfig.responseSchema"),
        (
            {"contents": [USER], "generationConfig": {"thinkingConfig": {"thinkingBudget": "x"}}},
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
        ({"contents": [USER], "labels": {"a": 3}}, "labels.a"),
        ({"contents": [USER], "serviceTier": 3}, "serviceTier"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told_by_its_path(body: Any, field: str | None) -> None:
    with pytest.raises(BadRequest) as refused:
        read_request(body)
    assert refused.value.param == field
    assert refused.value.code


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"contents":[{"parts":[{"text":"\\ud800"}]}]}',
        b'{"contents":' + b"[" * 100_000,
        b'{"contents":[{"parts":[{"functionCall":{"name":"f","args":{"a":' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"}}}]}]}",
        b"\xff",
    ],
    ids=["empty", "half", "surrogate", "deep", "deep arguments", "no text"],
)
def test_bodies_that_are_no_json_are_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        GEMINI.decode_request(raw, "generate")
    assert refused.value.code == "invalid_json"


def test_a_nul_is_a_character() -> None:
    request = read_request(part({"text": "a\x00b"}))
    assert json.loads(GEMINI.encode_request(request, "generate", []))["contents"][0]["parts"] == [{"text": "a\x00b"}]
