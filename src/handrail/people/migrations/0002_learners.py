import django.db.models.functions.datetime
from django.db import migrations, models

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    dependencies = [("people", "0001_initial"), ("organizations", "0001_initial")]

    operations = [
        LoadSQL("people", "learners.sql"),
        migrations.CreateModel(
            name="Learner",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("first_name", models.TextField()),
                ("last_name", models.TextField(blank=True, default="")),
                ("email", models.TextField()),
                ("email_normalized", models.TextField()),
                ("phone", models.TextField(blank=True, default="")),
                ("birth_date", models.DateField(blank=True, null=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "learners",
                "managed": False,
            },
        ),
    ]
