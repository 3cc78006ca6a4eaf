import django.db.models.functions.datetime
from django.db import migrations, models

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    initial = True

    dependencies = [("partners", "0001_initial")]

    operations = [
        LoadSQL("programs", "tables.sql"),
        migrations.CreateModel(
            name="Program",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("slug", models.TextField()),
                ("title", models.TextField()),
                ("tuition_cents", models.BigIntegerField(default=0)),
                ("archived_at", models.DateTimeField(null=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "programs",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="ProgramStep",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("sequence_order", models.IntegerField()),
                ("required", models.BooleanField(default=True)),
                ("elective_choose", models.IntegerField(null=True)),
                ("demands_new_run", models.BooleanField(default=False)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "program_partner_lms",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="ProgramVersion",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("number", models.IntegerField()),
                ("published_at", models.DateTimeField(editable=False, null=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "program_versions",
                "managed": False,
            },
        ),
    ]
