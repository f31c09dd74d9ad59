"""How likely the tokens of an answer were: `logprobsResult`.

Source: Gemini API reference, `LogprobsResult`: the chosen tokens, and for each the likeliest in its place.
"""

from __future__ import annotations

from typing import Any, Final

from jackfield.api.canonical import Logprobs, TokenChance, TokenLogprob
from jackfield_gemini.generate.extras import extra, kept

_SUM: Final = "logProbabilitySum"
_IDS: Final = "=ids"
"""The key under which the numbers of tokens are kept: of those chosen, then of the likeliest, in order."""


def decode_logprobs(value: Any) -> Logprobs | None:
    """Read how likely tokens were; None for what is no such thing."""
    chosen = value.get("chosenCandidates") if isinstance(value, dict) else None
    if not isinstance(chosen, list) or not all(isinstance(token, dict) for token in chosen):
        return None
    tops = value.get("topCandidates")
    places = [_candidates(top) for top in tops] if isinstance(tops, list) else []
    tokens = [
        TokenLogprob(
            token=_text(token.get("token")),
            logprob=_number(token.get("logProbability")),
            top=tuple(TokenChance(token=_text(c.get("token")), logprob=_number(c.get("logProbability"))) for c in place),
        )
        for token, place in zip(chosen, [*places, *[[]] * (len(chosen) - len(places))], strict=False)
    ]
    ids = [entry.get("tokenId") for entry in (*chosen, *(c for place in places[: len(chosen)] for c in place))]
    rest = {_SUM: value.get(_SUM), _IDS: ids if any(one is not None for one in ids) else None}
    return Logprobs(content=tuple(tokens), extensions=kept(rest))


def _candidates(top: Any) -> list[dict[str, Any]]:
    found = top.get("candidates") if isinstance(top, dict) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def encode_logprobs(logprobs: Logprobs) -> dict[str, Any]:
    """Write how likely tokens were."""
    rest = extra(logprobs.extensions)
    tokens = (*(logprobs.content or ()), *(logprobs.refusal or ()))
    chosen = [_entry(token) for token in tokens]
    tops = [[_entry(chance) for chance in token.top] for token in tokens]
    ids = rest.get(_IDS)
    entries = (*chosen, *(entry for top in tops for entry in top))
    if isinstance(ids, list) and len(ids) == len(entries):
        for entry, number in zip(entries, ids, strict=True):
            if number is not None:
                entry["tokenId"] = number
    wire: dict[str, Any] = {"chosenCandidates": chosen}
    if any(tops):
        wire["topCandidates"] = [{"candidates": top} for top in tops]
    if _SUM in rest:
        wire[_SUM] = rest[_SUM]
    return wire


def _entry(token: TokenLogprob | TokenChance) -> dict[str, Any]:
    return {"token": token.token, "logProbability": token.logprob}
