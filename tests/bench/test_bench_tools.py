"""The benchmark's own tools do what its figures rest on."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from jackfield.api import HOOKS
from tests.bench import __main__ as program
from tests.bench import accounting, generator, measure, report, servers, start, streams, traffic, upstream, wrk
from tests.bench.children import ROOT, Child, ChildFailed, free_port
from tests.bench.generator import Figures
from tests.bench.loads import LOADS, Load
from tests.bench.observers import observer_async, observer_def
from tests.bench.servers import BARE_PROXY, DIRECT, JACKFIELD, WITH_PLUGINS, BenchError, Servers

PLAIN = Load(name="plain", about="", connections=3)
BURST = Load(name="burst", about="", connections=2, events=20)
PACED = Load(name="paced", about="", connections=2, events=5, interval_ms=10)


@asynccontextmanager
async def running_upstream() -> AsyncIterator[int]:
    server = await upstream.serve(0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class Scripted(asyncio.Protocol):
    """A server that sends the same bytes for every request, whole ones assumed, and counts them."""

    def __init__(self, answer: bytes, then_close: bool) -> None:
        self.answer, self.then_close = answer, then_close
        self.served = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.served += 1
        self.transport.write(self.answer)
        if self.then_close:
            self.transport.close()


@asynccontextmanager
async def scripted(answer: bytes, then_close: bool = False) -> AsyncIterator[tuple[int, list[Scripted]]]:
    connections: list[Scripted] = []

    def connect() -> Scripted:
        connections.append(Scripted(answer, then_close))
        return connections[-1]

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], connections
    finally:
        server.close()


async def post(port: int, body: bytes, whole: Callable[[bytes], bool]) -> bytes:
    """Send a request and return all bytes of the answer, as they came over the wire."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        writer.write(generator.http_request(port, body))
        answer = b""
        while not whole(answer):
            piece = await asyncio.wait_for(reader.read(65536), 2)
            assert piece, "the connection was closed"
            answer += piece
    return answer


# ------------------------------------------------------------------------------------------------ traffic


def test_an_agents_request_is_as_large_as_it_is_said_to_be() -> None:
    body = traffic.agent_request()
    said = json.loads(body)
    assert (len(said["messages"]), len(said["tools"])) == (300, 25)
    assert 190_000 < len(body) < 210_000
    assert said["model"] == "gpt-bench"
    assert body == traffic.agent_request()


def test_an_answer_is_about_a_kilobyte_and_an_event_about_three_hundred_bytes() -> None:
    assert 900 < len(traffic.plain_answer()) < 1100
    event = traffic.stamped(7, False, 123)
    assert 280 < len(event) < 340
    assert json.loads(event.removeprefix(b"data: "))["choices"][0]["delta"]["content"]
    assert traffic.MARK.findall(event) == [(b"0007", b"0000000000000123")]


@pytest.mark.parametrize("load", LOADS.values(), ids=list(LOADS))
def test_the_upstream_finds_its_order_at_the_start_of_every_request(load: Load) -> None:
    assert traffic.order(load.body[: traffic.ORDER_WITHIN]) == (load.events, load.interval_ms)


# ----------------------------------------------------------------------------------------------- upstream


async def test_the_upstream_answers_a_request_that_comes_in_pieces() -> None:
    async with running_upstream() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with closing(writer):
            for byte in generator.http_request(port, LOADS["plain"].body):
                writer.write(bytes([byte]))
                await writer.drain()
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)
            assert head.startswith(b"HTTP/1.1 200 ")
            assert await asyncio.wait_for(reader.readexactly(len(traffic.plain_answer())), 2) == traffic.plain_answer()


async def test_the_upstream_sends_each_event_of_a_burst_in_a_chunk_of_its_own() -> None:
    async with running_upstream() as port:
        answer = await post(port, BURST.body, lambda got: got.endswith(b"\r\n0\r\n\r\n"))
    frames = [event for event in answer.split(b"\r\n") if event.startswith(b"data: ")]
    assert len(frames) == BURST.events + 2
    assert all(frame.endswith(b"\n\n") for frame in frames)
    assert frames[-1] == b"data: [DONE]\n\n"
    assert json.loads(frames[-2].removeprefix(b"data: "))["usage"]["total_tokens"] == 119


