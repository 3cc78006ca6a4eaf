from django.db import migrations

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    dependencies = [("enrollments", "0004_doors")]
    operations = [
        LoadSQL("enrollments", "machine_events.sql"),
        LoadSQL("enrollments", "machine_people.sql"),
        LoadSQL("enrollments", "rights.sql"),
    ]
