"""The sandbox, attacked: limits, and what a program must not reach, in every tier that this machine has."""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from sandbox_programs import call, has, value_of

from workbench.errors import ConfigError
from workbench.tasks.sandbox import Limits, choose_tier, run_python
from workbench.tasks.sandbox.run import DEFAULT_LIMITS, run_in_tier
from workbench.tasks.sandbox.tiers import BOUNDARIES, CANARY, TIERS, Tier

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="code is confined on Linux only")

QUICK = Limits(wall_s=0.6, cpu_s=1)


def test_endless_loop_runs_out_of_time(tier: Tier) -> None:
    start = time.monotonic()
    result = run_in_tier(tier, "def f():\n    while True: pass\n", [call(), call()], limits=QUICK)
    assert time.monotonic() - start < 3
    assert result.timed_out and result.outputs == (None, None)
    assert result.error is not None and result.error.startswith("TimeoutError: ")


def test_sleeping_runs_out_of_wall_clock_and_keeps_what_was_done(boundary: Tier) -> None:
    code = "import time\ndef f(s):\n    time.sleep(s)\n    return s\n"
    result = run_python(code, [call(0), call(60), call(0)], limits=Limits(wall_s=2.0))
    assert result.outputs == (0, None, None)
    assert result.timed_out and result.error == "TimeoutError: did not finish within 2 s"


def test_a_call_that_hardly_comes_to_run_gets_its_time_again() -> None:
    """As on a busy machine, which this one looks like: it wakes often, and uses little time."""
    if choose_tier() == "wasm":
        pytest.skip("in WebAssembly sleeping is told from waiting for a processor")
    body = "import time\nend = time.monotonic() + 0.8\nwhile time.monotonic() < end: time.sleep(0.005)\nreturn 'done'"
    assert value_of(body, limits=Limits(wall_s=0.5)).outputs == ("done",)


def test_processor_time_is_limited_before_the_wall_clock(boundary: Tier) -> None:
    result = run_python("def f():\n    return 10 ** 10 ** 8\n", [call(), call()], limits=Limits(wall_s=90.0, cpu_s=1))
    assert result.timed_out
    assert [str(error) for error in result.errors] == [
        "TimeoutError: used more than 1 s of processor time",
        "TimeoutError: not run: an earlier call ran out of time",
    ]


def test_ignored_signals_do_not_help(boundary: Tier) -> None:
    body = (
        "import signal\nfor n in range(1, 32):\n    try: signal.signal(n, signal.SIG_IGN)\n    except OSError: pass\n"
    )
    start = time.monotonic()
    wall_s = 0.2 if boundary == "wasm" else 1.5  # there time in which another process runs does not count
    assert value_of(body + "while True: pass", limits=Limits(wall_s=wall_s, cpu_s=5)).timed_out
    assert time.monotonic() - start < 4


@pytest.mark.parametrize("body", ["return len(bytearray(10 ** 10))", "x = []\nwhile True: x.append(bytes(10 ** 6))"])
def test_memory_is_limited(boundary: Tier, body: str) -> None:
    result = value_of(body)
    # An address has 32 bits in WebAssembly: there a size may be none at all.
    kinds = {"MemoryError", "OverflowError"} if boundary == "wasm" else {"MemoryError"}
    assert result.errors[0] is not None and result.errors[0].type in kinds


@pytest.mark.parametrize(
    "body",
    ["while True: print('x' * 1000)", "print('x' * 10 ** 8)", "open(1, 'w', closefd=False).write('x' * 10 ** 8)"],
)
def test_output_is_limited(boundary: Tier, body: str) -> None:
    result = value_of(body)
    assert result.error == "OutputLimitExceeded: wrote more than 1048576 bytes (line 2)"
    assert len(result.printed[0]) <= DEFAULT_LIMITS.printed_bytes


def test_a_report_that_is_too_long_is_cut(boundary: Tier) -> None:
    assert value_of("return 'x' * 2 ** 20").error == "OutputLimitExceeded: reported more than 1048576 bytes"


def test_a_flooded_report_is_cut(boundary: Tier) -> None:
    if boundary == "wasm":
        pytest.skip("a program in WebAssembly holds no descriptor that it could flood")
    body = "import os\nwhile True:\n    for n in range(3, 32):\n"
    body += "        try: os.write(n, b'x' * 10 ** 6)\n        except OSError: pass"
    result = value_of(body)
    assert result.outputs == (None,)
    assert result.error == "OutputLimitExceeded: reported more than 1048576 bytes"


def test_deep_recursion(boundary: Tier) -> None:
    assert str(value_of("return f()").errors[0]).startswith("RecursionError: maximum recursion depth exceeded")
    body = "import sys\nsys.setrecursionlimit(10 ** 9)\nreturn [f() for _ in range(1)]"
    assert value_of(body, limits=Limits(cpu_s=1)).outputs == (None,)


@pytest.mark.parametrize(
    "body",
    [
        "def g(n): return n and 1 + g(n - 1)\nreturn g(100_000)",
        "import functools\n@functools.cache\ndef g(n): return n and 1 + g(n - 1)\nreturn g(9_000)",
        "return len(str(10 ** 9_999)) * 10",
    ],
)
def test_python_s_own_limits_on_depth_and_digits_are_lifted(boundary: Tier, body: str) -> None:
    assert value_of(body).outputs[0] in (9_000, 100_000)