async def test_the_upstream_paces_a_stream_and_stamps_its_events() -> None:
    async with running_upstream() as port:
        before = generator.now_us()
        answer = await post(port, PACED.body, lambda got: got.endswith(b"\r\n0\r\n\r\n"))
    stamps = [int(stamp) for _, stamp in traffic.MARK.findall(answer)]
    assert len(stamps) == PACED.events
    assert before <= stamps[0] <= stamps[-1] <= generator.now_us()
    assert stamps[-1] - stamps[0] >= (PACED.events - 1) * PACED.interval_ms * 1000 - 2000


# ---------------------------------------------------------------------------------------------- generator


@pytest.mark.parametrize("load", [PLAIN, BURST, PACED], ids=lambda load: load.name)
async def test_the_generator_finds_right_answers_right(load: Load) -> None:
    async with running_upstream() as port:
        figures = await generator.generate(port, load, 0.1)
    assert figures.problems == []
    assert figures.failed == 0
    assert figures.requests >= load.connections
    assert figures.events == figures.requests * load.events
    assert figures.most_at_once == load.connections
    assert 0 < figures.p50_ms <= figures.p99_ms


async def test_the_generator_counts_what_the_server_served() -> None:
    answer = traffic.head("application/json", len(traffic.plain_answer())) + traffic.plain_answer()
    async with scripted(answer) as (port, connections):
        figures = await generator.generate(port, PLAIN, 0.1)
    assert len(connections) == PLAIN.connections
    assert figures.requests == sum(connection.served for connection in connections) > PLAIN.connections
    assert figures.rate == pytest.approx(figures.requests / figures.seconds)


async def test_without_a_time_the_generator_sends_one_request_a_connection() -> None:
    async with running_upstream() as port:
        figures = await generator.generate(port, PLAIN, 0)
    assert figures.requests == PLAIN.connections


async def test_the_generator_tells_how_late_events_are() -> None:
    late = [traffic.chunk(traffic.stamped(i, i == 4, generator.now_us() - 70_000)) for i in range(5)]
    answer = traffic.head("text/event-stream", None) + b"".join([*late, *map(traffic.chunk, traffic.ENDING)]) + traffic.LAST_CHUNK
    async with scripted(answer) as (port, _):
        figures = await generator.generate(port, PACED, 0)
    assert figures.failed == 0
    assert figures.late_p50_ms is not None
    assert figures.late_p99_ms is not None
    assert 70 <= figures.late_p50_ms <= figures.late_p99_ms < 2000


def stream(*frames: bytes) -> bytes:
    return traffic.head("text/event-stream", None) + b"".join(map(traffic.chunk, frames)) + traffic.LAST_CHUNK


def events(*numbers: int) -> list[bytes]:
    return [traffic.stamped(i, i == 19, 0) for i in numbers]


WRONG_STREAMS = {
    "a lost event": (stream(*events(*range(9), *range(10, 20)), *traffic.ENDING), "event 10 came where event 9 was due"),
    "a lost last event": (stream(*events(*range(19)), *traffic.ENDING), "19 of 20 events came"),
    "two swapped events": (stream(*events(*range(5), 6, 5, *range(7, 20)), *traffic.ENDING), "event 6 came where event 5 was due"),
    "a doubled event": (stream(*events(*range(8), 7, *range(8, 20)), *traffic.ENDING), "event 7 came where event 8 was due"),
    "no end marker": (stream(*events(*range(20)), traffic.ENDING[0]), "without its usage and end marker"),
    "no usage": (stream(*events(*range(20)), traffic.ENDING[1]), "without its usage and end marker"),
    "bytes that nobody sent": (stream(*events(*range(20)), b": hello\n\n", *traffic.ENDING), "bytes in place of"),
    "an error": (b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", "status 503: busy"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not an answer in HTTP"),
}


