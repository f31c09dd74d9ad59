"""What a request or an answer means, one question at a time, in plain values that can be compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from jackfield.api import Request, Response
from jackfield.api.canonical import (
    Audio,
    Document,
    Image,
    Message,
    Part,
    Refusal,
    ServerToolCall,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)


def parts_of(request: Request) -> Iterator[tuple[Message, Part]]:
    """Yield every part of a request with its message."""
    for message in request.messages:
        for part in message.parts:
            yield message, part


def speaker(message: Message) -> str:
    """Who speaks; system and developer texts are instructions, whatever a dialect calls them."""
    return "instructions" if message.role in ("system", "developer") else message.role


def conversation(request: Request) -> Any:
    """Who said which words, in order, and where tools were called and answered."""
    said: list[Any] = []
    for message, part in parts_of(request):
        match part:
            case Text(text=text):
                said.append((speaker(message), text))
            case ToolCall(id=call_id):
                said.append(("call", call_id))
            case ToolResult(call_id=call_id):
                said.append(("result", call_id))
    return said


def loaded(arguments: str) -> Any:
    """The arguments of a call as JSON where they are JSON."""
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def tools(request: Request) -> Any:
    """All tools with what they take."""
    return [(tool.kind, tool.namespace, tool.name, tool.description, tool.parameters) for tool in request.tools]


def strictness(request: Request) -> Any:
    return [tool.strict for tool in request.tools]


def free_tools(request: Request) -> Any:
    return [(tool.kind, tool.name, tool.grammar, tool.grammar_syntax) for tool in request.tools]


def hosted(request: Request) -> Any:
    """Whether a hosted tool is asked for, and for whom."""
    return [tool.kind for tool in request.tools]


def choice(request: Request) -> Any:
    """Which tools may or must be used."""
    said = request.tool_choice
    if said is None:
        return "auto", ()
    if said.mode == "allowed" and len(said.names) == 1 and said.required:
        return "named", said.names
    return said.mode, said.names


def parallel(request: Request) -> Any:
    """Whether several tools may be called at once, which is so unless it is forbidden, and without meaning where none may be called."""
    return request.parallel_tools is not False or choice(request)[0] == "none"


def calls(request: Request) -> Any:
    """Calls of tools in the conversation."""
    return [_call(part) for _, part in parts_of(request) if isinstance(part, ToolCall)]


def _call(part: ToolCall) -> Any:
    return part.kind, part.namespace, part.name, part.id, loaded(part.arguments or "{}") if part.kind == "function" else part.arguments


def results(request: Request) -> Any:
    """What tools gave back."""
    return [(part.call_id, [_piece(piece) for piece in part.parts]) for _, part in parts_of(request) if isinstance(part, ToolResult)]


def failures(request: Request) -> Any:
    return [part.is_error for _, part in parts_of(request) if isinstance(part, ToolResult)]


def _piece(part: Any) -> Any:
    match part:
        case Text(text=text):
            return text
        case Image(source=source):
            return "image", *_source(source)
        case Document(source=source):
            return "document", *_source(source)
    return type(part).__name__


def _source(source: Source | None) -> Any:
    return (source.media_type, source.url, source.data) if source is not None else (None, None, None)


def images(request: Request) -> Any:
    return [(part.source.url, part.source.data) for _, part in parts_of(request) if isinstance(part, Image)]


def details(request: Request) -> Any:
    return [part.detail for _, part in parts_of(request) if isinstance(part, Image)]


def documents(request: Request) -> Any:
    return [_source(part.source)[1:] for _, part in parts_of(request) if isinstance(part, Document)]


def films(request: Request) -> Any:
    return [part.source.data for _, part in parts_of(request) if isinstance(part, Video)]


def document_texts(request: Request) -> Any:
    return [(part.text, part.citations) for _, part in parts_of(request) if isinstance(part, Document)]


def file_ids(request: Request) -> Any:
    return [part.source.file_id for _, part in parts_of(request) if isinstance(part, Document | Image) and part.source is not None]


def sounds(request: Request) -> Any:
    return [(part.format, part.source.data if part.source else None) for _, part in parts_of(request) if isinstance(part, Audio)]


def thoughts(request: Request) -> Any:
    """Thoughts that go back, with their signatures."""
    return [_thought(part) for _, part in parts_of(request) if isinstance(part, Thinking)]


def _thought(part: Thinking) -> Any:
    words = "\n\n".join(filter(None, (part.text, *part.summary)))
    return words, part.signature.value if part.signature else None, part.redacted.value if part.redacted else None


def signatures(request: Request) -> Any:
    """Every signature, wherever it stands, with its family."""
    found = []
    for _, part in parts_of(request):
        for place in ("signature", "redacted"):
            signature = getattr(part, place, None)
            if signature is not None:
                found.append((signature.family, signature.value))
    return found


def effort(request: Request) -> Any:
    return request.thinking.mode, request.thinking.effort


def level(request: Request) -> Any:
    """How much a model shall think, as one word."""
    return request.thinking.effort or request.thinking.mode


def budget(request: Request) -> Any:
    return request.thinking.budget


def no_thinking(request: Request) -> Any:
    return "off" if request.thinking.mode == "off" or request.thinking.effort == "none" or request.thinking.budget == 0 else "on"


def shown(request: Request) -> Any:
    return request.thinking.summary


def output(request: Request) -> Any:
    return request.output.format, request.output.schema


def verbosity(request: Request) -> Any:
    return request.output.verbosity


def modalities(request: Request) -> Any:
    return request.output.modalities


def user(request: Request) -> Any:
    return request.user


def metadata(request: Request) -> Any:
    return request.metadata


def tier(request: Request) -> Any:
    return request.service_tier


def store(request: Request) -> Any:
    return request.store


def cache_key(request: Request) -> Any:
    return request.cache_key


def cached(request: Request) -> Any:
    """What carries a cache marker."""
    parts = [(part.text, part.cache.ttl) for _, part in parts_of(request) if isinstance(part, Text) and part.cache is not None]
    return parts, [(tool.name, tool.cache.ttl) for tool in request.tools if tool.cache is not None]


def sampling(*names: str) -> Any:
    """Return a meaning: some settings of the drawing."""
    return lambda request: tuple(getattr(request.sampling, name) for name in names)


# -------------------------------------------------------------------------------------------------- answers


def answered(response: Response) -> Iterator[Part]:
    """Yield the parts of the first answer."""
    if response.choices:
        yield from response.choices[0].message.parts


def words(response: Response) -> Any:
    return "".join(part.text for part in answered(response) if isinstance(part, Text))


def every_choice(response: Response) -> Any:
    return [(choice.index, choice.message.text, choice.finish) for choice in response.choices]


def calls_made(response: Response) -> Any:
    return [_call(part) for part in answered(response) if isinstance(part, ToolCall)]


def thought(response: Response) -> Any:
    """The thoughts, however they are cut into parts."""
    return "\n\n".join(filter(None, (_thought(part)[0] for part in answered(response) if isinstance(part, Thinking))))


def signed(response: Response) -> Any:
    """Every signature of an answer with its family, and whether it holds encrypted thoughts."""
    found = []
    for part in answered(response):
        for place in ("signature", "redacted"):
            signature = getattr(part, place, None)
            if signature is not None:
                found.append((place, signature.family, signature.value))
    return found


def finish(response: Response) -> Any:
    return response.choices[0].finish if response.choices else None


def stop_sequence(response: Response) -> Any:
    return response.choices[0].finish, response.choices[0].stop_sequence


def counts(response: Response) -> Any:
    usage = response.usage
    return (usage.input, usage.output) if usage is not None else None


def cache_counts(response: Response) -> Any:
    usage = response.usage
    return (usage.input, usage.cache_read) if usage is not None else None


def cache_writes(response: Response) -> Any:
    usage = response.usage
    return (usage.input, usage.cache_write) if usage is not None else None


def thinking_counts(response: Response) -> Any:
    usage = response.usage
    return (usage.output, usage.thinking) if usage is not None else None


def refusal(response: Response) -> Any:
    return [part.text for part in answered(response) if isinstance(part, Refusal)]


def citations(response: Response) -> Any:
    return [(one.url, one.title) for part in answered(response) if isinstance(part, Text) for one in part.citations]


def searches(response: Response) -> Any:
    """What the provider's own tools were asked."""
    return [part.name for part in answered(response) if isinstance(part, ServerToolCall)]


def logprobs(response: Response) -> Any:
    said = response.choices[0].logprobs
    return [(one.token, one.logprob) for one in (said.content if said else None) or ()]


def pictures(response: Response) -> Any:
    return [part.source.data for part in answered(response) if isinstance(part, Image)]


def sound(response: Response) -> Any:
    return [part.source.data if part.source else None for part in answered(response) if isinstance(part, Audio)]


def answered_tier(response: Response) -> Any:
    return response.service_tier
