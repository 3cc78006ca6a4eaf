import django.db.models.functions.datetime
from django.db import migrations, models

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    initial = True

    dependencies = [("core", "0001_identity"), ("organizations", "0001_initial")]

    operations = [
        LoadSQL("core", "tables.sql"),
        migrations.CreateModel(
            name="AttentionItem",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.TextField()),
                ("subject_id", models.UUIDField()),
                ("enrollment_id", models.UUIDField(null=True)),
                ("provider_id", models.UUIDField(null=True)),
                ("cause", models.TextField()),
                ("details", models.JSONField(default=dict)),
                (
                    "opened_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("resolved_at", models.DateTimeField(null=True)),
                ("resolution", models.TextField(null=True)),
            ],
            options={
                "db_table": "attention_items",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Installation",
            fields=[
                ("id", models.BooleanField(default=True, primary_key=True, serialize=False)),
                ("outbound_held", models.BooleanField(default=False)),
                ("calls_doubted_until", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "installation",
                "managed": False,
            },
        ),
    ]
