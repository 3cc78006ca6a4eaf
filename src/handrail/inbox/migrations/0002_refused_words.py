from django.db import migrations

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    dependencies = [("inbox", "0001_initial")]
    operations = [LoadSQL("inbox", "functions.sql")]
