"""`app.py`, which is the command `app`, from outside: exit status and one sentence for each mistake."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What importing and building the page must do without: the models' libraries, and Gradio's type stubs.
LEAN = """
import ast, sys
from workbench.launch import WithoutStubs
sys.meta_path.insert(0, WithoutStubs())
ast.get_source_segment = None  # what the stubs are cut out with
from workbench.service import make_queue
from workbench.ui import build_ui
queue = make_queue(lambda: None)
build_ui(queue, "run")
queue.close()  # it was never started
print(sorted({"torch", "transformers", "peft", "bitsandbytes", "scipy", "plotly"} & set(sys.modules)))
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "app.py"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def said(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr.strip().splitlines()[-1]


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        sentence = said(run("--port", str(port), "--run", str(tmp_path / "run")))
    assert sentence.startswith(f"Port {port} on 127.0.0.1 cannot be used") and sentence.endswith("with --port.")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--host", "0.0.0.0"], "add --auth"),
        (["--port", "99999"], "cannot be used"),
        (["--auth", "nobody"], "NAME:PASSWORD"),
        (["--host", "0.0.0.0", "--auth", "a:b", "--allow-unsafe-exec"], "forbids --allow-unsafe-exec"),
        (["--host", "0.0.0.0", "--auth", "a:b", "--replay", "x", "--allow-unsafe-exec"], "forbids --allow-unsafe-exec"),
        (["--name", "example.org"], "Answering to other names lets others in; add --auth"),
        (["--root-path", "https://example.org/wb"], "Answering to other names lets others in; add --auth"),
        (["--name", "https://example.org", "--auth", "a:b"], "give a host's name alone"),
        (["--root-path", "workbench"], "give a path such as /workbench"),
        (["--embedded-in", "example.org/page"], "give an origin such as"),
        (["--quantization", "int3"], "quantization is 'int3'; choose one of"),
        (["--lora-rank", "0"], "LoRA rank is 0"),
        (["--adapter", "a", "--lora-rank", "8"], "give one of the two"),
        (["--thinking=maybe"], "see --help"),
    ],
)
def test_impossible_flags_are_refused_before_anything_starts(arguments: list[str], sentence: str) -> None:
    assert sentence in said(run(*arguments))


def test_the_page_is_built_without_the_models_and_without_stubs() -> None:
    done = subprocess.run([sys.executable, "-c", LEAN], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_a_model_that_cannot_be_opened_ends_the_page(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    result = run("--port", str(port), "--run", str(tmp_path / "run"), "--model", str(tmp_path / "no-model-here"))
    assert "no-model-here" in said(result)
