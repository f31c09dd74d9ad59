"""The table of all methods of the out-of-process protocol. Schemas, reference and conformance check are made from it."""

from typing import Any, Final, Literal

import msgspec

from jackfield.api import HOOKS, CredentialState
from jackfield.rpc import wire
from jackfield.rpc import wire_host as asks
from jackfield.rpc import wire_objects as objects


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """One method of the protocol."""

    name: str
    asks: Literal["host", "plugin", "either"]
    """Who sends it."""
    params: Any
    result: Any = None
    """The type of what is answered; None for null."""
    says: str
    """What it is for, in a sentence or two."""
    kind: Literal["request", "notification"] = "request"
    hook: str | None = None
    """The hook that it is the wire form of."""
    silent: bool = False
    """It may also be sent as a notification, by who needs no answer."""
    opens: str | None = None
    """What comes on the stream that it opens, when it opens one."""
    since: str = "0.1"


def _host(name: str, params: Any, result: Any, says: str, **more: Any) -> Method:
    hook = next((hook for hook, info in HOOKS.items() if name in info.wire), None)
    return Method(name=name, asks="host", params=params, result=result, says=says, hook=hook, **more)


def _plugin(name: str, params: Any, result: Any, says: str, **more: Any) -> Method:
    return Method(name=name, asks="plugin", params=params, result=result, says=says, **more)


def _either(name: str, params: Any, says: str) -> Method:
    return Method(name=name, asks="either", params=params, says=says, kind="notification")


