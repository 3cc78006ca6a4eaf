"""The tables of PgQueuer, by its own installer of the pinned version, and our way into them."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment

from handrail.core.migrations_sql import LoadSQL


def install_queue(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create what the pinned PgQueuer needs; a later version upgrades in a migration of its own."""
    schema_editor.execute(QueryBuilderEnvironment().build_install_query(), params=None)


class Migration(migrations.Migration):
    dependencies = [("core", "0002_installation")]
    operations = [migrations.RunPython(install_queue), LoadSQL("core", "jobs.sql")]
