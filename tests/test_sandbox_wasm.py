"""The WebAssembly tier: what only it has, from the interpreter's file and its cache to the helper processes."""

from __future__ import annotations

import ast
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_programs import call, has

from workbench.errors import ConfigError, SandboxError
from workbench.records import Task
from workbench.session.rounds import Attempt
from workbench.tasks import judge
from workbench.tasks.sandbox import Limits, SandboxResult, choose_tier, confinement, run, tiers, use_tier, wasm
from workbench.tasks.sandbox.run import DEFAULT_LIMITS, run_in_tier
from workbench.tasks.sandbox.wasm import binary, cache, interpreter, workers
from workbench.ui.tabs.round.attempts import cards

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(not has("wasm"), reason=wasm.missing() or "the WebAssembly tier does not hold here")


@pytest.fixture
def in_wasm() -> Iterator[None]:
    """Code runs in WebAssembly."""
    use_tier("wasm")
    yield
    use_tier("auto")


def run_here(body: str, *args: object, limits: Limits = DEFAULT_LIMITS) -> SandboxResult:
    lines = "\n".join("    " + line for line in body.splitlines())
    return run_in_tier("wasm", f"def f(*args):\n{lines}\n", [call(*args)], limits=limits)


# Programs --------------------------------------------------------------------------------------------------------


def test_it_is_another_python_than_this_one() -> None:
    facts = run_here("import sys\nreturn [sys.platform, sys.version.split()[0], sys.maxsize]").outputs[0]
    assert facts == ["wasi", "3.12.0", 2**31 - 1]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("return f()", "RecursionError"),
        ("class A:\n    def __repr__(self): return repr(self)\nreturn repr(A())", "RecursionError"),
        ("def g(x): return list(map(g, [1]))\nreturn g(1)", "RecursionError"),
        ("import functools\n@functools.cache\ndef g(n): return g(n + 1)\nreturn g(0)", "RecursionError"),
        ("def g(x): return sorted([x], key=g)\nreturn g(1)", "RecursionError"),
        ("class A:\n    def __getattr__(self, name): return getattr(self, name)\nreturn A().x", "RecursionError"),
        ("class A:\n    def __eq__(self, other): return [self] == [other]\nreturn A() == A()", "RecursionError"),
        ("x = []\nfor _ in range(10 ** 5): x = [x]\nreturn x", "ReturnError"),
        ("return eval('(' * 10000 + ')' * 10000)", "MemoryError"),
        ("import os\nos.abort()", "ExitedEarly"),
        ("import sys\nsys.setrecursionlimit(10 ** 9)\nreturn f()", "MemoryError"),
    ],
)
def test_recursion_is_an_error_of_the_program(body: str, kind: str) -> None:
    limits = Limits(memory_bytes=128 * 2**20, wall_s=60.0)
    error = run_here(body, limits=limits).errors[0]
    assert error is not None and error.type in {kind, "SystemError" if kind == "MemoryError" else kind}
    assert run_here("return 1").outputs == (1,)


def test_memory_grows_up_to_the_limit_and_is_given_back() -> None:
    body = "x = []\ntry:\n    while True: x.append(bytearray(2 ** 20))\nexcept MemoryError: return len(x)"
    limits = Limits(memory_bytes=128 * 2**20, wall_s=60.0)
    held = run_here(body, limits=limits).outputs[0]
    assert 60 < held < 128
    assert run_here(body, limits=limits).outputs[0] == held  # nothing is left of the first


def test_a_program_that_waits_for_input_gets_its_end() -> None:
    assert run_here("import sys\nreturn [sys.stdin.read(), sys.stdin.readline()]").outputs == (["", ""],)
    script = "import select, sys\nprint(select.select([sys.stdin], [], [], 5)[0] == [sys.stdin])\nprint(repr(input()))"
    result = run_in_tier("wasm", script, [{"stdin": "a\n"}], limits=DEFAULT_LIMITS)
    assert result.outputs == ("True\n'a'\n",)
    assert str(run_here("return input()").errors[0]) == "EOFError: EOF when reading a line (line 2)"


