from django.db import migrations

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    initial = True
    dependencies = [("organizations", "0001_initial"), ("core", "0002_installation")]
    operations = [LoadSQL("inbox", "tables.sql"), LoadSQL("inbox", "functions.sql")]
