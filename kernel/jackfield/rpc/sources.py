"""Sources of credentials that plugins out of process register."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from jackfield.api import Credential, CredentialSource, LoginStep, QuotaWindow, Secret
from jackfield.api.units import read_unit
from jackfield.rpc import wire_objects as objects

if TYPE_CHECKING:
    from jackfield.rpc.bridge import Bridge

_SECRET: Final = ("key", "refresh_token")
_JSON: Final = ("models", "excluded", "aliases", "cooldown", "limits")
"""What is told of a credential as plain JSON."""
_SAME: Final = tuple(name for name in objects.CredentialAbout.__struct_fields__ if name not in (*_SECRET, *_JSON))
"""What a credential and what is told of it have in common as it is."""


def credential_of(credential: Credential, secret: bool) -> objects.CredentialAbout:
    """Return what a plugin is told of a credential; its key only where it may know it."""
    shown = {name: getattr(credential, name) for name in _SECRET if secret}
    return objects.CredentialAbout(
        **{name: getattr(credential, name) for name in _SAME},
        **{name: said.reveal() for name, said in shown.items() if said is not None},
        **{name: _plain(getattr(credential, name)) for name in _JSON},
    )


def _plain(said: Any) -> Any:
    made = msgspec.to_builtins(said, enc_hook=float)  # of times, which are numbers of a kind of their own
    return {key: value for key, value in made.items() if value is not None} if isinstance(made, dict) else made


def credential_from(said: objects.CredentialAbout) -> Credential:
    """Return a credential that a plugin tells of. Raises `ValueError` for what is none."""
    plain = {name: getattr(said, name) for name in said.__struct_fields__ if name not in _SECRET}
    shown = {name: Secret(text) for name in _SECRET if (text := getattr(said, name)) is not None}
    return msgspec.structs.replace(msgspec.convert(plain, Credential, dec_hook=read_unit), **shown)


def sources_of(bridge: "Bridge", said: objects.Sources) -> "tuple[list[Source]]":
    """Return the sources that a plugin names."""
    made = [Source(bridge, name, watched=name in said.watched, keeps=name in said.keeps) for name in said.sources]
    for source in made:
        source.providers = said.providers.get(source.name, ())
    return (made,)


class Source(CredentialSource):
    """One source: `load`, and of the rest what the plugin says that it answers."""

    def __init__(self, bridge: "Bridge", name: str, *, watched: bool = False, keeps: bool = False) -> None:
        self._bridge, self.name = bridge, name
        self.problems: Sequence[str] = ()
        self.providers: Sequence[str] = ()
        self._latest = dict[str, tuple[objects.CredentialAbout, Credential]]()
        """By id: what the plugin told of each credential, and what that is. One that has not changed stays the same object."""
        offered: dict[str, Callable[..., Any]] = {
            "auth.parse": self._parse,
            "auth.login.start": self._login,
            "auth.login.poll": self._poll,
            "auth.refresh": self._refresh,
            "auth.quota": self._quota,
            "auth.save": self._save,
            "auth.remove": self._remove,
        }
        offered = {method: function for method, function in offered.items() if bridge.declares(method)}
        if not keeps:
            offered = {method: function for method, function in offered.items() if method not in ("auth.save", "auth.remove")}
        for function in (*offered.values(), *([self._watch] if watched else ())):
            setattr(self, function.__name__[1:], function)

    def _watch(self, changed: Callable[[], None]) -> None:
        self._bridge.watching[self.name] = changed

    async def _save(self, credentials: Sequence[Credential]) -> None:
        params = objects.SaveCredentials(source=self.name, credentials=[credential_of(c, secret=True) for c in credentials])
        await self._bridge.ask("auth.save", lambda _: params)

    async def _remove(self, id: str) -> None:
        if all(about.id != id for about, _ in self._latest.values()):
            raise KeyError(id)
        await self._bridge.ask("auth.remove", lambda _: objects.RemoveCredential(source=self.name, id=id))

    async def load(self) -> Sequence[Credential]:
        """Return all credentials of the source; those that are none are problems instead."""
        said: objects.Credentials = await self._bridge.ask("auth.load", lambda _: objects.OnSource(source=self.name))
        place, problems = f"plugin {self._bridge.id!r}: credential source {self.name!r}", list(said.problems)
        before, self._latest = self._latest, {}
        for at, about in enumerate(said.credentials):
            try:
                known = before.get(about.id)
                made = known[1] if known is not None and known[0] == about else credential_from(about)
                self._latest[about.id or f"#{at}"] = about, made
            except ValueError as fault:
                problems.append(f"{place}: credentials[{at}]: {fault}; it is not used")
        self.problems = problems
        return [made for _, made in self._latest.values()]

    async def _parse(self, name: str, data: Mapping[str, Any]) -> Sequence[Credential] | None:
        params = objects.Parse(source=self.name, name=name, data=data)
        said: objects.Credentials | None = await self._bridge.ask("auth.parse", lambda _: params)
        return None if said is None else [credential_from(about) for about in said.credentials]

    async def _login(self, options: Mapping[str, Any]) -> LoginStep:
        return _step_from(await self._bridge.ask("auth.login.start", lambda _: objects.LoginStart(source=self.name, options=options)))

    async def _poll(self, step: LoginStep) -> LoginStep:
        told = objects.LoginStep(
            **{**msgspec.structs.asdict(step), "credentials": [credential_of(c, secret=True) for c in step.credentials]}
        )
        return _step_from(await self._bridge.ask("auth.login.poll", lambda _: objects.LoginPoll(source=self.name, step=told)))

    async def _refresh(self, credential: Credential) -> Credential:
        said: objects.Refreshed = await self._bridge.ask("auth.refresh", lambda _: self._about(credential))
        fresh = credential_from(said.credential)
        return fresh if fresh.refresh_token is not None else msgspec.structs.replace(fresh, refresh_token=credential.refresh_token)

    async def _quota(self, credential: Credential) -> Sequence[QuotaWindow]:
        said: objects.Quota = await self._bridge.ask("auth.quota", lambda _: self._about(credential))
        return said.windows

    def _about(self, credential: Credential) -> objects.OnCredential:
        return objects.OnCredential(source=self.name, credential=credential_of(credential, secret=True))


def _step_from(said: objects.LoginStep) -> LoginStep:
    return LoginStep(**{**msgspec.structs.asdict(said), "credentials": tuple(map(credential_from, said.credentials))})
