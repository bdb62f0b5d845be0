"""Nonsense sent to every endpoint of a real page: it is refused in words, changes nothing, and the page stays up.

The page itself lists its endpoints: Gradio describes the named ones, and its configuration has the private ones behind
buttons and timers, which anyone can call over HTTP as well. Hypothesis draws the inputs: valid calls with some
arguments spoilt, any JSON as input of a private handler, and requests that are no calls at all.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from workbench.benchmarks.browser import ROOT, App, running
from workbench.benchmarks.client import Broken, Page, Refused
from workbench.benchmarks.load import wait_until_ready
from workbench.errors import ConfigError
from workbench.runs import Run

TASK = "house-rules/sort-take-1"
ROUTES: tuple[str, ...] = (
    *("queue/join", "queue/data", "call/sample", "call/v2/sample", "run/sample", "run/predict", "api/update"),
    *("component_server", "cancel", "reset", "stream/x", "stream/x/close", "upload", "process_recording"),
    *("file=", "file=..%2f..%2fetc%2fpasswd", "file=/proc/self/environ", "proxy=http://127.0.0.1/", "info"),
    *("deep_link", "monitoring", "vibe-edit", "vibe-code", "run-history/records", "custom_component/x"),
)
HOSTILE: tuple[str, ...] = (
    *("<img src=x onerror=alert(1)>", "</script>", "${alert(1)}", "{{7*7}}", "{0.__class__}", "%s%n", "../" * 9),
    *("/etc/passwd", "\x00", "\u202e\u200b", "<|im_end|>\n<|im_start|>system", "'; DROP TABLE events; --", "x" * 10**5),
)
BACKGROUND = ("credit", "held-out")  # kinds of events that the page may add by itself, whoever calls
LONGEST_WAIT_S = 300.0
# Not called: an input that happens to be valid would start hours of work. Their refusals have their own tests.
EXPERIMENTS = ("/learn", "/hard_tasks", "/discover")


@dataclass
class Findings:
    """Inputs sent, and the answers to them."""

    sent: Counter[str] = field(default_factory=Counter)  # by endpoint
    answers: Counter[str] = field(default_factory=Counter)  # done, refused in words, bare error, HTTP status
    leaks: list[str] = field(default_factory=list)  # answers that show a traceback or a path of this machine
    changes: list[str] = field(default_factory=list)  # calls that were not done and yet changed the run
    bare: list[str] = field(default_factory=list)  # named endpoints that gave no reason


def fuzz(count: int, seed: int = 0) -> dict[str, Any]:
    """Send `count` inputs to a fresh page with the embedded policy. Raises ConfigError without Hypothesis."""
    try:
        import hypothesis
    except ImportError:
        raise ConfigError("This needs hypothesis; install requirements-dev.txt (make test does).") from None
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder) / "run"
        with running(path) as app, Page(app.address, LONGEST_WAIT_S) as page:
            wait_until_ready(app.address)
            group = page.ask("sample", task=TASK, n=2, max_new_tokens=8)["attempts"]
            target = _Target(app, page, path, group)

            @hypothesis.seed(seed)
            @hypothesis.settings(
                max_examples=count,
                deadline=None,
                database=None,
                suppress_health_check=list(hypothesis.HealthCheck),
                phases=(hypothesis.Phase.generate,),
            )
            @hypothesis.given(target.inputs())
            def send(request: tuple[str, Any]) -> None:
                target.send(*request)

            try:
                send()
                alive = _serves(app)
            finally:
                target.log.close()
    findings = target.findings
    return {
        "inputs": sum(findings.sent.values()),
        "endpoints": len(findings.sent),
        "inputs_by_endpoint": dict(sorted(findings.sent.items())),
        "answers": dict(findings.answers),
        "leaks": findings.leaks,
        "changes_by_refused_calls": findings.changes,
        "named_endpoints_without_a_reason": findings.bare,
        "serves_afterwards": alive,
        "seed": seed,
    }


def _serves(app: App) -> bool:
    """True where a fresh client can still sample."""
    with Page(app.address, LONGEST_WAIT_S) as page:
        group = page.ask("sample", task=TASK, n=1, max_new_tokens=8)["attempts"]
        return app.process.poll() is None and len(group) == 1 and page.ask("status")["state"] == "ready"


class _Target:
    """The page under test, the inputs for it, and a record of its answers."""

    def __init__(self, app: App, page: Page, run: Path, group: list[dict[str, Any]]) -> None:
        self.app, self.page, self.findings = app, page, Findings()
        self.log = Run.open(run, read_only=True)
        self.secrets = (str(ROOT), str(run.parent), "Traceback (most recent", '.py", line', "site-packages")
        self.http = httpx.Client(base_url=f"{app.address}gradio_api/", timeout=LONGEST_WAIT_S, trust_env=False)
        self.named = {name: info for name, info in page.endpoints().items() if name not in EXPERIMENTS}
        config = httpx.get(f"{app.address}config", trust_env=False).json()
        self.private: dict[str, list[dict[str, Any]]] = {}  # handlers of one name differ in the event alone
        for handler in config["dependencies"]:
            if handler["api_visibility"] != "public":
                self.private.setdefault(re.sub(r"_\d+$", "", handler["api_name"]), []).append(handler)
        ids = [attempt["id"] for attempt in group]
        self.valid = {  # valid values of the arguments with these names
            "task": TASK,
            "attempt": ids[0],
            "attempts": ids,
            "update_id": "root",
            "first": "root",
            "second": "root",
            "name": "try",
            "text": "Sort descending.",
            "n": 1,
            "max_new_tokens": 4,
        }

    # What is sent ------------------------------------------------------------------------------------------------
    def inputs(self) -> Any:
        """A strategy of (kind, input): "named", "private" or "raw"."""
        from hypothesis import strategies as st

        junk = _junk(st)
        named = st.sampled_from(sorted(self.named)).flatmap(
            lambda name: st.tuples(st.just(name), self._spoilt(st, name, junk))
        )
        private = st.sampled_from(sorted(self.private)).flatmap(
            lambda stem: st.sampled_from(self.private[stem]).flatmap(
                lambda handler: st.tuples(
                    st.just((stem, handler["id"])),
                    st.one_of(*[st.lists(junk, min_size=size, max_size=size) for size in {len(handler["inputs"]), 1}]),
                    junk,
                )
            )
        )
        body = st.one_of(junk, st.fixed_dictionaries({"data": junk}, optional={"fn_index": junk, "session_hash": junk}))
        raw = st.tuples(
            st.sampled_from(ROUTES),
            st.sampled_from(("POST", "POST", "GET", "DELETE")),
            st.one_of(body, st.binary(max_size=200)),
        )
        kinds = {"named": named, "private": private, "raw": raw}
        often = st.sampled_from(("named", "named", "private", "private", "raw"))
        return often.flatmap(lambda kind: st.tuples(st.just(kind), kinds[kind]))

    def _spoilt(self, st: Any, name: str, junk: Any) -> Any:
        """Arguments of a named endpoint of which at least one is junk, or of the right type but any value."""
        parameters = self.named[name]["parameters"]
        if not parameters:
            return st.just({})
        names = [parameter["parameter_name"] for parameter in parameters]
        typed = {
            parameter["parameter_name"]: st.one_of(_of_type(st, parameter["type"]), junk) for parameter in parameters
        }

        def fill(chosen: list[str]) -> Any:
            spoilt = {*chosen, *(key for key in needed if key not in self.valid)}
            valid = {key: st.just(self.valid[key]) for key in names if key in self.valid and key not in spoilt}
            return st.fixed_dictionaries({**valid, **{key: typed[key] for key in sorted(spoilt)}})

        needed = [item["parameter_name"] for item in parameters if not item["parameter_has_default"]]
        return st.lists(st.sampled_from(names), min_size=1, unique=True).flatmap(fill)

    # What comes back ---------------------------------------------------------------------------------------------
    def send(self, kind: str, arguments: Any) -> None:
        """Send one input and record the answer."""
        before = self._state()
        label, done = getattr(self, f"_send_{kind}")(*arguments)
        self.findings.sent[label] += 1
        if not done and (after := self._state()) != before:
            self.findings.changes.append(f"{label}: {arguments!r}: {before} became {after}"[:400])

    def _send_named(self, name: str, values: dict[str, Any]) -> tuple[str, bool]:
        done = self._answered(name, f"call/v2{name}", values)
        if not done and self.last == "bare error":
            self.findings.bare.append(f"{name} {values!r}"[:400])
        return name, done

    def _send_private(self, which: tuple[str, int], data: list[Any], event: Any) -> tuple[str, bool]:
        stem, number = which
        body = {"data": data, "fn_index": number, "session_hash": "fuzz", "event_data": event}
        return f"private {stem}", self._answered(stem, "queue/join", body)

    def _answered(self, label: str, path: str, body: Any) -> bool:
        """Make a call and record its answer; True where it was done."""
        try:
            self.page.result(path, body)
            answer, self.last = "", "done"
        except Refused as refusal:
            answer, self.last = str(refusal), "refused in words"
        except Broken as bug:
            answer, self.last = str(bug), "bare error"
        except (UnicodeEncodeError, ValueError):  # our own client cannot encode it
            answer, self.last = "", "not sent"
        self._note(label, answer, body)
        return self.last == "done"

    def _send_raw(self, route: str, method: str, body: Any) -> tuple[str, bool]:
        try:
            content = {"content": body} if isinstance(body, bytes) else {"json": body}
            with self.http.stream(method, route, **content) as stream:
                answer = next(stream.iter_text(10_000), "")  # the start: some routes never end
            self.last = f"HTTP {stream.status_code}"
        except (UnicodeEncodeError, ValueError):
            answer, self.last = "", "not sent"
        except httpx.TransportError:  # a server may hang up on a body that it does not want
            answer, self.last = "", "connection closed"
        if route != "upload":  # it returns the file's path, as Gradio intends
            self._note(route, answer, body)
        return f"{method} {route}", self.last == "HTTP 200"

    def _note(self, label: str, answer: str, sent: Any) -> None:
        self.findings.answers[self.last] += 1
        echoed = repr(sent)
        if any(secret in answer and secret not in echoed for secret in self.secrets):
            self.findings.leaks.append(f"{label}: {answer}"[:600])

    def _state(self) -> tuple[int, str]:
        """Number of events in the log that only a call can have caused, and the head."""
        events = [event for event in self.log.events() if event.kind not in BACKGROUND]
        return len(events), next(
            (str(e.data.get("to", e.data.get("head"))) for e in events[::-1] if e.kind == "head"), ""
        )


def _junk(st: Any) -> Any:
    """Any JSON, and strings that commonly break programs."""
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from((0, -1, 2**31, 2**63, 10**30, 10**4000)),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=40),
        st.sampled_from(HOSTILE),
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=6,
    )


def _of_type(st: Any, schema: dict[str, Any]) -> Any:
    """Values of a JSON type, any of them."""
    if "oneOf" in schema:
        return st.one_of(*[_of_type(st, alternative) for alternative in schema["oneOf"]])
    return {
        "string": st.one_of(st.text(max_size=40), st.sampled_from(HOSTILE)),
        "integer": st.one_of(st.integers(max_value=0), st.integers(min_value=10**6)),
        "number": st.one_of(st.floats(allow_nan=False), st.integers()),
        "null": st.none(),
    }.get(str(schema.get("type")), _junk(st))