def test_standard_output_cannot_speak_for_the_harness() -> None:
    forged = json.dumps({"call": 0, "said": json.dumps({"value": 9}), "printed": "", "ended": 0, "done": True})
    for descriptor in (0, 1, 2):
        body = f"import os\ntry: os.write({descriptor}, {forged!r}.encode() + b'\\n')\nexcept OSError: pass\nreturn 1"
        assert run_here(body).outputs == (1,)
    result = run_here(f"print({forged!r}, flush=True)\nimport os\nos._exit(0)")
    assert result.errors[0] is not None and result.errors[0].type == "ExitedEarly" and forged in result.printed[0]


@pytest.mark.parametrize(
    "body",
    [
        "import os\nos.write(1, bytes(2 ** 30))",
        "import os\nos.writev(1, [b'x' * 1000] * 1000) and os.writev(1, [b'x' * 1000] * 1000)",
        "import os\nos.lseek(1, 2 ** 60, 0)\nos.write(1, b'x')",
        "import os\nos.pwrite(1, b'x', 2 ** 62)",
        "open(1, 'r+b', buffering=0, closefd=False).truncate(2 ** 40)",
        "import os\nreturn os.read(0, 2 ** 31 - 1) and 1",
        "import time\ntime.sleep(10 ** 9)",
        "import random\nwhile True: random.SystemRandom().random()",
    ],
)
def test_the_host_is_not_led_astray_by_large_numbers(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "SLOWER", 1)
    started = time.monotonic()
    result = run_here(body, limits=Limits(wall_s=1.0, cpu_s=1))
    assert result.outputs == (None,) or result.outputs[0] in ([], None, b"")
    assert time.monotonic() - started < 20 and run_here("return 1").outputs == (1,)


def test_time_asleep_counts_in_full_and_computing_a_fraction(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = "i = 0\nwhile i < 10 ** 6: i += 1\nreturn i"
    assert run_here(loop, limits=Limits(cpu_s=1)).outputs == (10**6,)
    asleep = run_here("import time\ntime.sleep(60)", limits=Limits(wall_s=0.3))
    assert asleep.timed_out and asleep.error == "TimeoutError: did not finish within 0.3 s"
    monkeypatch.setattr(workers, "SLOWER", 0.02)  # as if computing counted fifty times instead of a sixteenth
    assert run_here(loop, limits=Limits(cpu_s=1)).error == "TimeoutError: used more than 1 s of processor time"


def test_a_check_runs_apart_from_the_program_that_it_checks() -> None:
    check = "def check(candidate):\n    assert candidate([3, 1]) == [1, 3]\n    assert candidate([]) == []\n"
    calls = [{"check": check, "function": "f"}]

    def outcome(code: str) -> SandboxResult:
        return run_in_tier("wasm", code, calls, limits=DEFAULT_LIMITS)

    assert outcome("import sys\ndef f(xs):\n    print('{', file=sys.stderr)\n    return sorted(xs)").outputs == (True,)
    wrong = outcome("def f(xs): return xs").errors[0]
    assert wrong is not None and (wrong.type, wrong.last) == ("AssertionError", "f([3, 1]) returned [3, 1]")
    for cheat in (
        "import os\ndef f(xs): os._exit(0)",
        "import builtins\nbuiltins.AssertionError = int\ndef f(xs): 1",
    ):
        assert outcome(cheat).outputs == (None,)


@pytest.mark.parametrize("line", ["b'nonsense\\n'", "b'[' * 10 ** 5 + b'\\n'", "b'[1]\\n'", "b'x' * 2 ** 25"])
def test_nonsense_from_a_check_ends_that_check_alone(line: str) -> None:
    check = f"import os\ndef check(candidate):\n    candidate(1)\n    os.write(2, {line})\n    candidate(1)\n"
    calls = [{"check": check, "function": "f"}, call(3)]
    result = run_in_tier("wasm", "def f(x): return x", calls, limits=DEFAULT_LIMITS)
    assert result.outputs == (None, 3) and result.errors[0] is not None


# What it lacks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "lack"),
    [
        ("import numpy", "imports numpy"),
        ("import numpy.linalg as la", "imports numpy"),
        ("from multiprocessing import Pool\nPool()", "imports multiprocessing"),
        ("import ctypes", "imports ctypes"),
        ("import threading\nthreading.Thread(target=print).start()", "starts a thread"),
        ("from concurrent.futures import ProcessPoolExecutor", "imports concurrent"),
        ("import os\nos.getppid()", "uses os.getppid"),
        ("from os import getppid", "uses os.getppid"),
        ("import signal\nsignal.alarm(9)", "uses signal.alarm"),
    ],
)
@pytest.mark.usefixtures("in_wasm")
def test_what_cannot_run_there_is_no_failure(body: str, lack: str) -> None:
    result = run_here(body)
    assert result.refused == f"not judged: the program {lack}, and the WebAssembly tier cannot do that"
    task = Task("t/1", "Do it.", "python", {"tests": [{"function": "f", "args": [], "expected": 1}]})
    lines = "\n".join("    " + line for line in body.splitlines())
    judged = judge(task, f"def f():\n{lines}\n    return 1\n")
    assert (judged.passed, judged.feedback, judged.parts) == (False, "", ())
    assert judged.details == {"tier": "wasm", "refused": result.refused}


