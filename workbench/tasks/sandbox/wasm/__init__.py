"""The WebAssembly tier: programs run by CPython compiled to WebAssembly, wherever wasmtime has a wheel.

An instance computes in a memory of its own and can call nothing but what `wasi.py` defines: two files in memory,
clocks, chance, and its own end. So there is nothing to forbid, and no facility of one system to rely on.

**In a helper process, not in threads.** Model-written code never runs inside the workbench, and it does not here:
`workers.py` talks to `worker.py`, a process without environment or files that alone loads wasmtime. An instance cannot
crash it by design, but a mistake in wasmtime could; then one job ends early instead of the workbench, and no secret of
the workbench was in reach. Memory that an instance took is the helper's, and goes with it. One helper makes one job at
a time, so that its processor time is the program's; as many helpers as processors run side by side. They are kept,
because each takes a quarter of a second to start, and each call of a program takes eight milliseconds.

**One start, many instances.** Starting Python in WebAssembly and importing what the harness needs takes a hundred
milliseconds, most of a call. So `worker.py` does it once, when the tier is prepared, and keeps the memory that is left;
a call begins with an instance of the same code that is given that memory, and runs `guest.wake`. Every call begins with
the same bytes, and nothing that a call does is in them.

**Time.** A program takes four to fifteen times as long as natively. So that no right one fails because of the tier,
processor time counts a sixteenth here (`workers.SLOWER`); time asleep counts in full. An endless loop is therefore
ended after 32 seconds where the other tiers need 2.
"""

from __future__ import annotations

from workbench.tasks.sandbox.wasm.cache import compiling
from workbench.tasks.sandbox.wasm.interpreter import missing
from workbench.tasks.sandbox.wasm.workers import run

__all__ = ["compiling", "missing", "run"]
