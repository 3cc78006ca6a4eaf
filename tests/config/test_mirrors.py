"""Each model against its table (docs/decisions/0001): columns, types, and what may be NULL."""

import pytest
from django.apps import apps
from django.db import models

from tests.databases import Sql

FAMILIES: dict[type[object], set[str]] = {
    models.UUIDField: {"uuid"},
    models.TextField: {"text"},
    models.IntegerField: {"int2", "int4"},
    models.BigIntegerField: {"int8"},
    models.BooleanField: {"bool"},
    models.DateField: {"date"},
    models.DateTimeField: {"timestamptz"},
    models.DecimalField: {"numeric"},
    models.JSONField: {"jsonb"},
    models.BinaryField: {"bytea"},
}
MIRRORS = [each for each in apps.get_models() if not each._meta.managed]
# Of these tables no page shows anything.
WITHOUT_MODEL = {"credential_documents", "outgoing_mails", "webhook_event_conflicts"}
_COLUMNS = """
select a.attname, coalesce(base.typname, t.typname), a.attnotnull
from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_type base on base.oid = t.typbasetype
where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped
"""


@pytest.mark.parametrize("model", MIRRORS, ids=lambda each: each.__name__)
def test_a_model_mirrors_its_table(sql: Sql, model: type[models.Model]) -> None:
    columns = {
        name: (kind, is_required)
        for name, kind, is_required in sql.rows(_COLUMNS, [model._meta.db_table])
    }
    wrong = {}
    for field in model._meta.concrete_fields:
        target = field.target_field if isinstance(field, models.ForeignKey) else field
        # The most special class comes last among those that fit (a BigIntegerField is an IntegerField).
        families = [types for base, types in FAMILIES.items() if isinstance(target, base)]
        kind, is_required = columns.get(field.column, ("no column", None))
        if not families or kind not in families[-1] or field.null is is_required:
            wrong[field.column] = (type(target).__name__, field.null, kind, is_required)
    assert wrong == {}


def test_each_model_is_found_by_its_key(sql: Sql) -> None:
    """Django's key is one row: it leads a unique index, alone or before the organization."""
    for model in MIRRORS:
        key = model._meta.pk.column
        leading = sql.rows(
            "select array(select a.attname from unnest(i.indkey::int2[]) with ordinality as k (n, place) "
            "join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.n order by place)::text[] "
            "from pg_index i where i.indrelid = %s::regclass and i.indisunique and i.indpred is null",
            [model._meta.db_table],
        )
        keys = [columns for (columns,) in leading]
        assert any(columns in ([key], [key, "organization_id"]) for columns in keys) or (
            model._meta.db_table == "step_events"
        ), (model, keys)


def test_every_table_of_ours_has_a_model_or_is_listed(sql: Sql) -> None:
    tables = {
        name
        for (name,) in sql.rows(
            "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid "
            "where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attname = 'id' "
            "and a.atttypid = 'uuid'::regtype"
        )
    } | {"credential_documents"}
    assert tables - {each._meta.db_table for each in MIRRORS} - WITHOUT_MODEL == set()
