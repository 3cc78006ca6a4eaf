import django.db.models.functions.datetime
from django.db import migrations, models

import handrail.core.fields
from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    initial = True

    dependencies = [("programs", "0001_initial"), ("people", "0002_learners")]

    operations = [
        LoadSQL("enrollments", "tables.sql"),
        LoadSQL("enrollments", "machine_types.sql"),
        LoadSQL("enrollments", "machine_settle.sql"),
        LoadSQL("enrollments", "machine_runs.sql"),
        LoadSQL("enrollments", "machine_events.sql"),
        LoadSQL("enrollments", "machine_intents.sql"),
        LoadSQL("enrollments", "machine_people.sql"),
        LoadSQL("enrollments", "machine_attention.sql"),
        LoadSQL("enrollments", "machine_corrections.sql"),
        migrations.CreateModel(
            name="Enrollment",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("status", handrail.core.fields.StatusField()),
                ("funding_source", models.TextField(default="self_pay")),
                ("start_date", models.DateField()),
                ("start_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(null=True)),
                ("activated_at", models.DateTimeField(null=True)),
                ("completed_at", models.DateTimeField(null=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "updated_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "enrollments",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="EnrollmentRequirement",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.TextField()),
                ("met_at", models.DateTimeField(null=True)),
                ("cause", models.TextField(null=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "enrollment_requirements",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="EnrollmentStep",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("sequence_order", models.IntegerField()),
                ("required", models.BooleanField()),
                ("elective_choose", models.IntegerField(null=True)),
                ("demands_new_run", models.BooleanField(default=False)),
                ("status", handrail.core.fields.StatusField()),
                ("attempt", models.IntegerField(default=1)),
                ("chosen_at", models.DateTimeField(null=True)),
                ("progress", models.DecimalField(decimal_places=2, default=0, max_digits=5)),
                ("started_at", models.DateTimeField(null=True)),
                ("completed_at", models.DateTimeField(null=True)),
                ("error_message", models.TextField(default="")),
                ("skip_reason", models.TextField(null=True)),
                ("waived_by", models.UUIDField(null=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "updated_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "enrollment_steps",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Intent",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.TextField()),
                ("status", handrail.core.fields.StatusField()),
                ("held", models.BooleanField(default=False)),
                ("uncertain", models.BooleanField(default=False)),
                ("attempts", models.IntegerField(default=0)),
                ("calls", models.IntegerField(default=0)),
                (
                    "next_attempt_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("fence", models.BigIntegerField(default=0)),
                ("first_sent_at", models.DateTimeField(null=True)),
                ("error", models.TextField(default="")),
                ("details", models.JSONField(default=dict)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "updated_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "intents",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="PartnerAccount",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("external_id", models.TextField(null=True)),
                ("username", models.TextField(default="")),
                ("login_url", models.TextField(default="")),
                ("former_ids", models.JSONField(default=list)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "updated_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "partner_accounts",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="PartnerCertificate",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("external_id", models.TextField()),
                ("number", models.TextField(default="")),
                ("issued_on", models.DateField(null=True)),
                ("expires_on", models.DateField(null=True)),
                ("download_url", models.TextField(default="")),
                ("verification_url", models.TextField(default="")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "partner_certificates",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="PartnerEnrollment",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("run", models.IntegerField(default=1)),
                ("is_current", models.BooleanField(default=True)),
                ("status", handrail.core.fields.StatusField()),
                ("external_enrollment_id", models.TextField(null=True)),
                ("saved", models.JSONField(default=dict)),
                ("access_url", models.TextField(default="")),
                ("progress", models.DecimalField(decimal_places=2, max_digits=5, null=True)),
                ("progress_at", models.DateTimeField(null=True)),
                ("completed_at", models.DateTimeField(null=True)),
                ("failed_at", models.DateTimeField(null=True)),
                ("failure_reason", models.TextField(default="")),
                ("revoked_at", models.DateTimeField(null=True)),
                ("counts_from", models.DateTimeField(null=True)),
                ("continued", models.BooleanField(default=False)),
                ("cause", models.TextField(default="")),
                ("fact_kind", models.TextField(null=True)),
                ("fact_id", models.UUIDField(null=True)),
                ("fact_actor", models.UUIDField(null=True)),
                ("fact_reason", models.TextField(default="")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "updated_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "partner_lms_enrollments",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="SensitiveResult",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("result", models.TextField()),
                ("reported_at", models.DateTimeField()),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "sensitive_results",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="StepEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("step_id", models.UUIDField(null=True)),
                ("attempt", models.IntegerField(null=True)),
                ("from_status", models.TextField(null=True)),
                ("to_status", models.TextField()),
                ("cause_kind", models.TextField()),
                ("cause_id", models.UUIDField(null=True)),
                ("actor_id", models.UUIDField(null=True)),
                ("reason", models.TextField(default="")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "step_events",
                "managed": False,
            },
        ),
    ]
