"""The outbound client against a real server; only name resolution is patched."""

import asyncio
import gc
import logging
import socket
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import pytest

from handrail.core.outbound import (
    Answer,
    CallFailed,
    NeedsPerson,
    OutboundClient,
    OutboundPool,
    OutcomeUnknown,
    RetryLater,
)
from tests.scripted_partner import DROP, HANG, ScriptedPartner, reply, run_scripted_partner

SECRET = "sk-alice-4711"
HEADERS = {"X-API-Key": SECRET}
T = TypeVar("T")


@pytest.fixture
def partner() -> Iterator[ScriptedPartner]:
    with run_scripted_partner() as partner:
        yield partner


@pytest.fixture
def pool(partner: ScriptedPartner) -> OutboundPool:
    return OutboundPool(allowed_private_hosts=[partner.host_port], total_seconds=1.0)


def bind(pool: OutboundPool, partner: ScriptedPartner, **options: Any) -> OutboundClient:
    url = f"http://127.0.0.1:{partner.port}/base/"
    return pool.bind(provider="alice", base_url=url, secrets=[SECRET], **options)


def run(pool: OutboundPool, work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        try:
            return await work()
        finally:
            await pool.close()

    return asyncio.run(main())


def ask(pool: OutboundPool, client: OutboundClient, method: str = "POST", **options: Any) -> Answer:
    return run(pool, lambda: client.request_json(method, "/x", headers=HEADERS, **options))


def fail(pool: OutboundPool, client: OutboundClient, method: str = "POST", **options: Any) -> Any:
    with pytest.raises(CallFailed) as caught:
        ask(pool, client, method, **options)
    return caught.value


def test_a_call_carries_json_there_and_back(pool: OutboundPool, partner: ScriptedPartner) -> None:
    partner.answer(reply(201, {"studentId": "s-1"}, Content_Type="text/html"))
    answer = ask(
        pool, bind(pool, partner), body={"name": "Zoë"}, query={"email": "a+b@example.org"}
    )
    assert answer == Answer(201, {"studentId": "s-1"})
    [request] = partner.requests
    assert (request.method, request.path) == ("POST", "/base/x")
    assert request.query == {"email": "a+b@example.org"}
    assert request.json == {"name": "Zoë"}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-api-key"] == SECRET
    assert request.headers["accept-encoding"] == "identity"


def test_an_empty_answer_is_no_data(pool: OutboundPool, partner: ScriptedPartner) -> None:
    partner.answer(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert ask(pool, bind(pool, partner), "DELETE") == Answer(204, None)


def test_a_status_that_is_taken_is_returned_with_the_partners_words(
    pool: OutboundPool, partner: ScriptedPartner
) -> None:
    partner.answer(reply(409, {"message": f"exists for {SECRET}", "id": "e-1"}))
    answer = ask(pool, bind(pool, partner), accept=(409,))
    assert answer.data["id"] == "e-1"
    assert answer.words == "409: exists for [hidden]"
    partner.answer(reply(404, body=b"<h1>Not found</h1>"))
    answer = ask(pool, bind(pool, partner), "GET", accept=(404,))
    assert answer == Answer(404, None, "404: Not found")


def test_connections_are_kept_and_shared(pool: OutboundPool, partner: ScriptedPartner) -> None:
    async def call_twenty_times() -> None:
        for _ in range(10):
            await bind(pool, partner).request_json("POST", "/x", headers=HEADERS, body={})
            await bind(pool, partner).request_json("GET", "/x", headers=HEADERS)

    run(pool, call_twenty_times)
    assert len(partner.requests) == 20
    assert partner.connections == 1


def test_cookies_and_proxies_of_the_environment_are_not_used(
    partner: ScriptedPartner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    partner.answer(reply(200, {}, Set_Cookie="session=1; Path=/"))
    # By its name: a cookie jar may keep none for a bare address.
    pool = OutboundPool(allowed_private_hosts=[("localhost", partner.port)])
    client = pool.bind(provider="alice", base_url=f"http://localhost:{partner.port}")

    async def call_twice() -> None:
        await client.request_json("GET", "/x", headers=HEADERS)
        await client.request_json("GET", "/x", headers=HEADERS)

    run(pool, call_twice)
    assert "cookie" not in partner.requests[1].headers


# What can go wrong: what happened for certain, what may have, what a person must mend.


def test_a_refusal_carries_the_partners_words_without_secrets(
    pool: OutboundPool, partner: ScriptedPartner
) -> None:
    partner.answer(reply(422, {"message": f"course closed, key {SECRET}"}))
    error = fail(pool, bind(pool, partner))
    assert isinstance(error, NeedsPerson)
    assert (error.cause, error.words) == ("refused", "422: course closed, key [hidden]")


def test_too_many_requests_pauses_the_provider(
    pool: OutboundPool, partner: ScriptedPartner
) -> None:
    partner.answer(reply(429, {"message": "slow down"}, Retry_After="30"))
    error = fail(pool, bind(pool, partner))
    assert isinstance(error, RetryLater)
    assert (error.reason, error.after_seconds, error.outage) == ("429: slow down", 30.0, True)
    assert "alice" in pool.open_circuits()
    assert pool.open_circuits() == {"alice"}
    error = fail(pool, bind(pool, partner))
    assert isinstance(error, RetryLater)
    assert error.after_seconds is not None
    assert 25 < error.after_seconds <= 30
    assert len(partner.requests) == 1


def test_unavailable_without_a_time_is_an_outage(
    pool: OutboundPool, partner: ScriptedPartner
) -> None:
    partner.answer(reply(503))
    error = fail(pool, bind(pool, partner))
    assert isinstance(error, RetryLater)
    assert (error.after_seconds, error.outage) == (None, True)
    assert "alice" not in pool.open_circuits()


UNKNOWN = {
    "no answer": HANG,
    "half an answer": b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{",
    "dropped": DROP,
    "500": reply(500, {"message": "oops"}),
    "502": reply(502),
    "504": reply(504),
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "headers without end": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n",
    "too long": reply(201, body=b'"' + b"x" * 1024 * 1024 + b'"'),
    "too long, in chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"100000\r\n" + b" " * 0x100000 + b"\r\n" + b"2\r\n{}\r\n0\r\n\r\n",
    "not JSON": reply(201, body=b"<html>created</html>"),
    "see there": reply(303, Location="/elsewhere"),
}

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
REFUSED = {
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length and chunks": OK + b"Content-Length: 2\r\n" + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunks and length": OK + CHUNKED + b"Content-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "two codings": OK + CHUNKED + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n",
    "unknown coding": OK + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "line ends without CR": b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
    "many headers": OK + b"X: y\r\n" * 200 + b"\r\n",
    "many interim responses": b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + OK + b"\r\n",
    "another protocol": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "chunk too big": OK + CHUNKED + b"\r\n" + b"f" * 20 + b"\r\n{}",
    "status 000": b"HTTP/1.1 000 No\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "packed": OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
    "small chunks": OK + CHUNKED + b"\r\n" + b"1;" + b"x" * 2_000_000 + b"\r\n",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_response_that_could_be_read_in_two_ways_or_has_no_end_is_refused(
    pool: OutboundPool, partner: ScriptedPartner, kind: str
) -> None:
    partner.answer(REFUSED[kind])
    start = time.monotonic()
    error = fail(pool, bind(pool, partner))
    assert isinstance(error, OutcomeUnknown)
    assert "in time" not in error.reason, time.monotonic() - start


@pytest.mark.parametrize(
    "answer",
    [
        OK + CHUNKED + b"\r\n1\r\n{\r\n1\r\n}\r\n0\r\nRetry-After: 9\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + reply(200, {}),
    ],
)
def test_trailers_and_interim_responses_are_passed_over(
    pool: OutboundPool, partner: ScriptedPartner, answer: bytes
) -> None:
    partner.answer(answer, answer)

    async def call_twice() -> list[Answer]:
        client = bind(pool, partner)
        return [await client.request_json("POST", "/x", headers=HEADERS) for _ in range(2)]

    assert run(pool, call_twice) == [Answer(200, {})] * 2
    assert partner.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, {}) + reply(200, {"forged": 1}),
        reply(200, {}) + b"garbage",
        reply(200, {}, Connection="close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_a_connection_that_cannot_be_trusted_further_is_not_used_again(
    pool: OutboundPool, partner: ScriptedPartner, answer: bytes
) -> None:
    partner.answer(answer, reply(200, {"n": 2}))

    async def call_twice() -> list[Answer]:
        client = bind(pool, partner)
        return [await client.request_json("POST", "/x", headers=HEADERS) for _ in range(2)]

    assert run(pool, call_twice) == [Answer(200, {}), Answer(200, {"n": 2})]
    assert partner.connections == 2


@pytest.mark.parametrize("kind", UNKNOWN)
def test_what_may_have_happened_is_unknown(
    pool: OutboundPool, partner: ScriptedPartner, kind: str
) -> None:
    partner.answer(UNKNOWN[kind])
    assert isinstance(fail(pool, bind(pool, partner)), OutcomeUnknown)
    assert len(partner.requests) == 1


@pytest.mark.parametrize("kind", sorted(set(UNKNOWN) - {"see there"}))
def test_a_read_that_broke_is_read_again(
    pool: OutboundPool, partner: ScriptedPartner, kind: str
) -> None:
    partner.answer(*[UNKNOWN[kind]] * 2)  # a dropped read is repeated once by the connection
    error = fail(pool, bind(pool, partner), "GET")
    assert isinstance(error, RetryLater)
    assert error.outage == (kind not in {"too long", "too long, in chunks", "not JSON"})


def test_a_harmless_post_is_treated_as_a_read(pool: OutboundPool, partner: ScriptedPartner) -> None:
    partner.answer(reply(500))
    assert isinstance(fail(pool, bind(pool, partner), harmless=True), RetryLater)


def test_no_connection_means_that_it_did_not_happen(partner: ScriptedPartner) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening: refused
        port = taken.getsockname()[1]
        pool = OutboundPool(allowed_private_hosts=[("127.0.0.1", port)])
        client = pool.bind(provider="alice", base_url=f"http://127.0.0.1:{port}")
        error = fail(pool, client)
    assert isinstance(error, RetryLater)
    assert error.outage


def test_a_listener_that_does_not_take_the_connection_is_given_up() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        pool = OutboundPool(allowed_private_hosts=[("127.0.0.1", port)], total_seconds=0.6)
        client = pool.bind(provider="alice", base_url=f"http://127.0.0.1:{port}")
        waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(1)]
        try:
            error = fail(pool, client)
        finally:
            for each in waiting:
                each.close()
    assert isinstance(error, RetryLater)
    assert error.outage


def test_an_answer_that_drips_is_cut_off_in_time(
    pool: OutboundPool, partner: ScriptedPartner
) -> None:
    partner.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n" + b" " * 20)
    start = time.monotonic()
    fail(pool, bind(pool, partner))
    assert time.monotonic() - start < 2


def test_a_redirect_is_not_followed(pool: OutboundPool, partner: ScriptedPartner) -> None:
    partner.answer(reply(307, Location=f"http://127.0.0.1:{partner.port}/elsewhere"))
    error = fail(pool, bind(pool, partner))
    assert isinstance(error, NeedsPerson)
    assert error.cause == "redirect"
    assert len(partner.requests) == 1


def test_a_credential_with_a_line_break_is_a_matter_of_configuration(
    pool: OutboundPool, partner: ScriptedPartner
) -> None:
    client = bind(pool, partner)
    with pytest.raises(NeedsPerson) as caught:
        run(pool, lambda: client.request_json("GET", "/x", headers={"X-API-Key": "a\r\nX: b"}))
    assert caught.value.cause == "configuration"
    assert partner.requests == []


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\0b", "a\r\n\r\nGET / HTTP/1.1"])
def test_nothing_is_smuggled_into_a_request(
    pool: OutboundPool, partner: ScriptedPartner, value: str
) -> None:
    client = bind(pool, partner)
    attempts: list[tuple[str, dict[str, str]]] = [
        ("/x", {"X": value}),
        ("/x", {value: "x"}),
        (f"/{value}", {}),
    ]
    for path, headers in attempts:
        with pytest.raises(NeedsPerson) as caught:
            run(pool, partial(client.request_json, "GET", path, headers=headers))
        assert caught.value.cause == "configuration"
    assert partner.connections == 0


# Addresses.


def test_a_private_address_is_refused_unless_listed(partner: ScriptedPartner) -> None:
    pool = OutboundPool()
    hosts = ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1", "2130706433"]  # noqa: S104
    for host in hosts:
        client = pool.bind(provider="alice", base_url=f"https://{host}:{partner.port}")
        error = fail(pool, client)
        assert isinstance(error, NeedsPerson)
        assert error.cause in {"address", "configuration"}
        assert "alice" not in pool.open_circuits()
    assert partner.connections == 0


def resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Patch name resolution: the n-th question for the partner's name gets the n-th answer."""
    asked: list[str] = []

    async def getaddrinfo(self: Any, host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked


def test_a_name_that_leads_to_a_private_address_is_refused(
    partner: ScriptedPartner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in ("127.0.0.1", "169.254.169.254", "10.0.0.1"):
        resolve_to(monkeypatch, [address])
        pool = OutboundPool()
        client = pool.bind(provider="alice", base_url=f"https://partner.example.org:{partner.port}")
        error = fail(pool, client)
        assert isinstance(error, NeedsPerson)
        assert error.cause == "address"
    assert partner.connections == 0


def test_a_name_that_changes_its_mind_is_checked_at_each_connection(
    partner: ScriptedPartner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: first a public address, then ours."""
    asked = resolve_to(monkeypatch, ["10.0.0.1", "93.184.215.14"], ["127.0.0.1"])
    pool = OutboundPool(total_seconds=0.4)
    client = pool.bind(provider="alice", base_url=f"https://partner.example.org:{partner.port}")
    tried: list[str] = []

    async def connect(self: Any, sock: Any, address: Any) -> None:
        tried.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.selector_events.BaseSelectorEventLoop, "sock_connect", connect)
    assert isinstance(fail(pool, client), RetryLater)
    assert tried == ["93.184.215.14"]  # the other answer was not even tried
    error = fail(pool, client)
    assert isinstance(error, NeedsPerson)
    assert error.cause == "address"
    assert asked == ["partner.example.org"] * 2
    assert tried == ["93.184.215.14"]
    assert partner.connections == 0


def test_a_name_that_does_not_exist_needs_a_person_and_one_not_found_now_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
    ]

    async def getaddrinfo(self: Any, host: str, port: int, **_: Any) -> list[Any]:
        raise answers.pop(0)

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    pool = OutboundPool()
    client = pool.bind(provider="alice", base_url="https://partner.example.org")
    error = fail(pool, client)
    assert isinstance(error, NeedsPerson)
    assert (error.cause, error.words) == ("address", "there is no host named partner.example.org")
    error = fail(pool, client)
    assert isinstance(error, RetryLater)
    assert error.outage


def test_a_name_whose_resolution_hangs_leaves_the_threads_to_the_others(
    partner: ScriptedPartner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolution holds a thread of the loop until the system gives up: one for each name."""
    alices, bobs = "alice.example.org", "bob.example.org"
    asked: list[str] = []
    hangs = threading.Event()

    def getaddrinfo(host: str, port: int, *_: Any) -> list[Any]:
        asked.append(host)
        if host == alices and not hangs.wait(10.0):
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr("handrail.core.http_pool.KEEP_ALIVE_SECONDS", 0.0)
    pool = OutboundPool(
        allowed_private_hosts=[(alices, partner.port), (bobs, partner.port)], total_seconds=1.0
    )
    alice, bob = (
        pool.bind(provider=host, base_url=f"http://{host}:{partner.port}")
        for host in (alices, bobs)
    )

    async def call(client: OutboundClient) -> Answer | RetryLater:
        try:
            return await client.request_json("GET", "/x", headers=HEADERS)
        except RetryLater as error:
            return error

    async def work() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        stuck = [asyncio.create_task(call(alice)) for _ in range(4)]
        await asyncio.sleep(0.05)  # they are asking
        assert isinstance(await call(bob), Answer)
        # Who gives up leaves the resolution to the others.
        stuck.pop().cancel()
        given_up = await asyncio.gather(*stuck)
        assert {str(each) for each in given_up} == {"no connection to the partner in time"}
        assert asked == [alices, bobs]
        waiting = asyncio.create_task(call(alice))
        await asyncio.sleep(0.1)
        hangs.set()
        assert isinstance(await waiting, Answer)
        assert asked == [alices, bobs]
        # Nothing is remembered: the next connection asks again.
        assert isinstance(await call(alice), Answer)
        assert asked == [alices, bobs, alices]

    try:
        run(pool, work)
    finally:
        hangs.set()


def test_a_resolution_that_fails_when_nobody_waits_any_more_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    async def getaddrinfo(self: Any, host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        await asyncio.sleep(0.2)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    pool = OutboundPool(total_seconds=0.2)
    client = pool.bind(provider="alice", base_url="https://partner.example.org")

    async def work() -> None:
        for _ in range(2):
            with pytest.raises(RetryLater, match="in time"):
                await client.request_json("GET", "/x", headers=HEADERS)
            await asyncio.sleep(0.2)
        gc.collect()

    run(pool, work)
    assert asked == ["partner.example.org"] * 2
    assert caplog.records == []


# Limits.


def test_calls_at_once_are_limited_per_provider(
    pool: OutboundPool, partner: ScriptedPartner
) -> None:
    client = bind(pool, partner, calls_at_once=3)

    async def call_ten_times() -> None:
        calls = [client.request_json("GET", "/x", headers=HEADERS) for _ in range(10)]
        await asyncio.gather(*calls)

    run(pool, call_ten_times)
    assert len(partner.requests) == 10
    assert partner.connections == 3


def test_who_waits_too_long_for_a_place_has_not_been_sent(partner: ScriptedPartner) -> None:
    pool = OutboundPool(allowed_private_hosts=[partner.host_port], total_seconds=2)
    partner.answer(HANG)
    client = bind(pool, partner, calls_at_once=1)

    async def call_three_times() -> list[Any]:
        def call() -> Any:
            return client.request_json("POST", "/x", headers=HEADERS)

        first = asyncio.create_task(call())
        await asyncio.sleep(0)  # it takes the place
        pool.total_seconds = 0.2  # the others give up well before the first one does
        others = await asyncio.gather(call(), call(), return_exceptions=True)
        return [*others, *await asyncio.gather(first, return_exceptions=True)]

    errors = run(pool, call_three_times)
    assert [type(error) for error in errors] == [RetryLater, RetryLater, OutcomeUnknown]
    assert len(partner.requests) == 1


def test_a_provider_that_fails_is_left_alone_and_the_others_are_not(
    pool: OutboundPool, partner: ScriptedPartner
) -> None:
    partner.answer(*[reply(500)] * 5)
    alice = bind(pool, partner)
    for _ in range(5):
        fail(pool, alice)
    assert "alice" in pool.open_circuits()
    error = fail(pool, alice)
    assert isinstance(error, RetryLater)
    assert error.outage
    assert len(partner.requests) == 5
    bob = pool.bind(provider="bob", base_url=f"http://127.0.0.1:{partner.port}")
    assert ask(pool, bob).status == 200
    assert pool.open_circuits() == {"alice"}
    assert "bob" not in pool.open_circuits()
    assert "nobody asked" not in pool.open_circuits()


def test_after_the_pause_one_call_finds_out(partner: ScriptedPartner) -> None:
    pool = OutboundPool(allowed_private_hosts=[partner.host_port], first_pause_seconds=0.2)
    partner.answer(*[DROP] * 5)
    client = bind(pool, partner)
    for _ in range(5):
        fail(pool, client)
    time.sleep(0.25)
    assert "alice" not in pool.open_circuits()
    assert ask(pool, client).status == 200
    assert "alice" not in pool.open_circuits()


def test_a_cancelled_call_gives_its_place_back(
    pool: OutboundPool, partner: ScriptedPartner
) -> None:
    partner.answer(HANG)
    client = bind(pool, partner, calls_at_once=1)

    async def cancel_and_call() -> Answer:
        call = asyncio.create_task(client.request_json("POST", "/x", headers=HEADERS))
        await asyncio.to_thread(partner.wait_for_request)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return await client.request_json("POST", "/x", headers=HEADERS)

    assert run(pool, cancel_and_call).status == 200


def test_one_pool_serves_several_event_loops(pool: OutboundPool, partner: ScriptedPartner) -> None:
    client = bind(pool, partner)
    for _ in range(3):
        assert ask(pool, client).status == 200
    assert len(pool._loops) == 0
    gc.collect()  # an unclosed session would warn, and warnings are errors


# Secrets.


@pytest.mark.parametrize("kind", [*UNKNOWN, "refused", "429"])
def test_no_secret_stands_in_an_error_its_context_or_the_log(
    pool: OutboundPool, partner: ScriptedPartner, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = {"message": f"bad key {SECRET}", "error": f"Authorization: {SECRET}"}
    partner.answer(
        {"refused": reply(401, echo), "429": reply(429, echo)}.get(kind) or UNKNOWN[kind]
    )
    error = fail(pool, bind(pool, partner))
    text = "".join(traceback.format_exception(error)) + repr(vars(error))
    assert error.__context__ is None
    assert error.__cause__ is None
    assert SECRET not in text
    assert SECRET not in caplog.text
