"""The state store in Redis or Valkey: for hosts on several machines.

Commands: https://redis.io/docs/latest/commands/ (GET, SET with PX and NX, DEL, EVALSHA). `add` is a script, which the server runs as a
whole: nobody sees a counter between being read and being written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from jackfield.api import Seconds, Secret, StateStore

_CONNECTIONS: Final = 32
_MOMENT: Final = 0.001
"""Redis has no shorter time to live than a millisecond: what is over already is not written."""

ADD: Final = """
local value = redis.call('GET', KEYS[1])
local total
if value then
  if not string.match(value, '^%-?%d+$') then return redis.error_reply('NAN') end
  total = tonumber(value) + tonumber(ARGV[1])
else
  total = tonumber(ARGV[1])
end
if math.abs(total) >= 2^53 then return redis.error_reply('LARGE') end
if ARGV[2] ~= '' and total > tonumber(ARGV[2]) then return nil end
local said = string.format('%.0f', total)
if value then
  redis.call('SET', KEYS[1], said, 'KEEPTTL')
elseif ARGV[3] ~= '' then
  redis.call('SET', KEYS[1], said, 'PX', ARGV[3])
else
  redis.call('SET', KEYS[1], said)
end
return said
"""
"""Adds ARGV[1] to a counter unless that would pass ARGV[2]; a new one lives for ARGV[3] milliseconds. The server's numbers are
doubles: what one cannot hold is an error."""

REPLACE: Final = """
local value = redis.call('GET', KEYS[1])
if (value or '') ~= ARGV[1] then return 0 end
if value then
  redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
elseif ARGV[3] ~= '' then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
else
  redis.call('SET', KEYS[1], ARGV[2])
end
return 1
"""
"""Sets a counter to ARGV[2] if it is ARGV[1] still; a new one lives for ARGV[3] milliseconds."""


class Config(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The settings beside `kind`."""

    url: Secret = Secret("redis://127.0.0.1:6379/0")
    """`redis://`, `rediss://` (TLS) or `unix://`, with a password where there is one."""
    prefix: str = "jackfield:"
    """Stands before every name: hosts with the same one share their state."""
    timeout: Seconds = Seconds(0.8)
    """For a connection and for an answer; less than the second for which the host waits."""


class RedisStore:
    """The store. It connects with the first operation, and anew after it was away."""

    persists = True
    """Values are still there after a restart of a host."""

    def __init__(self, config: Config) -> None:
        seconds = float(config.timeout)
        pool = BlockingConnectionPool.from_url(
            config.url.reveal(),
            max_connections=_CONNECTIONS,
            timeout=seconds,
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            protocol=2,
            retry=Retry(NoBackoff(), 1),  # a connection that went stale
        )
        self._prefix, self._redis = config.prefix.encode(), Redis(connection_pool=pool)
        kwargs = pool.connection_kwargs
        self._place = kwargs.get("path") or f"{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}"
        self._add, self._replace = self._redis.register_script(ADD), self._redis.register_script(REPLACE)

    async def get(self, key: str) -> bytes | None:
        """Return a value; None when there is none or it has expired."""
        found: bytes | None = await self._told(lambda: self._redis.get(self._name(key)))
        return found

    async def set(self, key: str, value: bytes, *, ttl: float | None = None, if_absent: bool = False) -> bool:
        """Set a value for `ttl` seconds. With `if_absent`, return False where there is one already."""
        if not isinstance(value, bytes):
            raise TypeError(f"a value is bytes, not {type(value).__name__}")
        name = self._name(key)
        if ttl is not None and ttl < _MOMENT:
            if if_absent and await self._told(lambda: self._redis.exists(name)):
                return False
            await self._told(lambda: self._redis.delete(name))
            return True
        milliseconds = None if ttl is None else round(ttl * 1000)
        return await self._told(lambda: self._redis.set(name, value, px=milliseconds, nx=if_absent)) is not None

    async def add(self, key: str, n: int = 1, *, maximum: int | None = None, ttl: float | None = None) -> int | None:
        """Add to a counter; return the new value, or None, changing nothing, where it would pass `maximum`."""
        if ttl is not None and ttl < _MOMENT:  # nothing is left of what it would begin
            held = await self.get(key)
            if held is None:
                return None if maximum is not None and n > maximum else n
        name, lives = self._name(key), "" if ttl is None else max(1, round(ttl * 1000))
        try:
            arguments = [n, "" if maximum is None else maximum, lives]
            total = await self._told(lambda: self._add(keys=[name], args=arguments))
        except OverflowError:
            return await self._add_large(name, n, maximum, lives)
        return None if total is None else int(total)

    async def _add_large(self, name: bytes, n: int, maximum: int | None, lives: int | str) -> int | None:
        """Add to a counter that is larger than the server can calculate."""
        while True:
            held = await self._told(lambda: self._redis.get(name)) or b""
            total = int(held or 0) + n
            if maximum is not None and total > maximum:
                return None
            said = (held, str(total), lives)
            if await self._told(lambda said=said: self._replace(keys=[name], args=said)):  # type: ignore[misc]
                return total

    async def delete(self, key: str) -> None:
        """Forget a value."""
        await self._told(lambda: self._redis.delete(self._name(key)))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    def _name(self, key: str) -> bytes:
        return self._prefix + key.encode("utf-8", "surrogatepass")

    async def _told(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Return the server's answer. Raises `OSError`, one line, where it is away; `ValueError` for a counter that is none."""
        try:
            return await ask()
        except NoScriptError:  # it was started anew meanwhile
            return await ask()
        except ResponseError as fault:
            if "NAN" in str(fault):
                raise ValueError("invalid literal: what is there is no number") from None
            if "LARGE" in str(fault):
                raise OverflowError from None
            raise OSError(f"redis at {self._place}: {fault}") from None
        except (RedisError, OSError) as fault:
            raise OSError(f"redis at {self._place}: {str(fault) or 'no answer in time'}") from None


def register_state_stores() -> Sequence[tuple[str, Callable[[Any], StateStore]]]:
    """Return the kind `redis`."""
    return [("redis", RedisStore)]
