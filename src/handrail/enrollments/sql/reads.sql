-- What pages ask that row security alone cannot answer.

-- The call that each of these runs waits for, without what partners said about it: for the person
-- whose run it is, and for the organization's staff. Others' runs are left out.
create or replace function find_calls(p_runs uuid[])
returns table (run_id uuid, kind intent_kind, status intent_status, held boolean, attempts integer, calls integer,
               next_attempt_at timestamptz)
language plpgsql stable as $$
begin
  return query
  select r.id, i.kind, i.status, i.held, i.attempts, i.calls, i.next_attempt_at
  from partner_lms_enrollments r
  cross join lateral (
    select * from intents own
    where own.partner_enrollment_id = r.id
      and own.status in ('queued', 'sending', 'failed', 'unknown', 'needs_person')
    union all
    select * from intents account
    where r.status = 'requested' and account.partner_account_id = r.partner_account_id
      and account.kind = 'create_account'
      and account.status in ('queued', 'sending', 'failed', 'unknown', 'needs_person')
    union all
    -- A new run waits until the one before it has ended at the partner.
    select leaving.* from partner_lms_enrollments old
    join intents leaving on leaving.partner_enrollment_id = old.id and leaving.kind = 'unenroll'
      and leaving.status in ('queued', 'sending', 'failed', 'unknown', 'needs_person')
    where r.status = 'requested' and old.partner_account_id = r.partner_account_id
      and old.course_id = r.course_id and old.status = 'cancelling'
    limit 1
  ) i
  where r.id = any (p_runs)
    and (r.organization_id = claim_staff_organization() or r.learner_id = any (own_learner_ids()));
end
$$;
call grant_machine_function('find_calls(uuid[])', 'handrail_web');
