"""An HTTP client of a running page, as any program could be. Knows nothing of what the endpoints do."""

from __future__ import annotations

import html
import json
from typing import Any, Self

import httpx


class Refused(Exception):
    """The page refused; the message is its one sentence."""


class Broken(Exception):
    """The page answered as it never should: with a bug's bare error, not at all, or unreadably."""


class Page:
    """One client with its own connection; not thread-safe.

    `patience_s`: time to wait for one answer.
    """

    def __init__(self, address: str, patience_s: float = 600.0) -> None:
        self.http = httpx.Client(base_url=f"{address}gradio_api/", timeout=patience_s, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def endpoints(self, *, private: bool = False) -> dict[str, dict[str, Any]]:
        """Gradio's own description of the endpoints by name; the private ones by their number."""
        info = self.http.get("info", params={"all_endpoints": "true"} if private else {}).json()
        return {**info["named_endpoints"], **(info["unnamed_endpoints"] if private else {})}

    def ask(self, name: str, **values: Any) -> Any:
        """Call the named endpoint and return its answer. Raises Refused or Broken."""
        return self.result(f"call/v2/{name}", values)

    def result(self, path: str, body: Any) -> Any:
        """Post a request that joins the queue at `path` and return its answer. Raises Refused or Broken."""
        joined = self.http.post(path, json=body)
        if joined.status_code == 503:
            raise Refused(str(joined.json()["detail"]))
        try:
            event = joined.json()["event_id"]
        except (ValueError, KeyError, TypeError):
            raise Broken(f"{path} answered {joined.status_code}: {joined.text[:300]}") from None
        kind, data = self._ending(f"call/any/{event}")  # the event's id alone counts
        if kind == "complete":
            return data[0] if isinstance(data, list) and len(data) == 1 else data
        message = data.get("error") if isinstance(data, dict) else data
        if not message:
            raise Broken(f"{path} ended in a bug; see the page's own output")
        raise Refused(html.unescape(str(message)))

    def _ending(self, path: str) -> tuple[str, Any]:
        """The last event of a stream of server-sent events: its kind and its data."""
        kind, data = "", None
        with self.http.stream("GET", path) as stream:
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    data = json.loads(line.removeprefix("data: "))
                    if kind in ("complete", "error"):
                        return kind, data
        raise Broken(f"{path} ended without an answer")