@pytest.mark.parametrize(("answer", "problem"), WRONG_STREAMS.values(), ids=list(WRONG_STREAMS))
async def test_the_generator_notices(answer: bytes, problem: str) -> None:
    async with scripted(answer) as (port, _):
        figures = await generator.generate(port, BURST, 0)
    assert figures.requests == 0
    assert figures.failed == BURST.connections
    assert problem in figures.problems[0]


async def test_the_generator_notices_a_stream_that_breaks_off() -> None:
    async with scripted(traffic.burst(20)[:3000], then_close=True) as (port, _):
        figures = await generator.generate(port, BURST, 0)
    assert figures.failed == BURST.connections
    assert "closed before the answer was whole" in figures.problems[0]


async def test_the_generator_notices_another_answer() -> None:
    async with scripted(traffic.head("application/json", 2) + b"{}") as (port, _):
        figures = await generator.generate(port, PLAIN, 0)
    assert "another answer: {}" in figures.problems[0]


async def test_the_generator_notices_that_nobody_listens() -> None:
    figures = await generator.generate(free_port(), PLAIN, 0)
    assert figures.failed == PLAIN.connections
    assert "no connection" in figures.problems[0]


@pytest.mark.parametrize("size", [1, 7, 333, 5000])
def test_an_answer_reads_the_same_however_it_is_cut(size: int) -> None:
    reader, check = generator.Reader(), generator.StreamCheck(20)
    answer = traffic.burst(20)
    stamps = [stamp for at in range(0, len(answer), size) for stamp in check.feed(reader.feed(answer[at : at + size]))]
    assert reader.done
    assert check.finish() is None
    assert stamps == [0] * 20


def test_percentiles_are_values_that_occurred() -> None:
    values = list(range(1, 201))
    assert generator.percentile(values, 0.5) == 101
    assert generator.percentile(values, 0.99) == 199
    assert generator.percentile([], 0.99) == 0


def test_paced_streams_do_not_tick_in_step() -> None:
    ramp, interval = 500, 20
    ticks = {int(generator.moment(n) * ramp % interval) for n in range(200)}
    assert len(ticks) == interval


# --------------------------------------------------------------------------------------------- accounting

BUSY_SECONDS = 0.2
BUSY = f"import time\nwhile time.process_time() < {BUSY_SECONDS}: pass\n"
TICKS_LOST = 0.05
"""User and system time of each process are counted in whole ticks, rounded down."""


@pytest.fixture
def parent() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a Python process with a program; it is ended after the test."""
    begun: list[subprocess.Popen[str]] = []

    def begin(text: str) -> subprocess.Popen[str]:
        begun.append(subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return begun[-1]

    yield begin
    for process in begun:
        process.communicate()


def test_cpu_time_of_a_tree_holds_that_of_children_that_have_ended(parent: Callable[[str], subprocess.Popen[str]]) -> None:
    process = parent(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}])\nprint('done', flush=True)\ninput()")
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "done\n"
    assert BUSY_SECONDS - TICKS_LOST <= accounting.cpu_seconds(process.pid) < 1
    process.stdin.write("\n")


def test_cpu_time_of_a_tree_holds_that_of_living_grandchildren(parent: Callable[[str], subprocess.Popen[str]]) -> None:
    grandchild = f"{BUSY}print('done', flush=True)\ninput()"
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {grandchild!r}])"
    process = parent(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])")
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "done\n"
    assert len(accounting.tree(process.pid)) == 3
    assert BUSY_SECONDS - TICKS_LOST <= accounting.cpu_seconds(process.pid) < 1
    process.stdin.write("\n")


def test_memory_of_a_tree_holds_what_its_children_allocate(parent: Callable[[str], subprocess.Popen[str]]) -> None:
    child = "held = bytearray(64 << 20)\nprint('done', flush=True)\ninput()"
    process = parent(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])")
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "done\n"
    found = accounting.memory(process.pid)
    assert 64 < found.rss < 128
    assert found.pss is None or 64 < found.pss <= found.rss
    process.stdin.write("\n")


def test_a_process_that_is_gone_has_no_figures() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(ProcessLookupError):
        accounting.cpu_seconds(process.pid)


# ------------------------------------------------------------------------------------ children and servers


def test_a_child_is_stopped_with_all_that_it_started_when_something_goes_wrong(tmp_path: Path) -> None:
    text = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)"
    with contextlib.suppress(KeyboardInterrupt), Child("parent", [sys.executable, "-c", text], tmp_path / "log") as child:
        tree = grown(child.pid, 2)
        raise KeyboardInterrupt
    assert all_end(tree)


def all_end(pids: list[int]) -> bool:
    """Tell whether processes are gone within a moment."""
    deadline = time.monotonic() + 5
    while any(_lives(pid) for pid in pids) and time.monotonic() < deadline:
        os.sched_yield()
    return not any(_lives(pid) for pid in pids)


def grown(pid: int, size: int) -> list[int]:
    """Return a process tree once it has `size` members."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        members = accounting.tree(pid)
        if len(members) >= size:
            return members
    raise AssertionError(f"there are never {size} processes")


