"""The canonical model: requests, answers and streams in words that no vendor owns.

Every dialect has one codec between its wire form and these structs; nothing translates from one
vendor's form to another's directly, unless a plugin registers such a pair.
"""

from jackfield.api.canonical.estimate import estimate_tokens
from jackfield.api.canonical.parts import (
    Audio,
    Cache,
    Citation,
    Document,
    Extensions,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Role,
    ServerToolCall,
    ServerToolResult,
    Signature,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from jackfield.api.canonical.request import (
    CountRequest,
    EmbedRequest,
    Output,
    Request,
    Sampling,
    ThinkingConfig,
    Tool,
    ToolChoice,
    WebSearch,
)
from jackfield.api.canonical.response import (
    Choice,
    Error,
    FinishReason,
    Logprobs,
    Response,
    TokenChance,
    TokenLogprob,
    Usage,
    reply_text,
)
from jackfield.api.canonical.signatures import read_signature, without_signatures, write_signature
from jackfield.api.canonical.stream import (
    ArgumentsDelta,
    Assembler,
    AudioDelta,
    Begin,
    CitationDelta,
    Delta,
    Done,
    Finish,
    LogprobsDelta,
    OpaqueDelta,
    PartEnd,
    PartStart,
    SignatureDelta,
    StreamError,
    TextDelta,
    ThinkingDelta,
    UsageDelta,
    assemble,
    play,
)
from jackfield.api.canonical.thinking import budget_of, effort_of, fit_thinking, parse_suffix

__all__ = [
    "ArgumentsDelta", "Assembler", "Audio", "AudioDelta", "Begin", "Cache", "Choice", "Citation", "CitationDelta",
    "CountRequest", "Delta", "Document", "Done", "EmbedRequest", "Error", "Extensions", "Finish", "FinishReason", "Image",
    "Logprobs", "LogprobsDelta", "Message", "Opaque", "OpaqueDelta", "Output", "Part", "PartEnd", "PartStart", "Refusal",
    "Request", "Response", "Role", "Sampling", "ServerToolCall", "ServerToolResult", "Signature", "SignatureDelta", "Source",
    "StreamError", "Text", "TextDelta", "Thinking", "ThinkingConfig", "ThinkingDelta", "TokenChance", "TokenLogprob", "Tool",
    "ToolCall", "ToolChoice", "ToolResult", "Usage", "UsageDelta", "Video", "WebSearch", "assemble", "budget_of", "effort_of",
    "estimate_tokens", "fit_thinking", "parse_suffix", "play", "read_signature", "reply_text", "without_signatures", "write_signature",
]  # fmt: skip
