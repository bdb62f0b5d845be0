"""Who is answered: the guard in front of Gradio, by the headers that browsers and proxies send."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from workbench.config import PolicyConfig
from workbench.errors import ConfigError
from workbench.launch import Site
from workbench.ui.server import Guard

LOCAL = ("127.0.0.1", "localhost", "::1")
PUBLIC = "workbench.example.org"


def answer(headers: dict[str, str], path: str = "/", **settings: Any) -> Any:
    """The guard's answer to a POST."""
    routes = [Route("/{path:path}", lambda request: PlainTextResponse("fine"), methods=["POST"])]
    guard: Any = Guard(Starlette(routes=routes), **settings)
    return TestClient(guard, base_url="http://127.0.0.1:7860").post(path, headers=headers)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:7860", "origin": "http://localhost:7860"}, 200),
        ({"host": PUBLIC, "origin": f"http://{PUBLIC}"}, 200),
        ({"host": PUBLIC, "origin": f"https://{PUBLIC}", "x-forwarded-proto": "https"}, 200),
        ({"x-forwarded-host": PUBLIC, "origin": f"http://{PUBLIC}"}, 200),
        ({"x-forwarded-host": PUBLIC, "x-forwarded-proto": "https", "origin": f"https://{PUBLIC}"}, 200),
        ({"x-forwarded-host": f"{PUBLIC}, inner.example", "origin": f"http://{PUBLIC}"}, 200),
        ({"x-forwarded-host": f"{PUBLIC}:8443", "origin": f"http://{PUBLIC}:8443"}, 200),
        # Another site, however the proxy forwards it.
        ({"host": PUBLIC, "origin": "http://evil.example"}, 403),
        ({"x-forwarded-host": PUBLIC, "origin": "http://evil.example"}, 403),
        ({"x-forwarded-host": PUBLIC, "origin": f"http://{PUBLIC}:81"}, 403),
        ({"host": PUBLIC, "origin": "null"}, 403),
        # The same host by another scheme is another origin.
        ({"host": PUBLIC, "origin": f"https://{PUBLIC}"}, 403),
        ({"host": PUBLIC, "origin": f"http://{PUBLIC}", "x-forwarded-proto": "https"}, 403),
        # A proxy with its default headers asks under its own name for the backend.
        ({"host": "127.0.0.1:7860", "origin": f"http://{PUBLIC}"}, 403),
        # A name that was made to point here may say what it likes about who forwards.
        ({"host": "evil.example", "x-forwarded-host": PUBLIC}, 421),
        ({"host": "evil.example", "x-forwarded-host": "127.0.0.1"}, 421),
        ({"x-forwarded-host": "evil.example"}, 421),
    ],
)
def test_the_origin_is_the_host_that_was_asked_for(headers: dict[str, str], status: int) -> None:
    answered = answer(headers, hosts=(*LOCAL, PUBLIC))
    assert answered.status_code == status
    if status != 200:
        assert answered.text.count("\n") == 0 and "ehind a proxy" in answered.text and answered.text.endswith(".")


def test_a_whole_url_names_the_origin_for_a_proxy_that_forwards_nothing() -> None:
    url = f"https://{PUBLIC}/workbench"
    assert answer({"origin": f"https://{PUBLIC}"}, hosts=LOCAL, public_url=url).status_code == 200
    for origin in (f"http://{PUBLIC}", "https://example.org", url):
        assert answer({"origin": origin}, hosts=LOCAL, public_url=url).status_code == 403


def test_frames_and_files_are_refused_unless_they_are_named() -> None:
    assert "frame-ancestors 'none'" in answer({}).headers["content-security-policy"]
    framed = answer({}, embedded_in=("https://huggingface.co",)).headers["content-security-policy"]
    assert "frame-ancestors https://huggingface.co" in framed and "'none'" not in framed.partition("frame-anc")[2]
    assert answer({}, "/gradio_api/upload").status_code == 200
    refused = answer({}, "/gradio_api/upload/", uploads=False)
    assert refused.status_code == 403 and refused.text == "This page accepts no files."


def test_names_of_a_site() -> None:
    assert Site("127.0.0.1", 0).answered == LOCAL and Site("127.0.0.1", 0).is_local
    assert Site("0.0.0.0", 0).answered == ()  # any name, where it is open to a network
    assert Site("0.0.0.0", 0, names=(PUBLIC,)).answered == (*LOCAL, PUBLIC)
    behind = Site("127.0.0.1", 0, root_path=f"https://{PUBLIC}/workbench")
    assert behind.answered == (*LOCAL, PUBLIC) and not behind.is_local
    assert Site("127.0.0.1", 0, root_path="/workbench").is_local


@pytest.mark.parametrize("site", [Site("0.0.0.0", 0), Site("127.0.0.1", 0, names=(PUBLIC,))], ids=["host", "name"])
def test_only_what_changes_nothing_is_shown_without_a_password(site: Site) -> None:
    site.check(replay=True)
    with pytest.raises(ConfigError, match="lets others in; add --auth"):
        site.check()


def test_a_machine_that_does_not_know_localhost_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> list[object]:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ConfigError, match=r"localhost is not known on this machine; add the line"):
        Site("0.0.0.0", 0).check(replay=True)
    Site("127.0.0.1", 0).check()


def test_the_settings_of_a_policy_are_those_that_a_workbench_is_opened_with() -> None:
    import inspect

    from workbench import Workbench

    accepted = set(inspect.signature(Workbench.open).parameters) - {"run", "on_event"}
    assert set(PolicyConfig().arguments()) == accepted
