"""A connection of libpq inside asyncio, for one statement after the other and nothing else.

psycopg's own asynchronous cursor sets up its waiting anew for each statement: 290 µs of CPU where this
one takes 110 (*measured*), a third of what the web process did for a message that came alone. This
one stays with the event loop as long as the connection lives. It uses libpq as its manual says
(chapter "Asynchronous Command Processing"), through `psycopg.pq`.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.pq import ConnStatus, Format
from psycopg.pq.abc import PGresult
from psycopg.pq.misc import PGnotify

from handrail.core.prepared import Prepared, Row, raise_for


class DatabaseAway(Exception):
    """The database does not answer. What to do: try again in a moment; a sender is answered 503."""


class Channel:
    """Runs statements over a connection, which it has for itself until `close`."""

    def __init__(
        self,
        connection: psycopg.AsyncConnection[Row],
        *,
        hear: Callable[[PGnotify], None] | None = None,
    ) -> None:
        """Take the connection over; `hear` is called with each notification that comes."""
        self._connection = connection
        self._pgconn = connection.pgconn
        self._pgconn.nonblocking = 1
        self._prepared = Prepared(connection)
        self._loop = asyncio.get_running_loop()
        self._socket = self._pgconn.socket
        self._is_writing = False
        self._answer: asyncio.Future[PGresult] | None = None
        self._result: PGresult | None = None
        self._hear = hear
        self._loop.add_reader(self._socket, self._read)

    @property
    def is_lost(self) -> bool:
        """Whether the connection ended; close it."""
        return self._pgconn.status != ConnStatus.OK

    @property
    def pid(self) -> int:
        """The process id of the server's end, as notifications name it."""
        return self._pgconn.backend_pid

    async def fetch(self, statement: bytes, parameters: Sequence[bytes]) -> list[Row]:
        """Run a statement with parameters in binary format and return its rows.

        After a cancellation there is an answer on its way that nobody wants: close the channel.

        Raises:
            psycopg.Error: it failed, or the connection was lost.
        """
        formats = [Format.BINARY] * len(parameters)
        self._pgconn.send_query_params(
            statement, parameters, param_formats=formats, result_format=Format.BINARY
        )
        return self._prepared.load(await self._receive())

    async def fetch_prepared(self, statement: bytes, parameters: Sequence[Any]) -> list[Row]:
        """The same with Python's values for `$1` and so on; its first run prepares the statement."""
        encoded = self._prepared.encode(statement, parameters)
        name = self._prepared.find(encoded)
        if name is None:
            name = self._prepared.make_name()
            self._pgconn.send_prepare(name, statement, encoded.types)
            await self._receive()
            self._prepared.add(encoded, name)
        encoded.send(self._pgconn, name)
        return self._prepared.load(await self._receive())

    async def _receive(self) -> PGresult:
        """The answer to what was just sent."""
        self._answer = self._loop.create_future()
        self._result = None
        self._write()
        result = await self._answer
        raise_for(result)
        return result

    async def close(self) -> None:
        """End the connection."""
        self._forget_socket()
        await self._connection.close()

    def _write(self) -> None:
        """Send what the socket takes; the rest when it takes more."""
        try:
            unfinished = self._pgconn.flush() == 1
        except psycopg.OperationalError as error:
            self._fail(error)
            return
        if unfinished and not self._is_writing:
            self._loop.add_writer(self._socket, self._write)
        elif self._is_writing and not unfinished:
            self._loop.remove_writer(self._socket)
        self._is_writing = unfinished

    def _read(self) -> None:
        """Take what has come; when an answer is complete, hand it over."""
        try:
            self._pgconn.consume_input()
            is_complete = self._take_results()
        except psycopg.OperationalError as error:
            self._fail(error)
            return
        if is_complete and self._answer is not None:
            self._hand_over()
        else:
            # uvloop tells of a socket's error once and then watches it no more, though there was
            # more to read: watch it anew.
            self._loop.remove_reader(self._socket)
            self._loop.add_reader(self._socket, self._read)
        if self._hear is not None:
            while (notification := self._pgconn.notifies()) is not None:
                self._hear(notification)

    def _take_results(self) -> bool:
        """Take the results that are there; tell whether nothing more belongs to them."""
        while not self._pgconn.is_busy():
            result = self._pgconn.get_result()
            if result is None:
                return True
            self._result = result
        return False

    def _hand_over(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done() and self._result is not None:
            answer.set_result(self._result)

    def _fail(self, error: psycopg.OperationalError) -> None:
        """The connection was lost, maybe while nobody waited for anything."""
        self._forget_socket()
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def _forget_socket(self) -> None:
        if self._socket >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket = -1
