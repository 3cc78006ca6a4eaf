from django.db import migrations

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    dependencies = [("people", "0002_learners")]
    operations = [LoadSQL("people", "search.sql")]
