"""A machine without a network, for the tests of packaging: all that can be installed lies in the wheelhouse that `make test` fills."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.packaging.installation import Installation, run

ROOT = Path(__file__).resolve().parents[2]
WHEELHOUSE = ROOT / "build" / "wheelhouse"
_NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "build", "dist", ".*_cache", ".hypothesis", "__pycache__", "*.pyc")


@pytest.fixture(scope="session")
def plain_env(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The variables of a user who has set none that matters."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path_factory.mktemp("home")), "LC_ALL": "C.UTF-8"}


@pytest.fixture(scope="session")
def env(plain_env: Mapping[str, str]) -> Mapping[str, str]:
    """The same for somebody whose pip knows nothing but the wheelhouse."""
    if not (WHEELHOUSE / ".filled").is_file():
        pytest.skip("there is no wheelhouse to install from: `make test` makes it")
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELHOUSE), "PIP_NO_COMPILE": "1"}
    return {**plain_env, **pip}


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree as it is checked out, without anything that was made in it."""
    return Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("checkout") / "jackfield", ignore=_NOT_COPIED))


@pytest.fixture(scope="session")
def distributions(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What is published, by kind: the host's `sdist` and `wheel`, and the `example` of a third party's wheel."""
    out = tmp_path_factory.mktemp("dist")
    source = Path(shutil.copytree(checkout, out / "source"))
    for stray in ("kernel/jackfield/__pycache__/old.pyc", "plugins/memory/jackfield_memory/__pycache__/old.pyc", "jackfield.yaml"):
        (source / stray).parent.mkdir(exist_ok=True)
        (source / stray).write_bytes(b"")
    host, example = out / "host", out / "example"
    build = [sys.executable, "-m", "hatchling", "build"]
    run(*build, "-t", "sdist", "-t", "wheel", "-d", host, cwd=source, env=os.environ)
    run(*build, "-t", "wheel", "-d", example, cwd=source / "plugin_examples" / "router_python", env=os.environ)
    return {"sdist": next(host.glob("*.tar.gz")), "wheel": next(host.glob("*.whl")), "example": next(example.glob("*.whl"))}


@pytest.fixture(scope="session")
def new_installation(env: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Installation]:
    """Makes a new virtual environment."""
    return lambda: Installation(tmp_path_factory.mktemp("installation"), env)
