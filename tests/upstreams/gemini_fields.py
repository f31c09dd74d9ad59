"""The messages of the Gemini API's requests, member by member.

Source: the protocol `google.ai.generativelanguage.v1beta` (package google-ai-generativelanguage 0.12), and for members newer
than that https://ai.google.dev/api/generate-content with the types of the SDK `google-genai` without those that it calls
unsupported in the Gemini API. The API reads ProtoJSON: names in camel or snake case, enumerations by name or number, bytes in
either alphabet of base64, 64 bit numbers as numbers or text, a single value for a repeated member.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from tests.upstreams.refusal import Path, Refused

Fields = Mapping[str, str]

MESSAGES: dict[str, Fields] = {
    "GenerateContentRequest": {
        "model": "str",
        "systemInstruction": "Content",
        "contents": "[]Content",
        "tools": "[]Tool",
        "toolConfig": "ToolConfig",
        "safetySettings": "[]SafetySetting",
        "generationConfig": "GenerationConfig",
        "cachedContent": "str",
        "serviceTier": "str",
        "store": "bool",
    },
    "CountTokensRequest": {"model": "str", "contents": "[]Content", "generateContentRequest": "GenerateContentRequest"},
    "EmbedContentRequest": {"model": "str", "content": "Content", "taskType": "str", "title": "str", "outputDimensionality": "int"},
    "BatchEmbedContentsRequest": {"model": "str", "requests": "[]EmbedContentRequest"},
    "Content": {"parts": "[]Part", "role": "str"},
    "Part": {
        "text": "str",
        "inlineData": "Blob",
        "functionCall": "FunctionCall",
        "functionResponse": "FunctionResponse",
        "fileData": "FileData",
        "executableCode": "ExecutableCode",
        "codeExecutionResult": "CodeExecutionResult",
        "videoMetadata": "any",
        "thought": "bool",
        "thoughtSignature": "bytes",
        "partMetadata": "any",
        "mediaResolution": "any",
        "toolCall": "any",
        "toolResponse": "any",
    },
    "Blob": {"mimeType": "str", "data": "bytes", "displayName": "str"},
    "FileData": {"mimeType": "str", "fileUri": "str", "displayName": "str"},
    "FunctionCall": {"id": "str", "name": "str", "args": "struct"},
    "FunctionResponse": {
        "id": "str",
        "name": "str",
        "response": "struct",
        "parts": "[]FunctionResponsePart",
        "willContinue": "bool",
        "scheduling": "SCHEDULING_UNSPECIFIED|SILENT|WHEN_IDLE|INTERRUPT",
    },
    "FunctionResponsePart": {"inlineData": "Blob", "fileData": "FileData"},
    "ExecutableCode": {"id": "str", "language": "LANGUAGE_UNSPECIFIED|PYTHON", "code": "str"},
    "CodeExecutionResult": {
        "id": "str",
        "outcome": "OUTCOME_UNSPECIFIED|OUTCOME_OK|OUTCOME_FAILED|OUTCOME_DEADLINE_EXCEEDED",
        "output": "str",
    },
    "Tool": {
        "functionDeclarations": "[]FunctionDeclaration",
        "googleSearchRetrieval": "any",
        "codeExecution": "any",
        "googleSearch": "any",
        "computerUse": "any",
        "urlContext": "any",
        "fileSearch": "any",
        "googleMaps": "any",
        "mcpServers": "any",
    },
    "FunctionDeclaration": {
        "name": "str",
        "description": "str",
        "parameters": "Schema",
        "parametersJsonSchema": "any",
        "response": "Schema",
        "responseJsonSchema": "any",
        "behavior": "UNSPECIFIED|BLOCKING|NON_BLOCKING",
    },
    "Schema": {
        "type": "TYPE_UNSPECIFIED|STRING|NUMBER|INTEGER|BOOLEAN|ARRAY|OBJECT|NULL",
        "format": "str",
        "title": "str",
        "description": "str",
        "nullable": "bool",
        "enum": "[]str",
        "items": "Schema",
        "maxItems": "int",
        "minItems": "int",
        "properties": "{}Schema",
        "required": "[]str",
        "minProperties": "int",
        "maxProperties": "int",
        "minimum": "num",
        "maximum": "num",
        "minLength": "int",
        "maxLength": "int",
        "pattern": "str",
        "example": "any",
        "anyOf": "[]Schema",
        "propertyOrdering": "[]str",
        "default": "any",
    },
    "ToolConfig": {"functionCallingConfig": "FunctionCallingConfig", "retrievalConfig": "any", "includeServerSideToolInvocations": "bool"},
    "FunctionCallingConfig": {"mode": "MODE_UNSPECIFIED|AUTO|ANY|NONE|VALIDATED", "allowedFunctionNames": "[]str"},
    "SafetySetting": {
        "category": "HARM_CATEGORY_UNSPECIFIED|HARM_CATEGORY_HARASSMENT|HARM_CATEGORY_HATE_SPEECH|HARM_CATEGORY_SEXUALLY_EXPLICIT"
        "|HARM_CATEGORY_DANGEROUS_CONTENT|HARM_CATEGORY_CIVIC_INTEGRITY",
        "threshold": "HARM_BLOCK_THRESHOLD_UNSPECIFIED|BLOCK_LOW_AND_ABOVE|BLOCK_MEDIUM_AND_ABOVE|BLOCK_ONLY_HIGH|BLOCK_NONE|OFF",
    },
    "GenerationConfig": {
        "candidateCount": "int",
        "stopSequences": "[]str",
        "maxOutputTokens": "int",
        "temperature": "num",
        "topP": "num",
        "topK": "int",
        "seed": "int",
        "responseMimeType": "str",
        "responseSchema": "Schema",
        "responseJsonSchema": "any",
        "presencePenalty": "num",
        "frequencyPenalty": "num",
        "responseLogprobs": "bool",
        "logprobs": "int",
        "enableEnhancedCivicAnswers": "bool",
        "responseModalities": "[]TEXT|IMAGE|AUDIO",
        "speechConfig": "any",
        "thinkingConfig": "ThinkingConfig",
        "imageConfig": "any",
        "responseFormat": "any",
        "mediaResolution": "MEDIA_RESOLUTION_UNSPECIFIED|MEDIA_RESOLUTION_LOW|MEDIA_RESOLUTION_MEDIUM|MEDIA_RESOLUTION_HIGH",
    },
    "ThinkingConfig": {
        "includeThoughts": "bool",
        "thinkingBudget": "int",
        "thinkingLevel": "THINKING_LEVEL_UNSPECIFIED|MINIMAL|LOW|MEDIUM|HIGH",
    },
}

PAYLOADS = (
    "text",
    "inlineData",
    "functionCall",
    "functionResponse",
    "fileData",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
)
"""The members of a part of which only one may be there."""

_SCALARS: dict[str, tuple[type, ...]] = {"str": (str,), "bool": (bool,), "num": (int, float, str), "int": (int, str), "struct": (dict,)}


def read(value: Any, kind: str, path: Path = ()) -> Any:
    """Return a message with all names in camel case and all enumerations by name. Raise `Refused` where it is none of its kind."""
    if kind.startswith("[]"):
        values = value if isinstance(value, list) else [value]
        return [read(member, kind[2:], (*path, number)) for number, member in enumerate(values)]
    if kind.startswith("{}"):
        _want(value, (dict,), path)
        return {name: read(member, kind[2:], (*path, name)) for name, member in value.items()}
    if kind in MESSAGES:
        return _message(value, kind, path)
    if kind == "bytes":
        return _bytes(value, path)
    if "|" in kind:
        return _named(value, kind.split("|"), path)
    if kind in _SCALARS:
        _want(value, _SCALARS[kind], path)
    return value


def _message(value: Any, kind: str, path: Path) -> dict[str, Any]:
    _want(value, (dict,), path)
    known, read_members = MESSAGES[kind], {}
    for name, member in value.items():
        camel = re.sub(r"_([a-z])", lambda found: found[1].upper(), name)
        if camel not in known:
            raise Refused((*path, name), "Cannot find field.", "unknown")
        if camel in read_members:
            raise Refused((*path, name), "given twice", "value")
        if member is not None:
            read_members[camel] = read(member, known[camel], (*path, camel))
    return read_members


def _want(value: Any, kinds: tuple[type, ...], path: Path) -> None:
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise Refused(path, f"Invalid value: {str(value)[:60]!r} is no {kinds[0].__name__}", "type")


def _named(value: Any, names: list[str], path: Path) -> Any:
    """Enumerations are read without regard to case, as the API does with `object` and `OBJECT` alike."""
    if isinstance(value, int) and not isinstance(value, bool):
        return names[value] if value < len(names) else value
    if str(value).upper() not in names:
        raise Refused(path, f"Invalid value: {value!r}", "value")
    return str(value).upper()


def _bytes(value: Any, path: Path) -> str:
    _want(value, (str,), path)
    standard = value.replace("-", "+").replace("_", "/").rstrip("=")
    standard += "=" * (-len(standard) % 4)
    try:
        base64.b64decode(standard, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(path, f"Invalid value: Base64 decoding failed for {value[:40]!r}", "value") from None
    return str(standard)
