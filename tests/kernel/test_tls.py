"""The host serves HTTPS, with the newest certificate that is whole, and names what is wrong with files and with clients."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import subprocess
import sys
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jackfield import Jackfield
from jackfield.api.testing import Harness, ScriptedUpstream, sse_answer
from jackfield.cli import certificates
from jackfield.host import RefusedToStart
from tests.kernel.certificates import Pair, needs_openssl
from tests.kernel.conftest import ToyProvider, http_toy, talk
from tests.kernel.pipeline_kit import PATIENCE, Observer, begun_stream, toy_host
from tests.kernel.toy import stream_of

pytestmark = needs_openssl


def house(*plugins: object, pair: Pair | None = None, tls: dict[str, Any] | None = None, **options: Any) -> Harness:
    """Return a host that serves HTTPS, and looks at its files at every opportunity."""
    said = tls if tls is not None else {"cert": str(pair.cert), "key": str(pair.key)} if pair is not None else None
    return toy_host(*plugins, config={"server": {"tls": said}, "timeouts": {"client_body": "200ms"}}, **options)


async def request(host: Harness, context: ssl.SSLContext | None, target: str = "/toy/v1/talk", body: Any = None, **options: Any) -> bytes:
    """Send a request over a connection of its own, and return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", host.host.port, ssl=context, **options)
    raw = json.dumps(body).encode() if body is not None else b""
    head = f"{'POST' if raw else 'GET'} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw)
    try:
        return await asyncio.wait_for(reader.read(-1), PATIENCE)
    finally:
        writer.close()


