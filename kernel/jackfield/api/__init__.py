"""Everything that a plugin may import, and nothing else.

from jackfield.api import Route

def route_model(call):
    if call.request.tools:
        return Route(model="strong", reason="has tools")
"""

from jackfield.api import canonical
from jackfield.api.body import BadRequest, Body, Change, Codec, Spooled
from jackfield.api.call import Allow, Attempt, Call, Fidelity, Outcome, Principal, Reject, Reply, StreamHead
from jackfield.api.canonical import Error, Request, Response, Usage, reply_text
from jackfield.api.canonical.flavour import Fill, Flavour, apply_flavour
from jackfield.api.canonical.framing import SSE, Framing
from jackfield.api.canonical.hints import QuotaHeaders, QuotaWindow, asked_to_wait, seconds_until, windows
from jackfield.api.canonical.ids import Ids
from jackfield.api.canonical.models import Catalogue, ModelInfo, ThinkingSupport
from jackfield.api.canonical.names import Alias
from jackfield.api.canonical.rules import Rule, classify
from jackfield.api.canonical.sessions import Continuity, SessionSignals
from jackfield.api.canonical.splice import Member, Path, Span, items, locate, members, splice
from jackfield.api.credential import (
    Cooldown,
    Credential,
    CredentialLimits,
    CredentialSource,
    CredentialState,
    LoginStep,
    RefreshingSource,
    Rest,
    Secret,
    StoredSource,
    fault_of_key,
    is_placeholder,
)
from jackfield.api.dialect import (
    CALLS,
    Dialect,
    Endpoint,
    Follower,
    Glance,
    Loss,
    Needles,
    Operation,
    Repeat,
    StreamDecoder,
    StreamEncoder,
    Translator,
)
from jackfield.api.event import CloseHandler, End, Event, StreamAnswer, StreamHandler
from jackfield.api.failure import Blame, CallError, Cause, Failure, Help, NotDecoded, failure
from jackfield.api.headers import Headers, Pairs
from jackfield.api.hooks import HOOKS, HookInfo, HookOptions, hook
from jackfield.api.host import Command, Host, HostCredentials, HostHttp, HostInfo, HttpRequest, HttpResponse, Nested, PluginRoute, Timeouts
from jackfield.api.models import matches, matches_any
from jackfield.api.pool import Candidate, Delegate, Deny, Pick, Pool
from jackfield.api.program import Program
from jackfield.api.provider import Auth, Bearer, HttpProvider, KeyHeader, Provider, Sender, Serves, Streams
from jackfield.api.route import Alternative, Route
from jackfield.api.state import StateStore
from jackfield.api.units import Seconds, Size

__all__ = [
    "CALLS", "HOOKS", "SSE", "Alias", "Allow", "Alternative", "Attempt", "Auth", "BadRequest", "Bearer", "Blame", "Body", "Call",
    "CallError", "Candidate", "Catalogue", "Cause", "Change", "CloseHandler", "Codec", "Command", "Continuity", "Cooldown",
    "Credential", "CredentialLimits", "CredentialSource", "CredentialState", "Delegate", "Deny", "Dialect", "End", "Endpoint", "Error",
    "Event", "Failure",
    "Fidelity", "Fill", "Flavour", "Follower", "Framing", "Glance", "Headers", "Help", "HookInfo", "HookOptions", "Host",
    "HostCredentials", "HostHttp", "HostInfo", "HttpProvider", "HttpRequest", "HttpResponse", "Ids", "KeyHeader", "LoginStep",
    "Loss", "Member", "ModelInfo", "Needles", "Nested", "NotDecoded", "Operation", "Outcome", "Pairs", "Path", "Pick",
    "PluginRoute", "Pool", "Principal", "Program", "Provider", "QuotaHeaders", "QuotaWindow", "RefreshingSource", "Reject", "Repeat",
    "Reply", "Request", "Response", "Rest", "Route", "Rule", "Seconds", "Secret", "Sender", "Serves", "SessionSignals", "Size",
    "Span", "Spooled", "StateStore", "StoredSource", "StreamAnswer", "StreamDecoder", "StreamEncoder", "StreamHandler",
    "StreamHead", "Streams", "ThinkingSupport", "Timeouts", "Translator", "Usage", "apply_flavour", "asked_to_wait",
    "canonical", "classify", "failure", "fault_of_key", "hook", "is_placeholder", "items", "locate", "matches", "matches_any", "members",
    "reply_text", "seconds_until", "splice", "windows",
]  # fmt: skip
