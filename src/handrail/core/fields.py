"""Model fields for columns that PostgreSQL, not Django, writes."""

from typing import Any

from django.db import models


class StatusField(models.TextField):  # type: ignore[type-arg]  # not generic at run time
    """A status that only the step machine writes (promise 9 of docs/architecture.md).

    Django leaves it out of every INSERT and UPDATE and reads it back after an insert, so that a
    plain `save()` does not name a column on which the role has no right.
    """

    generated = True
    db_returning = True
    # Django asks a generated field for the columns it is computed from.
    referenced_fields: frozenset[str] = frozenset()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["editable"] = False
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("editable", None)
        return name, path, args, kwargs
