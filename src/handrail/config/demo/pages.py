"""Acting as a person does at our pages: as handrail_web, with the person's own claims."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import close_old_connections, connection

from handrail.config.demo.asking import leave_database
from handrail.config.environment import DatabaseRole
from handrail.core.actions import Refused
from handrail.organizations.identity import Identity, open_as


class Pages:
    """A thread whose Django connection is the web's: what a view calls can be called in it."""

    def __init__(self, password: str) -> None:
        """`password`: that of handrail_web."""
        self._thread = ThreadPoolExecutor(
            1, thread_name_prefix="pages", initializer=_connect_as_web, initargs=(password,)
        )

    def act(self, identity: Identity, action: Callable[[], None]) -> None:
        """Do something as this person, in a transaction of its own.

        What is refused changes nothing: it was done, or became needless, a moment ago.

        Raises:
            django.db.OperationalError: the database is away.
        """
        self._thread.submit(_act, identity, action).result()

    def close(self) -> None:
        """Close the connection and end the thread."""
        self._thread.submit(leave_database)
        self._thread.shutdown()


def _connect_as_web(password: str) -> None:
    # Connections belong to their thread, so nobody else's is changed by this.
    role = {"USER": DatabaseRole.WEB.login, "PASSWORD": password}
    connection.settings_dict = {**connection.settings_dict, **role}


def _act(identity: Identity, action: Callable[[], None]) -> None:
    close_old_connections()
    try:
        with open_as(identity):
            action()
    except Refused:
        return