WORK_NOWHERE = [
    "import nosuchmodule",
    "raise ImportError('No module named numpy')",
    "import f.g",
    "import os\nos.nosuchname",
    "from os import nosuchname",
    "raise AttributeError('module \\'builtins\\' has no attribute \\'nosuchname\\'')",
    "raise AttributeError('module \\'antigravity\\' has no attribute \\'webbrowser\\'')",
]


@pytest.mark.parametrize("body", WORK_NOWHERE)
def test_an_import_that_works_nowhere_is_a_failure(body: str) -> None:
    result = run_here(body)
    assert result.error is not None and result.refused is None


def test_a_task_that_asks_for_packages_is_not_run_there() -> None:
    result = run_in_tier("wasm", "def f(): return 1", [call()], limits=DEFAULT_LIMITS, packages=("numpy",))
    assert result.outputs == (None,) and result.refused is not None and "may use numpy" in result.refused


def test_the_card_of_an_attempt_without_a_verdict_says_why() -> None:
    attempt = Attempt(
        "a", "t/1", "g", "root", (), (1,), "x", (0.0,), True, 1.0, 0.0, False, "", details={"refused": "so"}
    )
    assert cards([attempt], None, None, [None], None, None, ())["rows"][0]["feedback"] == "so"


# Choosing it -----------------------------------------------------------------------------------------------------


def test_a_person_chooses_the_tier_and_the_attempt_stores_it() -> None:
    task = Task("t/1", "Double.", "python", {"tests": [{"function": "f", "args": [2], "expected": 4}]})
    for name in filter(has, tiers.BOUNDARIES):
        use_tier(name)
        assert judge(task, "def f(x): return 2 * x").details["tier"] == name == choose_tier()
        assert confinement() == tiers.DESCRIPTIONS[name]
    use_tier("auto")
    assert choose_tier() == next(filter(has, tiers.TIERS))


def test_the_order_of_the_tiers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tiers.TIERS == ("bubblewrap", "landlock", "wasm", "rlimits")
    monkeypatch.setattr(run, "why_not", lambda tier: None if tier == "wasm" else "elsewhere")
    use_tier("auto")
    try:
        assert choose_tier() == "wasm" and "WebAssembly" in confinement()
    finally:
        monkeypatch.undo()
        use_tier("auto")


def test_an_unknown_or_absent_tier_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"There is no tier 'docker' of the sandbox; choose auto, bubblewrap"):
        use_tier("docker")
    with pytest.raises(ConfigError):
        use_tier("rlimits")  # only by --allow-unsafe-exec
    monkeypatch.setattr(tiers.shutil, "which", lambda name: None)
    with pytest.raises(SandboxError, match="bubblewrap is not installed; install it with: apt install bubblewrap"):
        use_tier("bubblewrap")
    monkeypatch.setattr(tiers, "_ON_LINUX", False)
    with pytest.raises(SandboxError, match="The tier landlock needs Linux; choose wasm"):
        use_tier("landlock")
    monkeypatch.setattr(interpreter, "PACKAGE", "no-such-package-here")
    interpreter._path.cache_clear()
    with pytest.raises(SandboxError, match="needs the package no-such-package-here, which is not installed"):
        use_tier("wasm")
    interpreter._path.cache_clear()


