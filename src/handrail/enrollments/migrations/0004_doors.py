from django.db import migrations

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    dependencies = [("enrollments", "0003_reads")]
    operations = [LoadSQL("enrollments", "doors.sql")]
