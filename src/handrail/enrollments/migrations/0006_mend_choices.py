from django.db import migrations

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    dependencies = [("enrollments", "0005_mend_machine")]
    operations = [
        LoadSQL("enrollments", "machine_people.sql"),
        LoadSQL("enrollments", "machine_import.sql"),
        LoadSQL("enrollments", "rights.sql"),
    ]
