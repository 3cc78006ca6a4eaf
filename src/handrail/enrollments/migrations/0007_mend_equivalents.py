from django.db import migrations

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    dependencies = [("enrollments", "0006_mend_choices")]
    operations = [
        LoadSQL("enrollments", "machine_runs.sql"),
        LoadSQL("enrollments", "machine_settle.sql"),
        LoadSQL("enrollments", "machine_events.sql"),
        LoadSQL("enrollments", "rights.sql"),
    ]
