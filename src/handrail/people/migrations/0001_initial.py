import django.db.models.functions.datetime
from django.db import migrations, models

from handrail.core.migrations_sql import LoadSQL


class Migration(migrations.Migration):
    initial = True

    dependencies = [("core", "0001_identity")]

    operations = [
        LoadSQL("people", "profiles.sql"),
        migrations.CreateModel(
            name="Profile",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=models.Func(function="uuidv7"), primary_key=True, serialize=False
                    ),
                ),
                ("email", models.TextField(unique=True)),
                ("name", models.TextField(blank=True, default="")),
                ("is_active", models.BooleanField(default=True)),
                ("is_super_admin", models.BooleanField(default=False)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("last_login", models.DateTimeField(blank=True, null=True)),
                ("password", models.TextField()),
            ],
            options={
                "db_table": "profiles",
                "managed": False,
            },
        ),
    ]