def test_a_stored_run_runs_no_code() -> None:
    program = (
        "from workbench.tasks.sandbox import confinement, forbid, run_python\n"
        "forbid()\nprint(confinement())\nrun_python('', [])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("This page shows a stored run and runs no code")
    assert "SandboxError: This page shows a stored run" in done.stderr


@pytest.mark.usefixtures("in_wasm")
def test_preparing_says_so_while_it_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    run.prepare(said.append)
    assert said == [tiers.DESCRIPTIONS["wasm"]]
    use_tier("wasm")  # again, with a tier that is still being compiled
    go_on = run.threading.Event()

    def compiling(tier: object) -> list[str]:
        cache.compiling.set()
        go_on.wait(60)
        cache.compiling.clear()
        return []

    monkeypatch.setattr(run, "open_doors", compiling)
    run.prepare(said.append)
    assert said[1:] == [tiers.PREPARING] == [confinement()]
    go_on.set()
    while len(said) < 3:
        time.sleep(0.01)
    assert said[2] == tiers.DESCRIPTIONS["wasm"]


# The interpreter and the cache -----------------------------------------------------------------------------------


def test_another_interpreter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "python.wasm"
    data = bytearray(interpreter.read())
    data[len(data) // 2] ^= 1
    other.write_bytes(data)
    monkeypatch.setattr(interpreter, "_path", lambda: other)
    with pytest.raises(
        SandboxError, match="is not the file that this workbench was made for, so it is not run; install"
    ):
        interpreter.read()
    monkeypatch.setattr(interpreter, "_path", lambda: tmp_path / "gone.wasm")
    with pytest.raises(SandboxError, match=r"cannot be read .*; install it"):
        interpreter.read()


@pytest.mark.parametrize("data", [b"", b"\0asm\x01\0\0\0", b"MZ" + bytes(100)])
def test_what_is_no_such_module_is_refused(data: bytes) -> None:
    with pytest.raises(SandboxError, match="is not the kind of module that it should be"):
        binary.split(data, {}, {})


def test_numbers_of_the_binary_format_come_back() -> None:
    for value in (0, 1, 63, 64, 127, 128, 8191, 8192, 65535, 2**21 - 1, 2**27, 2**31 - 65536):
        assert binary._unsigned(binary._number(value), 0)[0] == value
        assert binary._unsigned(binary._signed(value), 0)[0] == value
        assert binary._signed(value)[-1] < 0x40  # positive when it is read as a signed number
    assert binary.without_zeros(bytes(4096) + b"a" + bytes(8191) + b"b" * 4096) == [
        (4096, b"a" + bytes(4095)),
        (12288, b"b" * 4096),
    ]


class Makes:
    """Takes the place of the helper that compiles: gives what is in the real cache, and counts."""

    def __init__(self) -> None:
        self.parts = dict(zip(("compile", "start"), cache.prepared(), strict=True))
        self.made: list[str] = []

    def __call__(self, command: str, *_: bytes) -> bytes:
        self.made.append(command)
        return self.parts[command]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, with an empty cache."""
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "cache" / "wasm")
    monkeypatch.setattr(cache, "key_file", lambda: tmp_path / "data" / "cache.key")
    return tmp_path


@pytest.fixture
def makes(monkeypatch: pytest.MonkeyPatch) -> Makes:
    helper = Makes()
    monkeypatch.setattr(cache, "_helper", helper)
    return helper


def test_what_was_compiled_is_kept_and_used_again(makes: Makes, home: Path) -> None:
    first = cache.prepared()
    assert cache.prepared() == first and makes.made == ["compile", "start"]
    kept = sorted((home / "cache" / "wasm").glob("*.bin"))
    assert [file.name.partition("-")[0] for file in kept] == ["code", "start"]
    if os.name == "posix":
        assert {file.stat().st_mode & 0o777 for file in (*kept, home / "data" / "cache.key")} == {0o600}
    assert cache.prepared(anew=True) == first and makes.made == ["compile", "start"] * 2


def tampered(content: bytes) -> dict[str, bytes]:
    seal, data = content[:32], content[32:]
    return {
        "a flipped bit": content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
        "another seal": bytes(32) + data,
        "no seal": data,
        "more at the end": content + b"\0",
        "less at the end": content[:-1],
        "empty": b"",
        "a seal alone": seal,
        "sealed with another key": cache._seal(b"k" * 32, "code-0", data) + data,
    }


def test_a_tampered_cache_is_never_loaded(makes: Makes, home: Path) -> None:
    good = cache.prepared()
    code, start = sorted((home / "cache" / "wasm").glob("*.bin"))
    content = code.read_bytes()
    for what, changed in tampered(content).items():
        makes.made.clear()
        code.write_bytes(changed)
        assert cache.prepared() == good and makes.made == ["compile"], what
        assert code.read_bytes() == content, what
    code.write_bytes(start.read_bytes())  # sealed by the right key, but for another name
    makes.made.clear()
    assert cache.prepared() == good and makes.made == ["compile"]


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such modes")
def test_a_key_that_others_can_read_is_replaced(makes: Makes, home: Path) -> None:
    cache.prepared()
    key = home / "data" / "cache.key"
    old = key.read_bytes()
    key.chmod(0o644)
    makes.made.clear()
    cache.prepared()
    assert makes.made == ["compile", "start"] and key.read_bytes() != old and key.stat().st_mode & 0o777 == 0o600
    key.write_bytes(b"short")
    cache.prepared()
    assert len(key.read_bytes()) == 32


def test_a_home_that_cannot_be_written_works(makes: Makes, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").write_text("")
    for read_only in ("cache_folder", "key_file"):
        monkeypatch.setattr(cache, read_only, lambda: home / "file" / "below")  # as root, no mode would stop us
        makes.made.clear()
        assert cache.prepared() == tuple(makes.parts.values()) and makes.made == ["compile", "start"]
    made = workers.Workers()
    assert made.run("def f(): return 7", [call()], DEFAULT_LIMITS).outputs == (7,)
    made.close()


def test_old_versions_are_removed(makes: Makes, home: Path) -> None:
    folder = home / "cache" / "wasm"
    folder.mkdir(parents=True)
    for number in range(9):
        (folder / f"code-{number}.bin").write_text("")
        os.utime(folder / f"code-{number}.bin", (number, number))
    cache.prepared()
    assert len(list(folder.glob("*.bin"))) == 6 and not (folder / "code-3.bin").exists()


def test_two_processes_that_start_at_once_do_not_clash(home: Path) -> None:
    """Both find an empty cache and really start the interpreter; its code is there already, to save the time."""
    code = real_code()
    program = (
        "import sys\nfrom pathlib import Path\nfrom workbench.tasks.sandbox.wasm import cache\n"
        "home = Path(sys.argv[1])\ncache.cache_folder = lambda: home / 'c'\ncache.key_file = lambda: home / 'k'\n"
        "helper = cache._helper\n"
        "def _helper(command, *given):\n"
        "    print(command)\n"
        "    return Path(sys.argv[2]).read_bytes() if command == 'compile' else helper(command, *given)\n"
        "cache._helper = _helper\n"
        "print(len(cache.prepared()[1]) > 10 ** 6)\n"
    )
    compiled = home / "compiled"
    compiled.write_bytes(code)
    command = [sys.executable, "-c", program, str(home), str(compiled)]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate()[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert [output[-1] for output in outputs] == ["True", "True"]
    assert len(list((home / "c").glob("*.bin"))) == 2 and not list((home / "c").glob(".new-*"))


def real_code() -> bytes:
    """The interpreter's code: this user's, or compiled here where their home keeps none."""
    folder = Path(cache.platformdirs.user_cache_path("sdpo-workbench")) / "wasm"
    key = Path(cache.platformdirs.user_data_path("sdpo-workbench")) / "cache.key"
    name = f"code-{cache._version(cache._CODE_SOURCES)}.bin"
    code = cache._read(folder / name, key.read_bytes()) if key.is_file() else None
    return code or cache._helper("compile", interpreter.read())


def test_code_of_another_processor_is_compiled_anew(makes: Makes, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache holds what its owner sealed, but wasmtime does not take it."""
    good = dict(makes.parts)
    makes.parts["compile"] = good["compile"][: len(good["compile"]) // 2]
    cache.prepared()
    makes.parts = good
    made = workers.Workers()
    assert made.run("def f(): return 7", [call()], DEFAULT_LIMITS).outputs == (7,)
    assert makes.made == ["compile", "start"] * 2
    made.close()


def test_an_interpreter_that_cannot_be_compiled_is_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "read", lambda: b"nonsense")
    with pytest.raises(SandboxError, match=r"could not be compiled .*not the kind of module"):
        cache.prepared()


# Helper processes ------------------------------------------------------------------------------------------------


def test_a_helper_that_dies_costs_one_program() -> None:
    made = workers.Workers()
    assert made.run("def f(): return 1", [call()], DEFAULT_LIMITS).outputs == (1,)
    made._free[0]._process.kill()
    made._free[0]._process.wait()
    assert made.run("def f(): return 2", [call()], DEFAULT_LIMITS).outputs == (2,)  # in another one
    helper = made._free[0]
    run.threading.Timer(0.3, helper._process.kill).start()
    result = made.run("import time\ndef f(x):\n    time.sleep(x)\n    return x", [call(0), call(30)], DEFAULT_LIMITS)
    assert result.outputs == (0, None) and result.errors[1] is not None and result.errors[1].type == "ExitedEarly"
    assert made.run("def f(): return 3", [call()], DEFAULT_LIMITS).outputs == (3,)
    made.close()


def test_a_helper_that_does_not_end_a_job_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_GRACE_S", 0.0)
    made = workers.Workers()
    limits = Limits(wall_s=0.2, cpu_s=1)
    monkeypatch.setattr(Limits, "total_s", lambda self, n: 0.02)
    job_times = "import time\ndef f():\n    time.sleep(5)\n"
    monkeypatch.setattr(workers, "SLOWER", 0.0001)
    result = made.run(job_times, [call()], limits)
    assert result.timed_out and not made._free
    made.close()


def test_a_helper_has_no_environment_and_ends_with_the_workbench(monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import os, sys\nfrom workbench.tasks.sandbox.run import run_in_tier, DEFAULT_LIMITS\n"
        "from workbench.tasks.sandbox.wasm import workers\n"
        "run_in_tier('wasm', 'def f(): return 1', [{'function': 'f', 'args': []}], limits=DEFAULT_LIMITS)\n"
        "helper = workers._workers._free[0]._process.pid\nprint(helper, flush=True)\n"
        "if os.path.exists(f'/proc/{helper}/environ'): print(open(f'/proc/{helper}/environ').read().split('\\0'))\n"
        "sys.stdout.flush()\nos._exit(0)\n"
    )
    environment = {**os.environ, "HF_TOKEN": "hf_secret"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, env=environment)
    helper, *variables = done.stdout.splitlines()
    assert done.returncode == 0 and "hf_secret" not in done.stdout
    if variables:
        assert {entry.partition("=")[0] for entry in ast.literal_eval(variables[0])} <= {
            "PYTHONPATH",
            "SYSTEMROOT",
            "LC_CTYPE",
            "",
        }
    deadline = time.monotonic() + 20
    while Path(f"/proc/{helper}").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{helper}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.02)
    else:
        assert not Path(f"/proc/{helper}").exists()


def test_programs_run_side_by_side_and_do_not_meet() -> None:
    programs = [(f"x = {number}\ndef f(): return x\n", [call()] * 3) for number in range(12)]
    use_tier("wasm")
    try:
        results = run.run_many([*programs], workers=4)
    finally:
        use_tier("auto")
    assert [result.outputs for result in results] == [(number,) * 3 for number in range(12)]


def test_eight_attempts_are_judged_within_a_second() -> None:
    programs = [(f"def f(xs):\n    return sorted(xs)[:{n}]\n", [call([3, 1, 2])] * 6) for n in range(8)]
    use_tier("wasm")
    try:
        choose_tier()
        seconds = []
        for _ in range(5):  # the best of five: the machine may be busy with something else
            started = time.monotonic()
            run.run_many(programs)
            seconds.append(time.monotonic() - started)
            if seconds[-1] <= 1.0:
                return
    finally:
        use_tier("auto")
    if os.getloadavg()[0] > (os.cpu_count() or 1):
        pytest.skip(f"the machine is busy (load {os.getloadavg()[0]:.1f}): took {min(seconds):.1f} s")
    assert min(seconds) <= 1.0


def test_the_name_of_a_machine_is_part_of_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    here = cache._version(cache._CODE_SOURCES)
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert cache._version(cache._CODE_SOURCES) != here
