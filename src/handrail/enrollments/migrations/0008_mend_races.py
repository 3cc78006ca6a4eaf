from django.db import migrations

from handrail.core.migrations_sql import LoadSQL

FILES = [
    "machine_settle.sql",
    "machine_runs.sql",
    "machine_events.sql",
    "machine_intents.sql",
    "machine_people.sql",
    "machine_attention.sql",
    "machine_corrections.sql",
    "machine_import.sql",
    "machine_restore.sql",
    "rights.sql",
]


class Migration(migrations.Migration):
    """All files, whichever changed: an older database may lack what any of them names.

    A later change of a function: a new migration like this one, and this one becomes empty.
    """

    dependencies = [
        ("enrollments", "0007_mend_equivalents"),
        ("inbox", "0002_refused_words"),  # whose functions get their rights here
    ]
    operations = [LoadSQL("enrollments", name) for name in FILES]
