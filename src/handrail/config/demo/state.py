"""How far everybody is, and who is stuck where and why."""

from dataclasses import dataclass

from handrail.config.demo.asking import fetch

_PROGRAMS = """
select g.title, sum(e.steps)::integer, sum(e.done)::integer
from programs g join (
  select n.program_id,
         (select count(*) filter (where s.required) from enrollment_steps s where s.enrollment_id = n.id)
         + (select coalesce(sum(choose), 0) from (
              select max(elective_choose) as choose from enrollment_steps s
              where s.enrollment_id = n.id and not s.required group by sequence_order) as stage) as steps,
         (select count(*) from enrollment_steps s where s.enrollment_id = n.id and s.status = 'completed') as done
  from enrollments n) as e on e.program_id = g.id
group by g.id, g.title order by g.title
"""
_COUNTS = """
select
  (select count(*) from enrollments),
  (select count(*) from enrollments where status = 'completed'),
  (select count(*) from credentials where pdf_status = 'rendered' and revoked_at is null),
  (select count(*) from webhook_events),
  (select count(*) from webhook_events where status in ('received', 'waiting')),
  (select count(*) from intents where status in ('queued', 'sending', 'failed', 'unknown')),
  (select count(*) from attention_items where resolved_at is null)
"""
_STUCK = """
select l.first_name || ' ' || l.last_name, l.email, g.title, e.status,
       coalesce(c.code || ' at ' || p.name, 'no step'), coalesce(s.status, ''), coalesce(r.status, 'no run'),
       coalesce(nullif(r.cause, ''), nullif(s.error_message, ''),
                (select a.cause from attention_items a where a.enrollment_id = e.id and a.resolved_at is null limit 1),
                (select i.kind || ' ' || i.status || ' ' || i.error from intents i
                 where i.partner_account_id = r.partner_account_id and i.status not in ('done', 'canceled')
                 order by i.created_at limit 1), 'nothing is known')
from enrollments e
join learners l on l.id = e.learner_id
join programs g on g.id = e.program_id
left join enrollment_steps s on s.enrollment_id = e.id
  and (s.status in ('in_progress', 'failed') or s.status = 'pending' and s.partner_enrollment_id is not null)
left join partner_lms_courses c on c.id = s.course_id
left join partner_lms_providers p on p.id = s.provider_id
left join partner_lms_enrollments r on r.id = s.partner_enrollment_id
where e.status <> 'completed'
order by e.created_at, s.sequence_order limit %s
"""
_WITHOUT_CERTIFICATE = """
select holder_name, number, pdf_status from credentials
where pdf_status <> 'rendered' and revoked_at is null order by issued_at limit %s
"""
_OPEN_EVENTS = """
select kind, event_id, status, reason from webhook_events
where status in ('received', 'waiting', 'needs_attention') order by received_at limit %s
"""
_ATTENTION = (
    "select kind, cause from attention_items where resolved_at is null order by opened_at limit %s"
)


@dataclass(frozen=True, slots=True)
class Program:
    """A program's steps that must be done, and those that are."""

    title: str
    steps: int
    done: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How far everybody is."""

    programs: tuple[Program, ...]
    enrollments: int
    completed: int
    certificates: int
    webhooks: int
    open_webhooks: int
    open_calls: int
    attention: int

    @property
    def progress(self) -> tuple[int, ...]:
        """What only grows: while it does, somebody is getting on."""
        steps = sum(program.done for program in self.programs)
        return steps, self.completed, self.certificates, self.webhooks

    @property
    def is_done(self) -> bool:
        """Everybody has completed and has a certificate, and nothing is under way here."""
        everybody = self.enrollments and self.enrollments == self.completed == self.certificates
        return bool(everybody) and not (self.open_webhooks or self.open_calls)


def take_snapshot() -> Snapshot:
    """Look how far everybody is."""
    programs = tuple(Program(*row) for row in fetch(_PROGRAMS))
    ((*counts,),) = fetch(_COUNTS)
    return Snapshot(programs, *counts)


def describe_stuck(most: int = 20) -> list[str]:
    """Return who has not completed and why, a line each, then what else is open."""
    lines = [
        f"{name.strip()} <{email}>, {program} ({enrollment}): {where}"
        f"{f' is {step}' if step else ''}, run {run}: {why}"
        for name, email, program, enrollment, where, step, run, why in fetch(_STUCK, most)
    ]
    lines += [
        f"certificate {number} of {name} is {status}"
        for name, number, status in fetch(_WITHOUT_CERTIFICATE, most)
    ]
    lines += [
        f"webhook {kind or '?'} {event} is {status}: {reason or 'not looked at yet'}"
        for kind, event, status, reason in fetch(_OPEN_EVENTS, most)
    ]
    return lines + [
        f"on the attention list: {kind}: {cause}" for kind, cause in fetch(_ATTENTION, most)
    ]
