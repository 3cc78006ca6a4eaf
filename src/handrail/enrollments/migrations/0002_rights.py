from django.db import migrations

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    dependencies = [("enrollments", "0001_initial"), ("credentials", "0001_initial")]
    operations = [
        LoadSQL("enrollments", "machine_import.sql"),
        LoadSQL("enrollments", "machine_restore.sql"),
        LoadSQL("enrollments", "rights.sql"),
    ]
