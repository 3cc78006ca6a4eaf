import django.db.models.functions.datetime
from django.db import migrations, models

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    initial = True

    dependencies = [("people", "0001_initial")]

    operations = [
        LoadSQL("organizations", "tables.sql"),
        migrations.CreateModel(
            name="Membership",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("role", models.TextField()),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "memberships",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Organization",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("slug", models.TextField(unique=True)),
                ("name", models.TextField()),
                ("learner_word", models.TextField(default="student")),
                ("time_zone", models.TextField(default="UTC")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "organizations",
                "managed": False,
            },
        ),
    ]
