import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import handrail.core.fields
from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    initial = True

    dependencies = [("enrollments", "0001_initial"), ("core", "0003_jobs")]

    operations = [
        LoadSQL("credentials", "tables.sql"),
        LoadSQL("credentials", "issue.sql"),
        migrations.CreateModel(
            name="Credential",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("number", models.TextField()),
                ("organization_name", models.TextField()),
                ("holder_name", models.TextField()),
                ("program_title", models.TextField()),
                ("steps", models.JSONField()),
                (
                    "issued_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("revoked_at", models.DateTimeField(null=True)),
                ("revoke_reason", models.TextField(null=True)),
                ("pdf_status", handrail.core.fields.StatusField()),
            ],
            options={
                "db_table": "credentials",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="CredentialDocument",
            fields=[
                (
                    "credential",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="document",
                        serialize=False,
                        to="credentials.credential",
                    ),
                ),
                ("pdf", models.BinaryField()),
                (
                    "rendered_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "credential_documents",
                "managed": False,
            },
        ),
    ]
