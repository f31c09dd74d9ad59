"""What a caller asks of a model, in words that no vendor owns."""

from typing import Any, Literal

import msgspec

from jackfield.api.canonical.parts import Cache, Extensions, Message


class WebSearch(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A search of the web that the provider runs, in words that several dialects share."""

    allowed_domains: tuple[str, ...] = ()
    """Nothing else is searched; empty for everything."""
    blocked_domains: tuple[str, ...] = ()
    max_uses: int | None = None
    """Most searches for one answer."""
    context: str | None = None
    """How much of what is found the model is shown: `low`, `medium`, `high`."""
    location: dict[str, str] = {}
    """About where the user is: `city`, `region`, `country` (two letters), `timezone`."""


class Tool(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A tool that the model may use.

    `function` takes a JSON object; `custom` takes free text, bound by a grammar where one is given;
    `hosted` is run by the provider, and `name` is its type there.
    """

    name: str
    kind: Literal["function", "custom", "hosted"] = "function"
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """JSON Schema of a function's arguments."""
    strict: bool | None = None
    """Arguments must follow the schema to the letter."""
    grammar: str | None = None
    grammar_syntax: str | None = None
    """`lark` or `regex`."""
    namespace: str | None = None
    dialect: str | None = None
    """For hosted tools: the dialect whose provider runs it."""
    config: dict[str, Any] = {}
    """For hosted tools: their settings, in that dialect's words."""
    search: WebSearch | None = None
    """For hosted tools that search the web: what is asked of them, so that another dialect's search can stand in."""
    cache: Cache | None = None
    extensions: Extensions = {}


class ToolChoice(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Whether the model may, must or must not use tools."""

    mode: Literal["auto", "none", "required", "named", "allowed"] = "auto"
    names: tuple[str, ...] = ()
    """For `named` the one tool to use; for `allowed` those that may be used."""
    kind: Literal["function", "custom", "hosted"] = "function"
    required: bool = False
    """For `allowed`: one of them must be used."""
    extensions: Extensions = {}


class Sampling(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """How the answer is drawn. None leaves a setting to the provider."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    """Most tokens of the answer, thinking included."""
    stop: tuple[str, ...] = ()
    n: int | None = None
    """How many answers."""
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None


class ThinkingConfig(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """How much a model should think, and how much of that it should show."""

    mode: Literal["on", "off", "auto"] | None = None
    effort: str | None = None
    """A level by name: `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`."""
    budget: int | None = None
    """Most tokens of thought."""
    summary: str | None = None
    """How thoughts are shown: `auto`, `concise`, `detailed`, `none`."""


class Output(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The form of the answer."""

    format: Literal["text", "json", "json_schema", "grammar"] | None = None
    schema: dict[str, Any] | None = None
    name: str | None = None
    """The schema's name."""
    description: str | None = None
    strict: bool | None = None
    verbosity: str | None = None
    modalities: tuple[str, ...] = ()
    """`text`, `audio`, `image`; empty for the provider's default."""
    voice: str | None = None
    audio_format: str | None = None


class Request(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One request to a model."""

    model: str = ""
    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    sampling: Sampling = Sampling()
    thinking: ThinkingConfig = ThinkingConfig()
    output: Output = Output()
    stream: bool = False
    stream_usage: bool | None = None
    """The caller asks for usage at the end of the stream, where its dialect leaves that to the caller."""
    user: str | None = None
    """Whom the caller asks for, in the caller's own words."""
    metadata: dict[str, str] = {}
    service_tier: str | None = None
    store: bool | None = None
    previous: str | None = None
    """The id of a stored answer that this request goes on from."""
    cache_key: str | None = None
    cache_retention: str | None = None
    extensions: Extensions = {}

    @property
    def system(self) -> str:
        """All system and developer texts, joined by blank lines."""
        return "\n\n".join(m.text for m in self.messages if m.role in ("system", "developer"))


class EmbedRequest(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A request for vectors. Provisional: no stage decodes one yet."""

    model: str = ""
    inputs: tuple[str, ...] = ()
    dimensions: int | None = None
    encoding: str | None = None
    user: str | None = None
    extensions: Extensions = {}


class CountRequest(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A request to count the tokens of another request. Provisional: no stage decodes one yet."""

    request: Request
