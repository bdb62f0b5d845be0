#!/bin/sh
# The steps of tests/minimal_container.sh inside the minimal system, as its ordinary user, in a fresh clone.
set -eu

echo "== Who and where"
id
touch "$HOME/file" 2>/dev/null && { echo "the home can be written to" >&2; exit 1; }
python3 --version

open_page() {  # LOG TEXT COMMAND...: start a page, wait until it prints the text
    log=$1 text=$2; shift 2
    "$@" >"$log" 2>&1 &
    page=$!
    trap 'kill $page 2>/dev/null || true; cat "$log"' EXIT
    until grep -q "$text" "$log"; do kill -0 $page; sleep 1; done
}
close_page() {
    trap - EXIT
    kill $page  # make ends what it started
    wait $page || true
    cat "$log"
}

echo "== make app"
open_page page.log "SDPO Workbench is at" make app  # everything is installed first, which takes minutes

echo "== A round through the page"
.venv/bin/python - <<'END'
import time
from workbench.benchmarks.client import Page

with Page("http://127.0.0.1:7860/") as page:
    while page.ask("status")["state"] == "loading":
        time.sleep(0.5)
    task = "house-rules/sort-take-1"
    attempts = page.ask("sample", task=task, n=8)["attempts"]
    tiers = {attempt["details"]["tier"] for attempt in attempts}
    failed = next(attempt for attempt in attempts if not attempt["passed"])
    page.ask("credit", attempt=failed["id"])
    report = page.ask("update", attempts=[attempt["id"] for attempt in attempts])
    page.ask("undo")
    print(f"{len(attempts)} attempts, confined by {tiers}; update {report['update_id']}, undone")
    assert tiers == {"wasm"}
END
close_page

echo "== The first notebook, cell by cell"
PYTHONPATH="$PWD" .venv/bin/jupyter execute notebooks/01_first_round.ipynb
.venv/bin/python -m workbench verify --run runs/first-round
open_page lab.log "is running at" make notebooks ARGS="--no-browser --port 7862"
close_page

echo "== The replay, with neither model nor sandbox"
.venv/bin/python -m workbench export run.zip --run runs/demo
.venv/bin/python -m workbench import run.zip runs/replayed
.venv/bin/python -m workbench verify --run runs/replayed
open_page replay.log "SDPO Workbench is at" .venv/bin/python -m workbench app --replay runs/replayed --port 7861
.venv/bin/python - <<'END'
import time
from workbench.benchmarks.client import Page

with Page("http://127.0.0.1:7861/") as page:
    while page.ask("status")["state"] == "loading":
        time.sleep(0.5)
    print(f"{len(page.ask('attempts', task='house-rules/sort-take-1'))} attempts are shown")
END
close_page

echo "== The report"
.venv/bin/python -m workbench doctor --report

echo "== make test"
exec make test ARGS="$*"
