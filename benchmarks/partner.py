"""Four bare partners in one process: they answer account and enrollment calls and report completions.

Run as `python -m benchmarks.partner PORT WEB_HOST WEB_PORT`. It is told on standard input, a JSON
object a line, and answers with one:

    {"do": "study", "on": true}                     every new enrollment is completed at once
    {"do": "report", "runs": [[1, "enr-..."], ...], "per_second": 50}
                                                    report these as completed, evenly; when all is sent:
                                                    {"sent": N}
    {"do": "latencies"}                             milliseconds from a report to the next enrollment
                                                    call, since last asked
    {"do": "counts"}                                accounts, enrollments, doubled, reported, refused
"""

import asyncio
import base64
import hmac
import itertools
import json
import sys
import time
from collections import deque
from typing import Any

import uvloop

from benchmarks.data import SECRET

KEY = base64.b64decode(SECRET.removeprefix("whsec_"))
CONNECTIONS = 32


class Partners:
    """What the partners know; the next enrollment of the same person ends a measured report."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.accounts: dict[str, str] = {}
        self.enrollments: dict[str, str] = {}
        self.doubled = self.reported = self.refused = 0
        self.study = False
        self.numbers = itertools.count(1)
        self.queue: deque[tuple[str, bytes]] = deque()  # the person, where the time counts
        self.wake = asyncio.Event()
        self.sent_at: dict[str, float] = {}
        self.latencies: list[float] = []

    def create(self, store: dict[str, str], key: str, prefix: str) -> str:
        """Answer a call; a repeat with the same key gets the same id."""
        if key in store:
            self.doubled += 1
            return store[key]
        store[key] = f"{prefix}-{next(self.numbers)}-{time.time_ns():x}"
        return store[key]

    def report(self, number: int, enrollment: str, person: str = "") -> None:
        """Queue the webhook that says this enrollment is completed."""
        now = time.time()
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        body = (
            f'{{"event":"course.completed","timestamp":"{at}",'
            f'"data":{{"enrollmentId":"{enrollment}","completedAt":"{at}"}}}}'
        ).encode()
        event_id, timestamp = f"evt-{next(self.numbers)}-{time.time_ns():x}", int(now)
        signed = f"{event_id}.{timestamp}.".encode() + body
        signature = base64.b64encode(hmac.digest(KEY, signed, "sha256")).decode()
        message = (
            f"POST /api/webhooks/partners/p{number} HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nwebhook-id: {event_id}\r\n"
            f"webhook-timestamp: {timestamp}\r\nwebhook-signature: v1,{signature}\r\n\r\n".encode()
            + body
        )
        self.queue.append((person, message))
        self.wake.set()

    async def send(self) -> None:
        """Deliver queued webhooks over one kept connection; what is not answered 2xx is sent again."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        while True:
            if not self.queue:
                self.wake.clear()
                await self.wake.wait()
                continue
            person, message = self.queue.popleft()
            if person:
                self.sent_at.setdefault(person, time.perf_counter())
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            await reader.readexactly(length)
            if head.split(b" ", 2)[1].startswith(b"2"):
                self.reported += 1
            else:
                self.refused += 1
                self.queue.append((person, message))


class Desk(asyncio.Protocol):
    """The partners' API: just enough of HTTP/1.1 for our own client."""

    def __init__(self, partners: Partners) -> None:
        self.partners = partners
        self.buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received_at = time.perf_counter()
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].decode("latin-1")
            fields = {
                n.lower(): v.strip()
                for n, _, v in (line.partition(":") for line in head.split("\r\n")[1:])
            }
            total = end + 4 + int(fields.get("content-length", 0))
            if len(self.buffer) < total:
                return
            body, self.buffer = self.buffer[end + 4 : total], self.buffer[total:]
            self.answer(head.split(" ", 2)[1], fields.get("idempotency-key", ""), json.loads(body))

    def answer(self, path: str, key: str, body: dict[str, str]) -> None:
        partners = self.partners
        number, kind = int(path[2]), path[4:]
        if kind == "students":
            answer = {
                "studentId": partners.create(partners.accounts, key, "stu"),
                "username": "lee",
            }
        else:
            person = body["studentId"].partition("-")[2]
            if (began := partners.sent_at.pop(person, None)) is not None:
                partners.latencies.append((self.received_at - began) * 1000)
            is_new = key not in partners.enrollments
            enrollment = partners.create(partners.enrollments, key, "enr")
            answer = {"enrollmentId": enrollment}
            if partners.study and is_new:
                partners.report(number, enrollment)
        data = json.dumps(answer).encode()
        self.transport.write(
            b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % len(data)
            + data
        )


async def report_evenly(
    partners: Partners, runs: list[tuple[int, str, str]], per_second: float
) -> None:
    """Report runs one by one; `sent_at` remembers by person when each was written."""
    began = time.perf_counter()
    for position, (number, enrollment, person) in enumerate(runs):
        await asyncio.sleep(max(0.0, began + position / per_second - time.perf_counter()))
        partners.report(number, enrollment, person)


async def obey(partners: Partners) -> None:
    """Read commands from standard input until it is closed."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        answer: object = {}
        match command["do"]:
            case "study":
                partners.study = command["on"]
            case "report":
                await report_evenly(partners, command["runs"], command["per_second"])
                answer = {"sent": len(command["runs"])}
            case "latencies":
                answer, partners.latencies = partners.latencies, []
            case "counts":
                answer = {
                    "accounts": len(partners.accounts),
                    "enrollments": len(partners.enrollments),
                    "doubled": partners.doubled,
                    "reported": partners.reported,
                    "refused": partners.refused,
                }
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


async def serve(port: int, host: str, web_port: int) -> None:
    """Serve the partners until standard input is closed."""
    partners = Partners(host, web_port)
    await asyncio.get_running_loop().create_server(lambda: Desk(partners), "127.0.0.1", port)
    senders = [asyncio.create_task(partners.send()) for _ in range(CONNECTIONS)]
    await obey(partners)
    for sender in senders:
        sender.cancel()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