METHODS: Final[tuple[Method, ...]] = (
    # ------------------------------------------------------------------------------ the life of a plugin
    _host("plugin.challenge", wire.Challenge, wire.Proof, "Over a socket with a secret, before all else: prove that you know it."),
    _host("plugin.register", wire.Register, wire.Registration, "The first request: say who you are and in what you take part."),
    _host(
        "plugin.start",
        wire.Nothing,
        None,
        "The host starts, and calls come next. Only with the capability `start`.",
    ),
    _host("plugin.reconfigure", wire.Reconfigure, None, "Take another configuration. Only with the capability `reconfigure`."),
    _host("$/ping", wire.Nothing, None, "Show that you are alive: any answer does, also the error -32601. Asked when nothing else is."),
    _host("plugin.shutdown", wire.Shutdown, None, "Finish what is in flight, answer this, and end."),
    # -------------------------------------------------------------------------------------- the request
    _host("frontend_auth.authenticate", wire.OnCall, wire.Authenticated | None, "Say who calls; null: not mine."),
    _host("model.route", wire.OnCall, wire.Route | None, "Decide where a call goes; null: no opinion."),
    _host("request.intercept_before", wire.OnCall, wire.Change | None, "Change the client's request, or answer it; null: unchanged."),
    _host("scheduler.pick", wire.OnPick, wire.Pick | None, "Choose who serves the next attempt; null: the host chooses."),
    _host("request.intercept_after", wire.OnAttempt, wire.Change | None, "Change one attempt's request before it is translated."),
    _host("request.translate", objects.Translate, objects.Translated, "Turn a request's body into the upstream's dialect."),
    _host("request.normalize", wire.OnAttempt, wire.Change | None, "Change the translated request, in the upstream's dialect."),
    # --------------------------------------------------------------------------------------- the answer
    _host("response.normalize", wire.OnAttemptReply, wire.Change | None, "Change the upstream's answer before it is translated."),
    _host("response.translate", objects.Translate, objects.Translated, "Turn a whole answer into the client's dialect."),
    _host("response.translate.open", objects.TranslateOpen, None, "Begin to translate a streamed answer."),
    _host("response.translate.event", objects.TranslateEvents, objects.TranslatedEvents | None, "Translate events of a stream."),
    _host("response.translate.close", objects.TranslateEvents, objects.TranslatedEvents | None, "The stream is over: say what is missing."),
    _host("response.intercept_after", wire.OnCallReply, wire.Change | None, "Change a whole answer, in the client's dialect."),
    _host("response.intercept_stream_chunk.open", wire.OpenStream, wire.Handle | None, "Say whether you want the events of a stream."),
    _host(
        "response.intercept_stream_chunk.event",
        wire.OnEvents,
        wire.EventAnswers | None,
        "Keep, replace, drop or add events, or end the stream. Also for streams that `response.normalize` asked for.",
    ),
    _host("response.intercept_stream_chunk.close", wire.CloseStream, wire.Closing | None, "The stream ends: add what is to stand before."),
    # -------------------------------------------------------------------------------------- afterwards
    _host("request.complete", wire.OnComplete, None, "Learn what came of a call."),
    _host("usage.handle", wire.OnUsage, None, "Learn what an attempt cost."),
    # --------------------------------------------------------------------------------------- providers
    _host("model.register", wire.Nothing, objects.Providers, "Name your providers, and further models of others."),
    _host("model.for_auth", objects.ForAuth, objects.Models, "Say which models a credential may call."),
    _host("executor.execute", objects.Execute, wire.Reply, "Answer an attempt with a whole answer."),
    _host(
        "executor.execute_stream",
        objects.ExecuteStream,
        wire.Reply,
        "Answer an attempt with a stream.",
        opens="events, bytes or deltas",
    ),
    _host("executor.count_tokens", objects.Execute, wire.Reply, "Answer an attempt to count tokens."),
    _host("executor.http_request", objects.Execute, wire.Reply, "Answer an attempt to read, change or delete a resource."),
    # -------------------------------------------------------------------------------------- credentials
    _host("auth.register", wire.Nothing, objects.Sources, "Name your sources of credentials. Needs a grant."),
    _host("auth.load", objects.OnSource, objects.Credentials, "Return all credentials of a source."),
    _host("auth.parse", objects.Parse, objects.Credentials | None, "Read one stored file; null: not mine."),
    _host("auth.save", objects.SaveCredentials, None, "Keep credentials in a source; each takes the place of the one with its id."),
    _host("auth.remove", objects.RemoveCredential, None, "Forget a credential of a source."),
    _host("auth.login.start", objects.LoginStart, objects.LoginStep, "Start a login."),
    _host("auth.login.poll", objects.LoginPoll, objects.LoginStep, "Say whether a login is done."),
    _host("auth.refresh", objects.OnCredential, objects.Refreshed, "Return a credential with a fresh secret."),
    _host("auth.quota", objects.OnCredential, objects.Quota, "Return the windows of an account's quota."),
    # ------------------------------------------------------------------- translators, routes, commands
    _host("translate.register", wire.Nothing, objects.Translators, "Name the pairs of dialects that you translate between."),
    _host("management.register", wire.Nothing, objects.Routes, "Name your HTTP routes."),
    _host("management.handle", objects.OnRoute, wire.Reply, "Answer a request of one of your routes."),
    _host("command_line.register", wire.Nothing, objects.Commands, "Name your commands."),
    _host("command_line.execute", objects.RunCommand, objects.CommandDone, "Run a command."),
    # --------------------------------------------------------------------------- what plugins ask the host
    _plugin("host.info", asks.Within, asks.HostInfo, "About the host, and the plugin's own id."),
    _plugin("host.log", asks.Log, None, "Write to the host's log, under the plugin's name.", silent=True),
    _plugin(
        "host.http.request",
        asks.HttpAsk,
        asks.HttpAnswer,
        "Send a request through the host's connections; the answer comes whole.",
    ),
    _plugin(
        "host.http.stream",
        asks.HttpStream,
        asks.HttpAnswer,
        "Send a request; the answer's body comes as a stream.",
        opens="bytes",
    ),
    _plugin("host.model.execute", asks.ModelAsk, wire.Reply, "Make a call and get its whole answer."),
    _plugin("host.model.execute_stream", asks.ModelStream, None, "Make a call and get its answer as a stream.", opens="deltas or events"),
    _plugin("host.models.list", asks.Within, objects.Models, "The models that can be called now."),
    _plugin("host.state.get", asks.StateKey, asks.StateValue, "Read a value of the plugin's own."),
    _plugin("host.state.set", asks.StateSet, asks.StateWasSet, "Set a value."),
    _plugin("host.state.add", asks.StateAdd, asks.StateSum, "Add to a counter."),
    _plugin("host.state.delete", asks.StateKey, None, "Forget a value."),
    _plugin("host.auth.list", asks.Within, objects.Credentials, "All credentials that are in use, without what may hold a secret."),
    _plugin(
        "host.auth.get",
        asks.AuthGet,
        objects.CredentialAbout,
        "One credential; with its key where the plugin has a grant and one of its hooks the need `secret`.",
    ),
    _plugin("host.auth.get_runtime", asks.AuthGet, CredentialState, "How a credential is: in flight, resting, quota."),
    _plugin("host.auth.changed", asks.AuthChanged, None, "A source of yours has other credentials now: load them.", kind="notification"),
    _plugin("host.auth.save", asks.AuthSave, None, "Keep credentials. Needs a grant."),
    # ------------------------------------------------------------------------------------- both directions
    _either("stream.item", wire.Items, "The next items of a stream, from who answers it."),
    _either("stream.end", wire.EndOfStream, "A stream is over."),
    _either("stream.credit", wire.Credit, "So many items more may be sent, from who reads a stream."),
    _either("$/cancel", wire.Cancel, "The answer to a request is not waited for any more."),
)

BY_NAME: Final = {method.name: method for method in METHODS}
