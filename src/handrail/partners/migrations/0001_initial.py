import django.db.models.functions.datetime
from django.db import migrations, models

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("inbox", "0001_initial"),
        ("people", "0002_learners"),
        ("core", "0002_installation"),
    ]

    operations = [
        LoadSQL("partners", "tables.sql"),
        migrations.CreateModel(
            name="Course",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("code", models.TextField()),
                ("title", models.TextField()),
                ("kind", models.TextField(default="course")),
                ("hours", models.DecimalField(decimal_places=2, default=0, max_digits=7)),
                ("credential_name", models.TextField(blank=True, default="")),
                ("valid_months", models.IntegerField(null=True)),
                ("link_url", models.TextField(blank=True, default="")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "partner_lms_courses",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Provider",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("slug", models.TextField()),
                ("name", models.TextField()),
                ("adapter", models.TextField()),
                ("mode", models.TextField()),
                ("base_url", models.TextField(blank=True, default="")),
                ("link_url", models.TextField(blank=True, default="")),
                ("credentials", models.BinaryField(null=True)),
                ("settings", models.JSONField(default=dict)),
                ("offers_lookup", models.BooleanField(default=False)),
                ("offers_unenroll", models.BooleanField(default=False)),
                ("offers_progress", models.BooleanField(default=False)),
                ("configured_at", models.DateTimeField(null=True)),
                ("archived_at", models.DateTimeField(null=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "partner_lms_providers",
                "managed": False,
            },
        ),
    ]