def _lives(pid: int) -> bool:
    """Whether a process is there and does not merely wait for its end to be noticed."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def test_what_a_child_wrote_is_shown_when_it_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (
        Child("broken", [sys.executable, "-c", "raise SystemExit('no such luck')"], tmp_path / "log") as child,
        pytest.raises(ChildFailed, match=r"broken ended with code 1:\nno such luck"),
    ):
        child.wait_ready(free_port())
    assert "no such luck" in capsys.readouterr().err


def test_the_bare_proxy_is_the_one_that_older_figures_were_measured_with() -> None:
    servers.verify_pin(servers.BARE, servers.BARE_SHA256)


def test_a_bare_proxy_that_was_changed_is_refused(tmp_path: Path) -> None:
    changed = tmp_path / "bare_proxy.py"
    changed.write_bytes(servers.BARE.read_bytes() + b"\n")
    with pytest.raises(BenchError, match=r"bare_proxy\.py was changed"):
        servers.verify_pin(changed, servers.BARE_SHA256)


def test_the_runner_refuses_a_changed_proxy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(program, "BARE_SHA256", "0" * 64)
    assert program.main(["--servers", "bare", "--loads", "plain"]) == 2
    assert "was changed" in capsys.readouterr().err


async def test_the_bare_proxy_passes_everything_on_unchanged(tmp_path: Path) -> None:
    async with running_upstream() as port:
        started = Servers(tmp_path, [])
        started.upstream_port = port
        with await asyncio.to_thread(started.start, BARE_PROXY) as bare:
            for load in (PLAIN, BURST, PACED, msgspec.structs.replace(LOADS["agent"], connections=2)):
                figures = await generator.generate(bare.port, load, 0)
                assert figures.problems == []
                assert figures.requests == load.connections
            assert bare.cpu_seconds() > 0
            assert bare.memory().rss > 10


# ---------------------------------------------------------------------------------------------- observers


@pytest.mark.parametrize("plugin", [observer_def, observer_async], ids=lambda module: module.__name__.rpartition(".")[2])
def test_the_observers_are_at_every_stage_of_a_call(plugin: ModuleType) -> None:
    functions = {name: getattr(plugin, name, None) for name in HOOKS if not name.startswith("register_")}
    assert [name for name, function in functions.items() if function is None] == []
    assert {inspect.iscoroutinefunction(function) for function in functions.values()} == {plugin is observer_async}
    assert inspect.iscoroutinefunction(plugin._look) is (plugin is observer_async)


def test_an_observer_that_is_not_called_is_missed() -> None:
    both = list(servers.OBSERVERS)
    order = {"route_model": ["observer_async"], "pick_credential": ["observer_async", "round_robin"], "handle_usage": both}
    assert servers.absent_observers(order) == ["observer_def at route_model"]
    assert servers.absent_observers({"pick_credential": ["round_robin", "observer_async"]}) == ["observer_async at pick_credential"]


def test_the_configuration_has_one_key_one_provider_and_three_credentials() -> None:
    said = servers.configuration(9000, 9001, observers=False)
    assert [credential["provider"] for credential in said["credentials"]] == ["up"] * 3
    assert len({credential["key"] for credential in said["credentials"]}) == 3
    assert said["plugins"]["api_keys"]["keys"] == [{"name": "bench", "key": traffic.API_KEY}]
    assert not set(servers.OBSERVERS) & said["plugins"].keys()
    observed = servers.configuration(9000, 9001, observers=True)["plugins"]
    assert all(Path(observed[name]["path"]).is_file() for name in servers.OBSERVERS)


# ------------------------------------------------------------------------------------------ wrk and report


def test_what_wrk_reports_is_read() -> None:
    figures = wrk.read("Running 1s test\nfigures 9000 1500000 1600 2300 0 0 0 0 0\n")
    assert (figures.requests, figures.rate, figures.p50_ms, figures.p99_ms, figures.failed) == (9000, 6000, 1.6, 2.3, 0)


def test_errors_that_wrk_counts_are_failures() -> None:
    figures = wrk.read("figures 9000 1500000 1600 2300 0 2 0 7 0\n")
    assert figures.failed == 9
    assert figures.problems == ["2 errors of kind 'read'", "7 errors of kind 'status'"]
    assert wrk.read("", "unable to connect").failed == 1


@pytest.mark.skipif(not wrk.installed(), reason="wrk is not installed")
async def test_wrk_puts_the_same_request_on_a_server(tmp_path: Path) -> None:
    async with running_upstream() as port:
        figures = await asyncio.to_thread(wrk.generate, port, LOADS["burst"], 1, tmp_path)
    assert figures.problems == []
    assert figures.requests > 10


def sample(server: str, cpu_us: float, load: str = "plain") -> measure.Sample:
    figures = Figures(requests=100, seconds=1, rate=100, p50_ms=cpu_us / 10, p99_ms=cpu_us)
    return measure.Sample(load=load, server=server, cpu_us=cpu_us, cores=0.5, figures=figures, rss_mb=40, pss_mb=None)


def test_rows_are_medians_with_ratios_of_medians() -> None:
    costs = {DIRECT: [5.0], BARE_PROXY: [100.0, 300.0, 90.0], JACKFIELD: [120.0, 110.0, 400.0], WITH_PLUGINS: [132.0, 500.0, 126.0]}
    rows = {row.server: row for row in measure.summarize([sample(kind, cost) for kind, found in costs.items() for cost in found])}
    assert [rows[kind].cpu_us for kind in costs] == [5, 100, 120, 132]
    assert [rows[kind].ratio for kind in costs] == [None, 1, 1.2, 1.32]
    assert [rows[kind].ratio_to_plain for kind in costs] == [None, None, None, pytest.approx(1.1)]
    assert rows[BARE_PROXY].spread == pytest.approx(1.05)
    assert rows[JACKFIELD].requests == 300


def test_a_bar_is_broken_by_what_is_over_it() -> None:
    rows = measure.summarize([sample(BARE_PROXY, 100), sample(JACKFIELD, 124), sample(WITH_PLUGINS, 137)])
    bars = {bar.name: bar for bar in report.load_bars(rows)}
    assert bars["plain: CPU, times bare"].holds
    assert not bars["plain: CPU with plugins, times without"].holds


def test_a_load_without_bare_has_no_bar() -> None:
    assert report.load_bars(measure.summarize([sample(JACKFIELD, 124)])) == []


def test_the_bars_of_streams_see_loss_memory_and_lateness() -> None:
    held = streams.Endurance(
        server=JACKFIELD, streams=1000, most_at_once=1000, whole=999, events_sent=100_000, events=99_999, problems=["one"], late_p99_ms=1,
        seconds=3, idle_mb=40, peak_mb=80, after_mb=51, again_mb=51,
    )  # fmt: skip
    late = [
        streams.Lateness(server=kind, streams=500, cores=0.6, late_p50_ms=1, late_p99_ms=p99)
        for kind, p99 in ((BARE_PROXY, 4.0), (JACKFIELD, 16.1))
    ]
    bars = report.stream_bars(streams.Streams(endurance=[held], lateness=late))
    assert [bar.holds for bar in bars] == [True, False, False, False, False]
    good = msgspec.structs.replace(held, whole=1000, events=100_000, after_mb=49)
    assert all(bar.holds for bar in report.stream_bars(streams.Streams(endurance=[good], lateness=[])))


def test_the_number_of_streams_is_found_by_all_that_was_seen() -> None:
    assert streams.count_for(0.6, [(400, 0.4)]) == 600
    assert 500 < streams.count_for(0.6, [(400, 0.4), (400, 0.5), (600, 0.7)]) < 560


def test_what_help_should_not_import_is_found_in_the_report_of_imports() -> None:
    errors = (
        "import time: self [us] | cumulative | imported package\nimport time:       100 |        200 |     aiohttp.web\n"
        "import time: 1 | 1 | jackfield.cli.main\nimport time: 1 | 1 |   jackfield_defaults\nimport time: 1 | 1 | acme_router.rules\n"
    )
    modules = start.imported_modules(errors)
    assert start.unwanted(modules, {"acme_router"}) == ["acme_router.rules", "aiohttp.web"]


async def test_a_report_names_the_machine_and_can_be_read_back(tmp_path: Path) -> None:
    samples = [sample(BARE_PROXY, 100), sample(JACKFIELD, 130)]
    found = report.Report(machine=report.machine(), samples=samples, rows=measure.summarize(samples))
    said = report.text(found)
    assert f"{os.cpu_count()} cores" in said
    assert "aiohttp 3" in said
    assert "OVER" in said
    assert msgspec.json.decode(msgspec.json.encode(found), type=report.Report).rows == found.rows


def test_the_runner_says_which_loads_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["--loads", "plane"])
    assert "unknown: plane; known: plain, burst" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------- as a whole


def bench(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.bench", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_benchmark_measures_the_bare_proxy(tmp_path: Path) -> None:
    arguments = ("--servers", "bare", "--loads", "burst", "--runs", "1", "--seconds", "0.2", "--generator", "own", "--check")
    process = bench(*arguments, "--json", str(tmp_path / "figures.json"))
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    written = msgspec.json.decode((tmp_path / "figures.json").read_bytes(), type=report.Report)
    (row,) = written.rows
    assert (row.load, row.server, row.ratio) == ("burst", BARE_PROXY, 1)
    assert row.requests > 10
    assert f"{row.cpu_us:.0f}" in output


def test_the_benchmark_stops_its_children_when_it_is_stopped() -> None:
    process = bench("--servers", "bare", "--loads", "paced")
    tree = grown(process.pid, 3)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 130
    assert all_end(tree)


def test_no_child_outlives_a_benchmark_that_is_killed() -> None:
    process = bench("--servers", "bare", "--loads", "paced")
    tree = grown(process.pid, 3)
    process.kill()
    process.communicate(timeout=10)
    assert all_end(tree)


# ------------------------------------------------------------------------------------------------ translated


def test_a_translated_load_is_that_of_another_dialect_and_orders_the_same() -> None:
    said = json.loads(traffic.as_messages(traffic.agent_request()))
    assert len(said["messages"]) == 299
    assert len(said["tools"]) == 25
    assert {message["role"] for message in said["messages"]} == {"user", "assistant"}
    assert said["model"] == traffic.ordering_model(0, 0)
    assert LOADS["translated-burst"].path == "/v1/messages"
    assert traffic.order(LOADS["translated-burst"].body[: traffic.ORDER_WITHIN]) == (100, 0)


@pytest.mark.parametrize(
    ("stream", "problem"),
    [
        (b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":" the"}}\n\ndata: {"type":"message_stop"}\n\n', None),
        (b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":" he"}}\n\ndata: {"type":"message_stop"}\n\n', "says"),
        (b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":" the"}}\n\n', "ends with"),
    ],
    ids=["right", "other words", "no end"],
)
def test_the_words_of_a_translated_stream_are_checked(stream: bytes, problem: str | None) -> None:
    check = generator.TranslatedCheck(2)
    assert check.feed(stream[:20]) == []
    check.feed(stream[20:])
    found = check.finish()
    assert (found is None) if problem is None else (found is not None and problem in found)
