from django.db import migrations

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    """`find_run` looks for an account by one index at a time."""

    dependencies = [("enrollments", "0004_doors")]
    operations = [
        LoadSQL("enrollments", "machine_events.sql"),
        LoadSQL("enrollments", "rights.sql"),
    ]
