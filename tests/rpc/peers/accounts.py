"""A source of credentials whose keys expire, and the provider that they are for."""

import threading
import time
from typing import Any

from answering import Fault, Params, serve

_config: dict[str, Any] = {}
_refreshed: dict[str, int] = {}
NOTHING: dict[str, Any] = {}


def register(params: Params, left: threading.Event) -> Any:
    _config.update(params.get("config", {}))
    methods = ["auth.register", "auth.load", "model.register", "executor.execute", *_config.get("methods", ())]
    return {"schema_version": 1, "hooks": {**dict.fromkeys(methods, NOTHING), "executor.execute": {"needs": ["secret"]}}}


def account(name: str) -> Any:
    lasts = _config.get("lasts")
    key = f"sesame-{name}-{_refreshed.get(name, 0)}"
    about = {"id": f"acme:{name}", "provider": "acme", "key": key, "kind": "oauth", "label": name, "limits": {"rpm": 1000}}
    if lasts is not None:
        about |= {"expires_at": time.time() + (3600 if name in _refreshed else lasts), "refresh_token": f"again-{name}"}
    return about


def load(params: Params, left: threading.Event) -> Any:
    if "load" in _config.get("fails", ()):
        raise Fault("the cupboard is locked")
    bad = [{"id": "bad", "provider": "acme", "key": "sesame", "proxy": "no proxy"}] if _config.get("bad") else []
    return {"credentials": [*map(account, _config.get("accounts", ["one", "two"])), *bad], "problems": _config.get("problems", [])}


def refresh(params: Params, left: threading.Event) -> Any:
    held = params["credential"]
    if "refresh" in _config.get("fails", ()):
        raise Fault("the account was closed", cause="account_action")
    assert held["refresh_token"] == f"again-{held['label']}"
    _refreshed[held["label"]] = _refreshed.get(held["label"], 0) + 1
    return {"credential": account(held["label"])}


def answer(params: Params, left: threading.Event) -> Any:
    text = {"type": "text", "text": str(params["attempt"].get("secret"))}
    return {"response": {"choices": [{"message": {"role": "assistant", "parts": [text]}, "finish": "stop"}]}}


def start(params: Params, left: threading.Event) -> Any:
    return {"url": "https://acme.example/device", "code": "AB-CD", "state": {"asked": params["options"]}}


def poll(params: Params, left: threading.Event) -> Any:
    done = params["step"].get("state") == {"asked": {"way": "device"}}
    return {"status": "done" if done else "failed", "credentials": [account("three")]}


serve(
    {
        "plugin.register": register,
        "plugin.shutdown": lambda params, left: None,
        "model.register": lambda params, left: {"providers": [{"key": "acme", "models": ["m"], "auth": {}}]},
        "executor.execute": answer,
        "auth.register": lambda params, left: {"sources": ["accounts"]},
        "auth.load": load,
        "auth.refresh": refresh,
        "auth.parse": lambda params, left: {"credentials": [account(params["data"]["who"])]} if "who" in params["data"] else None,
        "auth.login.start": start,
        "auth.login.poll": poll,
        "auth.quota": lambda params, left: {"windows": [{"name": "week", "used": 0.5, "of": "credential"}]},
    }
)