def test_nothing_is_inherited_from_the_environment(tier: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    body = (
        "import os\ndef f():\n    environment = dict(os.environ)\n    try:\n        import ctypes\n"
        "    except ImportError:\n        return [environment, str(os.getenv('HF_TOKEN'))]\n"
        "    getenv = ctypes.CDLL(None).getenv\n    getenv.restype = ctypes.c_char_p\n"
        "    return [environment, str(getenv(b'HF_TOKEN'))]\n"
    )
    result = run_in_tier(tier, body, [call()], limits=DEFAULT_LIMITS)
    assert result.outputs == ([{}, "None"],)


@pytest.mark.parametrize("name", BOUNDARIES)
def test_files_outside_can_be_neither_read_nor_written(name: Tier, tmp_path: Path) -> None:
    if not has(name):
        pytest.skip(f"this machine has no {name} tier")
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    mode = secret.stat().st_mode
    code = (
        "import os\n"
        "def read(p):\n    return open(p).read()\n"
        "def write(p):\n    open(p, 'w').write('x')\n"
        "def chmod(p):\n    os.chmod(p, 0o777)\n"
        "def own():\n    open('mine', 'w').write('x')\n    return open('mine').read()\n"
    )
    outside = [str(secret), "/etc/passwd", "/proc/1/environ", "/proc/self/mem", str(Path(__file__).resolve())]
    calls = [{"function": "read", "args": [path]} for path in outside]
    calls += [
        {"function": "write", "args": [str(path)]} for path in (secret, tmp_path / "new", "/usr/x", "/x", "/dev/x")
    ]
    calls += [{"function": "chmod", "args": [str(secret)]}]
    result = run_in_tier(name, code, [*calls, {"function": "own", "args": []}], limits=DEFAULT_LIMITS)
    assert result.outputs == (*[None] * len(calls), None)  # nor is there a place of its own to write
    assert secret.read_text() == "secret" and secret.stat().st_mode == mode
    assert [path.name for path in tmp_path.iterdir()] == ["secret.txt"]


def test_no_processes_threads_signals_or_sockets(tier: Tier) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    code = (
        "import os\n"
        "def fork():\n    os.fork()\n"
        "def thread():\n    import threading\n    threading.Thread(target=print).start()\n"
        "def run():\n    import subprocess\n    subprocess.run(['/usr/bin/true'])\n"
        "def execute():\n    os.execv('/usr/bin/true', ['true'])\n"
        "def signal_all():\n    os.kill(-1, 9)\n"
        "def signal_parent():\n    os.kill(os.getppid(), 9)\n"
        f"def connect():\n    import socket\n    socket.create_connection(('127.0.0.1', {listener.getsockname()[1]}))\n"
        "def unix():\n    import socket\n    socket.socket(socket.AF_UNIX)\n"
        "def own_namespace():\n    import ctypes\n    assert ctypes.CDLL(None).unshare(0x10000000) == 0\n"
    )
    names = ["fork", "thread", "run", "execute", "signal_all", "signal_parent", "connect", "unix", "own_namespace"]
    with listener:
        calls = [{"function": name, "args": []} for name in names]
        result = run_in_tier(tier, code, calls, limits=DEFAULT_LIMITS)
    errors = {name: error.type for name, error in zip(names, result.errors, strict=True) if error is not None}
    if tier == "wasm":  # where most of these functions do not exist
        assert set(errors) == set(names)
        return
    refused = dict.fromkeys(names, "PermissionError")
    assert errors == {**refused, "thread": "RuntimeError", "own_namespace": "AssertionError"}


def descendants() -> set[tuple[int, int]]:
    """(pid, start time) of every living process below this one; zombies included."""
    rows: dict[int, tuple[int, int]] = {}  # pid -> (parent, start time in clock ticks)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            after_name = stat.read_text().rpartition(")")[2].split()
            rows[int(stat.parent.name)] = (int(after_name[1]), int(after_name[19]))
    below = {os.getpid()}
    while more := {pid for pid, (parent, _) in rows.items() if parent in below} - below:
        below |= more
    return {(pid, rows[pid][1]) for pid in below - {os.getpid()}}


def alive(processes: set[tuple[int, int]]) -> set[int]:
    running = set()
    for pid, started in processes:
        with suppress(OSError):
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if int(after_name[19]) == started and after_name[0] != "Z":  # a zombie only waits for its adopter
                running.add(pid)
    return running


def test_nothing_outlives_the_run(tier: Tier) -> None:
    if tier == "wasm":
        pytest.skip("its helper processes stay; tests/test_sandbox_wasm.py looks at what stays in them")
    code = "import time\ndef f():\n    time.sleep(60)\n"
    run = Thread(target=run_in_tier, args=(tier, code, [call()]), kwargs={"limits": Limits(wall_s=2.0)})
    before, started = descendants(), set()
    run.start()
    while run.is_alive():
        started |= descendants() - before
        time.sleep(0.05)
    assert len(started) >= 2  # the harness and the call's own process were there
    deadline = time.monotonic() + 2
    while alive(started) and time.monotonic() < deadline:  # the kernel ends a namespace a moment after its parent
        time.sleep(0.01)
    assert alive(started) == set()


def test_the_tier_is_the_strongest_that_holds() -> None:
    holding = [name for name in TIERS if has(name)]
    assert choose_tier() == holding[0]
    assert run_python("def f(): return 1", [call()]).tier == holding[0]


def test_the_canary_finds_open_doors(tmp_path: Path) -> None:
    """The rlimits tier leaves files open, and the canary must say so when it looks at them."""
    secret, landmark = tmp_path / "secret", tmp_path / "landmark"
    secret.write_text("secret")
    probe = {"function": "probe", "args": [str(secret), str(landmark), True]}
    result = run_in_tier("rlimits", CANARY, [probe], limits=DEFAULT_LIMITS)
    assert {"read a file outside", "write a file outside"} <= set(result.outputs[0])


def test_limits_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="cpu_s is 0"):
        Limits(cpu_s=0)
