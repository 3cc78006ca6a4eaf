import django.db.models.functions.datetime
from django.db import migrations, models

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    initial = True

    dependencies = [("organizations", "0001_initial"), ("core", "0002_installation")]

    operations = [
        LoadSQL("inbox", "tables.sql"),
        LoadSQL("inbox", "functions.sql"),
        migrations.CreateModel(
            name="WebhookEndpoint",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("key", models.TextField()),
                ("kind", models.TextField()),
                ("scheme", models.TextField(null=True)),
                ("provider_id", models.UUIDField(null=True)),
                ("previous_secret_ends_at", models.DateTimeField(null=True)),
                ("refused_count", models.BigIntegerField(default=0)),
                ("last_refused_at", models.DateTimeField(null=True)),
                ("last_refused_reason", models.TextField(default="")),
                ("repeated_count", models.BigIntegerField(default=0)),
                ("archived_at", models.DateTimeField(null=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "webhook_endpoints",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="WebhookEvent",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("provider_id", models.UUIDField(null=True)),
                ("event_id", models.TextField()),
                ("digest", models.BinaryField()),
                ("content_type", models.TextField()),
                ("received_at", models.DateTimeField()),
                ("sent_at", models.DateTimeField(null=True)),
                ("status", models.TextField()),
                ("reason", models.TextField()),
                ("kind", models.TextField()),
                ("match_external_id", models.TextField(null=True)),
                ("attempts", models.IntegerField()),
                ("next_attempt_at", models.DateTimeField()),
                ("applied_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "webhook_events",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="WebhookEventConflict",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("digest", models.BinaryField()),
                ("content_type", models.TextField()),
                ("received_at", models.DateTimeField()),
                ("dismissed_at", models.DateTimeField(null=True)),
                ("dismissed_by_id", models.UUIDField(db_column="dismissed_by", null=True)),
                ("dismissed_reason", models.TextField(null=True)),
            ],
            options={
                "db_table": "webhook_event_conflicts",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="WebhookEventDecision",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("decision", models.TextField()),
                ("from_status", models.TextField()),
                ("from_reason", models.TextField()),
                ("reason", models.TextField()),
                ("actor_id", models.UUIDField(null=True)),
                ("decided_at", models.DateTimeField()),
            ],
            options={
                "db_table": "webhook_event_decisions",
                "managed": False,
            },
        ),
    ]
