from django.db import migrations

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    dependencies = [("core", "0003_jobs")]
    operations = [LoadSQL("core", "mail.sql")]
