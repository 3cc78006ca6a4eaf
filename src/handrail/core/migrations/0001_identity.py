from django.db import migrations

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [LoadSQL("core", "identity.sql")]
