"""The migration operation that loads a `.sql` file of an app."""

from importlib import resources
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState


def read_sql(app: str, name: str) -> str:
    """Return the text of `handrail/<app>/sql/<name>`."""
    return (resources.files(f"handrail.{app}") / "sql" / name).read_text(encoding="utf-8")


class LoadSQL(Operation):
    """Run `handrail/<app>/sql/<name>` as one script.

    Functions are written as `create or replace`, so a later migration may load the same file again
    after it changed. Not reversible: we migrate forwards only.
    """

    reduces_to_sql = True
    reversible = False

    def __init__(self, app: str, name: str) -> None:
        self.app = app
        self.name = name

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return self.__class__.__name__, [self.app, self.name], {}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Leave the model state as it is: models are unmanaged mirrors."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        # No parameters, so that psycopg sends the whole script at once and `%` stays a percent sign.
        schema_editor.execute(read_sql(self.app, self.name), params=None)

    def describe(self) -> str:
        return f"Load {self.app}/sql/{self.name}"
