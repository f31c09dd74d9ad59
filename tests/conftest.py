"""What all tests share: a test that leaks a task, a socket or a child process fails, and the folder of recordings."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    test = getattr(item, "obj", None)
    if inspect.iscoroutinefunction(test):
        item.obj = _leaving_no_task(test)


def _leaving_no_task(test: Any) -> Any:
    @functools.wraps(test)
    async def checked(*args: Any, **kwargs: Any) -> None:
        before = asyncio.all_tasks()
        await test(*args, **kwargs)
        for _ in range(10):  # what is being cancelled gets its turns
            await asyncio.sleep(0)
        left = {task for task in asyncio.all_tasks() - before if not task.done()}
        assert not left, f"the test leaked tasks: {left}"

    return checked


def _sockets() -> set[str]:
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            if stat.S_ISSOCK(link.stat().st_mode):
                found.add(str(link.readlink()))
        except OSError:
            continue
    return found


def _children() -> set[str]:
    try:
        return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
    except OSError:
        return set()


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Iterator[None]:
    if not Path("/proc/self/fd").is_dir():  # not Linux
        yield
        return
    sockets, children = _sockets(), _children()
    yield
    if _sockets() - sockets:
        gc.collect()
    assert not _sockets() - sockets, "the test left sockets open"
    assert not _children() - children, "the test left child processes"


@pytest.fixture(scope="session", autouse=True)
def _nobodys_own_credentials_and_plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _sockets_of_their_own() -> Iterator[None]:
    """Hosts that tests run as processes have their control sockets where no other host looks."""
    with tempfile.TemporaryDirectory(prefix="jackfield-") as folder, pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", folder)
        yield


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder with recorded provider traffic."""
    given = os.environ.get("JACKFIELD_RECORDINGS")
    folder = Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "recordings"
    if not (folder / "index.json").is_file():
        pytest.skip("the recorded provider traffic is not here (JACKFIELD_RECORDINGS names its folder)")
    return folder
