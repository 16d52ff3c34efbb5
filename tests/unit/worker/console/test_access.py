"""The console's access control, and its headers for browsers."""

import pytest

from tests.support.browser import Browser
from worker.console.access import Access
from worker.console.app import application
from worker.console.console import Console
from worker.settings import Settings

PASSWORD = "a long enough one: with a colon and an é"
FORM = {"action": "discard", "domain": "library", "id": "x"}


def browser(access: Access | None = None, *, allow_actions: bool = False) -> Browser:
    console = Console.of(Settings(amqp_url="amqp://a:b@127.0.0.1:1/x"), (), allow_actions=allow_actions)
    return Browser(app=application(console, access or Access()))


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8200", "127.0.0.1:9", "[::1]:8200", "[::1]", "10.0.0.7", "Console.Example:443"]
)
async def test_allowed_addresses_and_names_are_answered(host: str) -> None:
    asking = browser(Access(names={"console.example"}))
    asking.host = host
    assert (await asking.get("/commands")).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:8200",
        "",
        "a@localhost",
        "localhost/",
        "localhost:x",
        "[::1",
        "xn--localhost-",
    ],
)
async def test_dns_rebinding_is_refused(host: str) -> None:
    asking = browser()
    asking.host = host
    answer = await asking.get("/commands")
    assert (answer.status, "--allowed-host NAME" in answer.text) == (421, True)


async def test_every_response_has_security_headers() -> None:
    asking = browser(Access(password=PASSWORD))
    asking.password = PASSWORD
    addresses = ("/", "/commands", "/nothing", "/static/console.css")
    answers = [await asking.get(address) for address in addresses] + [await asking.post("/", {}, origin="http://evil")]
    asking.password = None
    answers.append(await asking.get("/"))
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'; ")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
    assert [answer.status for answer in answers] == [200, 200, 404, 200, 403, 401]


async def test_no_page_loads_external_resources_or_inline_scripts() -> None:
    asking = browser()
    for address in ("/", "/commands", "/events", "/followers", "/dead-letters", "/nothing"):
        text = (await asking.get(address)).text
        assert "//" not in text.replace("/static/", "").replace("http://www.w3.org", "").split("<main")[0], address
        assert " style=" not in text
        assert " on" not in {part[:3] for part in text.split("<")[1:] if "=" in part[:3]}
        assert "<script>" not in text


@pytest.mark.parametrize("given", [None, "", "wrong", PASSWORD[:-1], PASSWORD + "x"])
async def test_without_the_password_nothing_is_shown(given: str | None) -> None:
    asking = browser(Access(password=PASSWORD))
    asking.password = given
    for address in ("/", "/static/console.css", "/nothing"):
        answer = await asking.get(address)
        assert (answer.status, "<html" in answer.text) == (401, False)
        assert answer.headers["www-authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize("header", ["", "Basic", "Basic ???", "Basic YQ==", "Bearer YTpi", "Basic é"])
async def test_an_invalid_authorization_header_is_refused(header: str) -> None:
    assert (await browser(Access(password=PASSWORD)).get("/", authorization=header)).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:8201"},
        {"origin": "http://127.0.0.1"},
        {"origin": "null"},
        {"origin": "ftp://127.0.0.1:8200"},
        {"origin": "127.0.0.1:8200"},
        {},
        {"origin": "http://127.0.0.1:8200", "sec-fetch-site": "cross-site"},
        {"origin": "http://127.0.0.1:8200", "sec-fetch-site": "same-site"},
        {"origin": "http://127.0.0.1:8200", "sec-fetch-site": "none"},
    ],
)
async def test_cross_origin_requests_are_refused(headers: dict[str, str]) -> None:
    asking = browser(allow_actions=True)
    others = {name: value for name, value in headers.items() if name != "origin"}
    answer = await asking.post("/dead-letters", FORM, origin=headers.get("origin"), **others)
    assert (answer.status, "own pages" in answer.text) == (403, True)


async def test_a_read_only_console_refuses_actions() -> None:
    answer = await browser().post("/dead-letters", {**FORM, "token": "x"})
    assert (answer.status, "--allow-actions" in answer.seen) == (403, True)


@pytest.mark.parametrize("token", [{}, {"token": ""}, {"token": "x"}, {"token": ["x", "y"]}])
async def test_a_form_without_the_token_is_refused(token: dict[str, str | list[str]]) -> None:
    answer = await browser(allow_actions=True).post("/dead-letters", {**FORM, **token, "confirmed": "yes"})
    assert (answer.status, "load it again" in answer.seen) == (403, True)


async def test_a_body_that_is_no_form_is_refused() -> None:
    asking = browser(allow_actions=True)
    own = {"origin": "http://127.0.0.1:8200"}
    form = own | {"content-type": "application/x-www-form-urlencoded"}
    answers = [
        await asking.request("POST", "/dead-letters", headers=own | {"content-type": "text/plain"}, body=b"a=b"),
        await asking.request("POST", "/dead-letters", headers=form, body=b"\xff=1"),
        await asking.request("POST", "/dead-letters", headers=form, body=b"nothing"),
        await asking.request("POST", "/dead-letters", headers=form, body=b"a=" + b"x" * 70_000),
        await asking.request("POST", "/dead-letters", headers=form, body=b"&".join([b"a=b"] * 2000)),
        await asking.request("PUT", "/dead-letters", headers=form),
    ]
    assert [answer.status for answer in answers] == [415, 400, 400, 413, 400, 405]
