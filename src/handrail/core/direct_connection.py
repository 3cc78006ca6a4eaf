"""A connection of libpq for one thread, which sends what belongs together in one round trip.

libpq's manual, chapter "Pipeline Mode", through `psycopg.pq`.
"""

import select
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import psycopg
from psycopg.pq import ExecStatus, PipelineStatus
from psycopg.pq.abc import PGconn, PGresult

from handrail.core.prepared import Encoded, Prepared, Row, raise_for


class Query(NamedTuple):
    """A statement with Python's values for its `$1`, `$2` and so on."""

    statement: bytes
    parameters: Sequence[Any] = ()


class DirectConnection(psycopg.Connection[Row]):
    """A connection of psycopg with a short way beside its cursors."""

    def __init__(self, pgconn: PGconn) -> None:
        super().__init__(pgconn)
        self._statements = Prepared(self)
        self._poll = select.poll()
        self._was_notified = False
        self.add_notify_handler(self._take_note)

    @classmethod
    def open(cls, dsn: str, *, autocommit: bool = True, **options: Any) -> Self:
        """Connect; `options` as psycopg's. Statements are prepared by `fetch` alone.

        psycopg would forget its own after a rollback, by a statement that makes the server forget all.
        """
        return cls.connect(dsn, autocommit=autocommit, prepare_threshold=None, **options)

    def fetch(self, *queries: Query) -> list[list[Row]]:
        """Run queries one after the other in one round trip; return the rows of each.

        When one fails, those after it do not run.

        Raises:
            psycopg.Error: of the one that failed; or the connection was lost.
        """
        encoded = [self._statements.encode(*query) for query in queries]
        names = [self._statements.find(each) or self._prepare(each) for each in encoded]
        self.pgconn.enter_pipeline_mode()
        try:
            for each, name in zip(encoded, names, strict=True):
                each.send(self.pgconn, name)
            self.pgconn.pipeline_sync()
            results = self._receive()
            self.pgconn.exit_pipeline_mode()
        finally:
            if self.pgconn.pipeline_status != PipelineStatus.OFF and not self.broken:
                self.close()  # interrupted: nobody else may read the rest
        for result in results:
            raise_for(result)
        return [self._statements.load(result) for result in results]

    def wait_for_notification(self, seconds: float) -> bool:
        """Sleep until somebody notifies, or has since the last time; at most so long. Tell if so.

        Raises:
            psycopg.OperationalError: the connection was lost.
        """
        notified = self._was_notified or self.pgconn.notifies() is not None
        if not notified:
            self._wait(select.POLLIN, seconds)
        while self.pgconn.notifies() is not None:
            notified = True
        self._was_notified = False
        return notified

    def _take_note(self, _: psycopg.Notify) -> None:
        """It came while a cursor read."""
        self._was_notified = True

    def _prepare(self, encoded: Encoded) -> bytes:
        name = self._statements.make_name()
        raise_for(self.pgconn.prepare(name, encoded.statement, encoded.types))
        self._statements.add(encoded, name)
        return name

    def _receive(self) -> list[PGresult]:
        """The result of each query, up to the end of the pipeline."""
        while self.pgconn.flush():
            self._wait(select.POLLIN | select.POLLOUT)
        results: list[PGresult] = []
        while True:
            while self.pgconn.is_busy():
                self._wait(select.POLLIN)
            result = self.pgconn.get_result()  # None after those of each query
            if result is not None and result.status == ExecStatus.PIPELINE_SYNC:
                return results
            if result is not None:
                results.append(result)

    def _wait(self, events: int, seconds: float | None = None) -> None:
        """Let other threads run until the socket is ready, and read what is there."""
        self._poll.register(self.pgconn.socket, events)
        if self._poll.poll(None if seconds is None else seconds * 1000):
            self.pgconn.consume_input()