async def serial(host: Harness, context: ssl.SSLContext) -> str:
    """Return the number of the certificate that a new client meets."""
    _, writer = await asyncio.open_connection("127.0.0.1", host.host.port, ssl=context)
    try:
        return str(writer.get_extra_info("peercert")["serialNumber"])
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("one_file", [False, True], ids=["two files", "one file"])
async def test_calls_are_served_over_tls(tmp_path: Path, one_file: bool) -> None:
    pair = Pair(tmp_path)
    if one_file:
        pair.cert.write_bytes(pair.cert.read_bytes() + pair.key.read_bytes())
    tls = {"cert": str(pair.cert)} if one_file else None
    async with house(pair=pair, tls=tls, provider=ToyProvider(blocks=(["one", "two"],))) as host:
        assert host.url.startswith("https://")
        whole = await request(host, pair.trusting, body=talk())
        assert whole.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b'"Hello"' in whole
        streamed = await request(host, pair.trusting, body=talk(stream=True))
        assert b"event: close" in streamed
        assert (await request(host, pair.trusting, "/healthz")).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_paths_are_relative_to_the_configuration(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    (tmp_path / "my.yaml").write_text("server: {port: 0, tls: {cert: server.pem, key: server.key}}")
    async with Jackfield(tmp_path / "my.yaml", overrides={"plugins": {"autoload": False}}, defaults=False) as host:
        _, writer = await asyncio.open_connection("127.0.0.1", host.port, ssl=pair.trusting)
        writer.close()


@pytest.mark.parametrize(("version", "taken"), [("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)])
async def test_nothing_older_than_tls_1_2_is_spoken(tmp_path: Path, version: str, taken: bool) -> None:
    pair = Pair(tmp_path)
    context = pair.trusting
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of what is old
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion[version]
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    async with house(pair=pair) as host:
        try:
            answer = await request(host, context, "/healthz")
        except (ssl.SSLError, ConnectionError):
            answer = b""
        assert answer.startswith(b"HTTP/1.1 200") is taken


# --------------------------------------------------------------------------------------------------- renewal


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the files looked at whenever the host looks at what waits."""
    monkeypatch.setattr(certificates, "_EVERY", 0.0)


async def until(true: Any) -> None:
    """Wait until something is so that nobody tells of."""
    async with asyncio.timeout(PATIENCE):
        while not await true():
            await asyncio.sleep(0.02)  # there is nothing else to wait for: files say nothing


@pytest.mark.usefixtures("looking")
async def test_a_renewed_certificate_is_picked_up_and_running_streams_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "jackfield")
    pair, go_on = Pair(tmp_path), asyncio.Event()

    async def words() -> Any:
        raw = stream_of(["one", "two"])
        begun = begun_stream("one", "two")
        yield begun
        await go_on.wait()
        yield raw[len(begun) :]

    async with ScriptedUpstream(sse_answer(words())) as upstream, house(pair=pair, provider=[http_toy(upstream.url)]) as host:
        before, old = await serial(host, pair.trusting), pair.trusting
        reading = asyncio.create_task(request(host, old, body=talk(stream=True)))
        await asyncio.wait_for(upstream.until(lambda: len(upstream.requests) == 1), PATIENCE)
        pair.renew("renewed")

        async def renewed() -> bool:
            try:
                return await serial(host, pair.trusting) != before
            except ssl.SSLCertVerificationError:  # still the one from before, which signs itself
                return False

        await until(renewed)
        with pytest.raises(ssl.SSLCertVerificationError):
            await serial(host, old)
        go_on.set()
        body = (await asyncio.wait_for(reading, PATIENCE)).partition(b"\r\n\r\n")[2]
        assert b"event: close" in body
        assert [line for line in caplog.messages if "was renewed" in line] == [f"the certificate in {pair.cert} was renewed and is in use"]


@pytest.mark.usefixtures("looking")
@pytest.mark.parametrize("broken", ["another key", "half a file", "gone"])
async def test_a_broken_pair_changes_nothing_and_is_told_once(tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture) -> None:
    pair, other = Pair(tmp_path), Pair(tmp_path, stem="other")
    whole = pair.cert.read_bytes()

    async def told() -> bool:
        return any("the certificate from before stays in use" in line for line in caplog.messages)

    async with house(pair=pair) as host:
        before, trusting = await serial(host, pair.trusting), pair.trusting
        if broken == "another key":
            pair.cert.write_bytes(other.cert.read_bytes())
        elif broken == "half a file":
            pair.cert.write_bytes(whole[:200])
        else:
            pair.cert.unlink()
        await until(told)
        for _ in range(5):
            assert await serial(host, trusting) == before
            await asyncio.sleep(0.06)  # a look at the files comes in between: it must not say it again
        assert len([line for line in caplog.messages if "stays in use" in line]) == 1
        pair.cert.write_bytes(other.cert.read_bytes())
        pair.key.write_bytes(other.key.read_bytes())

        async def mended() -> bool:
            try:
                return await serial(host, other.trusting) != before
            except ssl.SSLCertVerificationError:
                return False

        await until(mended)


# ------------------------------------------------------------------------------------------------ what is wrong


def files(folder: Path) -> dict[str, tuple[dict[str, str], str]]:
    """Return what may be wrong with the files, and what is said of it."""
    pair, other = Pair(folder), Pair(folder, stem="other")
    (folder / "junk").write_text("no PEM")
    half = folder / "half.pem"
    half.write_bytes(pair.cert.read_bytes()[:200])
    locked = folder / "locked.key"
    subprocess.run(["openssl", "pkey", "-in", pair.key, "-aes256", "-passout", "pass:x", "-out", locked], check=True, timeout=30)
    return {
        "no certificate": ({"cert": "nowhere", "key": str(pair.key)}, "server.tls.cert: {folder}/nowhere cannot be read: No such"),
        "no key": ({"cert": str(pair.cert), "key": "nowhere"}, "server.tls.key: {folder}/nowhere cannot be read: No such"),
        "a folder": ({"cert": str(folder), "key": str(pair.key)}, "server.tls.cert: {folder} cannot be read: Is a directory"),
        "junk": ({"cert": str(folder / "junk"), "key": str(pair.key)}, "server.tls.cert: {folder}/junk holds no certificate"),
        "swapped": ({"cert": str(pair.key), "key": str(pair.cert)}, "server.tls.cert: {folder}/server.key holds no certificate"),
        "the key is missing in the one file": ({"cert": str(pair.cert)}, "server.tls.key: {folder}/server.pem holds no private key"),
        "half a certificate": ({"cert": str(half), "key": str(pair.key)}, "server.tls: {folder}/server.key: cannot be used: "),
        "another's key": (
            {"cert": str(pair.cert), "key": str(other.key)},
            "server.tls: {folder}/other.key: the key does not belong to the certificate in {folder}/server.pem",
        ),
        "a password": ({"cert": str(pair.cert), "key": str(locked)}, "server.tls.key: the key in {folder}/locked.key has a"),
    }  # fmt: skip


async def test_files_that_cannot_be_used_keep_the_host_from_starting_and_are_named_in_one_line(tmp_path: Path) -> None:
    for what, (tls, says) in files(tmp_path).items():
        config = tmp_path / "my.yaml"
        config.write_text(json.dumps({"server": {"port": 0, "tls": tls}}))
        command = [sys.executable, "-c", "from jackfield.cli.main import main; main()"]
        with pytest.raises(RefusedToStart) as refused:
            async with house(tls={name: str(tmp_path / path) for name, path in tls.items()}):
                pass
        assert str(refused.value).startswith(says.format(folder=tmp_path)), what
        assert len(str(refused.value).splitlines()) == 1
        if what in ("no certificate", "another's key"):
            for words in (["serve", "-c", str(config)], ["check", "-c", str(config)]):
                done = await asyncio.to_thread(subprocess.run, [*command, *words], capture_output=True, text=True, timeout=60, check=False)
                assert done.returncode == 1
                assert says.format(folder=tmp_path) in done.stderr
                assert "Traceback" not in done.stderr


async def test_plain_http_on_a_port_of_https_is_told_so(tmp_path: Path) -> None:
    async with house(pair=Pair(tmp_path)) as host:
        plain = host.url.replace("https://", "http://")
        async with aiohttp.ClientSession() as client, client.post(f"{plain}/toy/v1/talk", json=talk()) as answer:
            assert answer.status == 400
            assert "this port speaks HTTPS: write https:// in place of http://" in (await answer.json())["error"]["message"]


async def test_https_on_a_port_of_plain_http_is_named_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "jackfield")
    async with toy_host() as host:
        with pytest.raises(ssl.SSLError):
            await request(host, Pair(tmp_path).trusting, "/healthz")
        assert "a client speaks HTTPS to a port that serves plain HTTP" in caplog.text


async def test_a_broken_answer_looks_broken_over_tls_too(tmp_path: Path) -> None:
    """A client must not take what is cut off for whole."""
    pair = Pair(tmp_path)
    observer = Observer()
    async with (
        ScriptedUpstream(sse_answer([begun_stream("one")], end=False)) as upstream,
        house(observer, pair=pair, provider=[http_toy(upstream.url)]) as host,
    ):
        body = (await request(host, pair.trusting, body=talk(stream=True))).partition(b"\r\n\r\n")[2]
        assert b"event: oops" in body
        assert (await observer.completed())[0].status == "failed"


def test_serve_says_https(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    (tmp_path / "my.yaml").write_text(f"server: {{tls: {{cert: {pair.cert}, key: {pair.key}}}}}")
    command = [sys.executable, "-u", "-c", "from jackfield.cli.main import main; main()", "serve", "--port", "0", "-c", "my.yaml"]
    with subprocess.Popen(command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if lines[-1].startswith("curl"):
                break
        url = next(line for line in lines if "listens on" in line).split()[-1]
        assert url.startswith("https://127.0.0.1:")
        assert lines[-1].startswith(f"curl {url}/")
        with urllib.request.urlopen(f"{url}/healthz", context=pair.trusting) as health:
            assert health.status == 200
        process.terminate()
        process.communicate(timeout=30)
