from django.db import migrations

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    dependencies = [("enrollments", "0002_rights")]
    operations = [LoadSQL("enrollments", "reads.sql")]
