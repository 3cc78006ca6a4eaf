"""Many other people of a program, as after years."""

from tests.factories import Program, World

# Two of a hundred enrollments are under way, the rest is completed, as after years.
_LOAD = """
with people as (
  insert into learners (organization_id, first_name, last_name, email, email_normalized)
  select %(organization)s, 'First' || n, 'Last' || n, email, email
  from generate_series(1, %(count)s) n, lateral (select n || '@' || %(program)s as email) address
  returning id, organization_id, right(last_name, -4)::integer as n
), enrolled as (
  insert into enrollments (organization_id, learner_id, program_id, program_version_id, status, start_date, start_at,
                           started_at, activated_at, completed_at)
  select organization_id, id, %(program)s, %(version)s, case when n %% 50 = 0 then 'active' else 'completed' end,
         '2025-01-01', '2025-01-01', '2025-01-01', '2025-01-01', case when n %% 50 > 0 then now() end
  from people returning id, organization_id, learner_id, status
), accounts as (
  insert into partner_accounts (organization_id, provider_id, learner_id, external_id)
  select distinct e.organization_id, b.provider_id, e.learner_id, e.learner_id::text || b.provider_id::text
  from enrolled e join program_partner_lms b on b.program_version_id = %(version)s
  returning id, organization_id, provider_id, learner_id
), runs as (
  insert into partner_lms_enrollments (organization_id, partner_account_id, provider_id, learner_id, course_id, status,
                                       completed_at, external_enrollment_id)
  select a.organization_id, a.id, a.provider_id, a.learner_id, b.course_id,
         case when e.status = 'active' and b.sequence_order = 2 then 'active' else 'completed' end, now(),
         a.id::text || b.course_id
  from accounts a join enrolled e on e.learner_id = a.learner_id
  join program_partner_lms b on b.program_version_id = %(version)s and b.provider_id = a.provider_id
  returning id, organization_id, provider_id, partner_account_id, learner_id, course_id
), calls as (
  insert into intents (organization_id, provider_id, kind, partner_account_id, partner_enrollment_id, status)
  select organization_id, provider_id, 'enroll', partner_account_id, id, 'done' from runs
), steps as (
  insert into enrollment_steps (organization_id, enrollment_id, learner_id, program_step_id, provider_id, course_id,
                                sequence_order, required, status, started_at, completed_at, partner_enrollment_id,
                                updated_at)
  select e.organization_id, e.id, e.learner_id, b.id, b.provider_id, b.course_id, b.sequence_order, true,
         case when e.status = 'active' and b.sequence_order = 2 then 'in_progress' else 'completed' end,
         now() - interval '20 days',
         case when not (e.status = 'active' and b.sequence_order = 2) then now() end, r.id, now() - interval '9 days'
  from enrolled e join program_partner_lms b on b.program_version_id = %(version)s
  join runs r on r.learner_id = e.learner_id and r.course_id = b.course_id
  returning id, organization_id, enrollment_id
), events as (
  insert into step_events (organization_id, enrollment_id, step_id, from_status, to_status, cause_kind)
  select organization_id, enrollment_id, id, 'pending', 'in_progress', 'timer' from steps
), papers as (
  insert into partner_certificates (organization_id, partner_enrollment_id, learner_id, external_id)
  select %(organization)s, id, learner_id, id::text from runs
), attention as (
  insert into attention_items (organization_id, kind, subject_id, cause, enrollment_id, opened_at, resolved_at,
                               resolution)
  select organization_id, 'run', id, 'x', id, now(), case when status = 'completed' then now() end,
         case when status = 'completed' then 'done' end
  from enrolled
)
insert into credentials (organization_id, enrollment_id, learner_id, number, organization_name, holder_name,
                         program_title, steps)
select organization_id, id, learner_id, id::text, 'S', 'H', 'P', '[]' from enrolled where status = 'completed'
"""


def add_crowd(world: World, program: Program, count: int) -> None:
    """Add people whose steps of this program are required, each with all that belongs to a step."""
    world.admin.execute(
        _LOAD.encode(),
        {
            "organization": program.organization.id,
            "program": program.id,
            "version": program.version,
            "count": count,
        },
    )
