from django.db import migrations

_NAME_THE_COLUMNS = """
revoke insert on learners from handrail_worker;
grant insert (organization_id, first_name, last_name, email, email_normalized, phone, birth_date)
  on learners to handrail_worker;
"""


class Migration(migrations.Migration):
    """For a database made before learners.sql named the columns."""

    dependencies = [("people", "0003_search")]
    operations = [migrations.RunSQL(_NAME_THE_COLUMNS)]
