"""CPU of one call to a partner; `python -m benchmarks.outbound`.

The server is a bare one in a process of its own, whose CPU is not counted. The last column is
aiohttp alone with the same settings: what a call costs at least.
"""

import asyncio
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from multiprocessing.connection import Connection
from typing import cast
from uuid import uuid4

import aiohttp
import uvloop

from handrail.core.outbound import OutboundPool
from handrail.partners.protocol import PartnerCall, ProviderConfig
from handrail.partners.registry import get_adapter

CALLS = 8000
ROUNDS = 5
ANSWER = b'{"enrollmentId":"enr-7001","courseUrl":"https://partner.example.org/learn/7001"}'
Call = Callable[[], Awaitable[object]]


class _Bare(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        # One request at a time per connection, in one piece: the client sends no more than that.
        self.transport.write(
            b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
        )


def serve(ready: Connection) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(_Bare, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


async def measure(call: Call, at_once: int) -> float:
    """Microseconds of our CPU for each call."""

    async def repeat(times: int) -> None:
        for _ in range(times):
            await call()

    await asyncio.gather(*(repeat(20) for _ in range(at_once)))  # connections are open from here
    start = time.process_time()
    await asyncio.gather(*(repeat(CALLS // at_once) for _ in range(at_once)))
    return (time.process_time() - start) / CALLS * 1e6


async def compare(port: int, at_once: int) -> tuple[float, float]:
    """An adapter's enrollment call, and the bare library's."""
    pool = OutboundPool(allowed_private_hosts=[("127.0.0.1", port)])
    url = f"http://127.0.0.1:{port}"
    client = pool.bind(provider="bench", base_url=url, calls_at_once=at_once)
    provider = ProviderConfig(uuid4(), "milady", url, {"api_key": "k", "organization_id": "o"})
    partner = PartnerCall(client, provider, "key")

    async def save(_: Mapping[str, str]) -> None: ...

    async def enroll() -> None:
        await get_adapter("milady").enroll(
            partner, account_id="s-1", course_code="MS-BARB", saved={}, save=save
        )

    ours = await measure(enroll, at_once)
    await pool.close()
    body = json.dumps({"studentId": "s-1", "courseCode": "MS-BARB", "schoolId": "o"}).encode()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

        async def post() -> None:
            async with session.post(f"{url}/api/v1/enrollments", data=body) as response:
                json.loads(await response.read())

        return ours, await measure(post, at_once)


def main() -> None:
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    port: int = here.recv()
    print(f"CPU microseconds a call, median of {ROUNDS}; {os.cpu_count()} cores")
    print("calls at once   adapter's enroll   bare aiohttp")
    for at_once in (1, 16):
        pairs = [uvloop.run(compare(port, at_once)) for _ in range(ROUNDS)]
        ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"{at_once:13}   {ours:16.0f}   {bare:12.0f}")
    server.terminate()
    server.join()


if __name__ == "__main__":
    main()
