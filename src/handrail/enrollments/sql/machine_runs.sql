-- Runs at a partner: leaving them, and going on once an account or a cancellation is settled.

-- The live enrollments that want a run. A pending elective that nobody chose wants nothing.
create or replace function enrollments_wanting(p_run uuid) returns setof enrollments language sql stable as $$
  select e.*
  from steps_of_run(p_run) s join enrollments e on e.id = s.enrollment_id
  where (s.status in ('in_progress', 'failed') or s.status = 'pending' and (s.required or s.chosen_at is not null))
    and e.status in ('pending', 'active', 'suspended')
$$;

create or replace function run_is_wanted(p_run uuid) returns boolean language sql stable as $$
  select exists (select from enrollments_wanting(p_run))
$$;

-- Whether a new attempt at the course began after this run did: then a completion of it is nobody else's
-- equivalent. Runs are numbered in their order; one that goes on for a later attempt counts from there.
create or replace function is_followed_by_attempt(p_run partner_lms_enrollments) returns boolean language sql stable as $$
  select exists (
    select from partner_lms_enrollments later
    where later.partner_account_id = p_run.partner_account_id and later.course_id = p_run.course_id
      and case when p_run.continued then later.counts_from > p_run.counts_from
               else later.counts_from is not null and later.run > p_run.run end)
$$;

-- A run's calls wait while every enrollment that wants it is suspended.
create or replace function run_is_held(p_run uuid) returns boolean language sql stable as $$
  select coalesce(bool_and(status = 'suspended'), false) from enrollments_wanting(p_run)
$$;

-- An account's call waits while every run that waits for it does.
create or replace function account_is_held(p_account uuid) returns boolean language sql stable as $$
  select coalesce(bool_and(run_is_held(id)), false) from partner_lms_enrollments
  where partner_account_id = p_account and status = 'requested'
$$;

-- Ask the partner for the runs that were waiting for this account or for an older run to end.
create or replace function request_waiting_runs(p_accounts uuid[]) returns void language plpgsql as $$
begin
  with ready as (
    update partner_lms_enrollments r
    set status = 'provisioning', cause = '', updated_at = now()
    from partner_accounts a
    where a.id = any (p_accounts) and a.external_id is not null
      and r.partner_account_id = a.id and r.status = 'requested'
      and not exists (
        select from partner_lms_enrollments old
        where old.partner_account_id = r.partner_account_id and old.course_id = r.course_id
          and old.status = 'cancelling')
    returning r.id, r.organization_id, r.provider_id, r.partner_account_id, r.learner_id
  )
  insert into intents (organization_id, provider_id, kind, partner_account_id, partner_enrollment_id, held)
  select organization_id, provider_id, 'enroll', partner_account_id, id,
         -- Asking for each run costs more than all else here; hardly anybody is suspended.
         exists (select from enrollments e where e.organization_id = ready.organization_id
                   and e.learner_id = ready.learner_id and (e.status = 'suspended') is true)
           and run_is_held(id)
  from ready
  on conflict do nothing;
  if found then
    perform pg_notify('handrail_intents', '');
  end if;
end
$$;

-- A partner spoke of these runs before their turn, and did not say its id of them: ask as after a call that was
-- not answered, for the partner has made the enrollment.
create or replace function ask_for_untold_runs(p_runs uuid[]) returns void language sql as $$
  with untold as (
    update partner_lms_enrollments r
    set status = case when a.external_id is null then 'requested' else 'provisioning' end, updated_at = now()
    from partner_accounts a, partner_lms_providers p
    where r.id = any (p_runs) and (r.status = 'active') is true and r.external_enrollment_id is null
      and a.id = r.partner_account_id and p.id = r.provider_id and p.mode <> 'link'
    returning r.*
  ), enrolling as (
    insert into intents (organization_id, provider_id, kind, partner_account_id, partner_enrollment_id, status, uncertain)
    select organization_id, provider_id, 'enroll', partner_account_id, id, 'unknown', true
    from untold where status = 'provisioning'
  )
  insert into intents (organization_id, provider_id, kind, partner_account_id)
  select distinct organization_id, provider_id, 'create_account', partner_account_id
  from untold where status = 'requested'
  on conflict do nothing
$$;

-- Leave the runs that no live enrollment wants any more. What was never sent is taken back; what may have
-- reached the partner is answered first, then canceled; a partner that cannot be told goes on the list.
create or replace function release_runs(p_runs uuid[]) returns void language plpgsql as $$
declare
  v_run partner_lms_enrollments;
  v_provider partner_lms_providers;
  v_in_flight boolean;
  v_maybe_there boolean;
  v_canceled uuid[];
begin
  for v_run in
    select * from partner_lms_enrollments
    where id = any (p_runs) and status in ('requested', 'provisioning', 'active', 'needs_attention', 'cancelling')
    order by id for no key update
  loop
    continue when run_is_wanted(v_run.id);
    select * into v_provider from partner_lms_providers where id = v_run.provider_id;
    perform 1 from intents where partner_enrollment_id = v_run.id
      and status in ('queued', 'sending', 'failed', 'unknown', 'needs_person') order by id for no key update;
    select coalesce(bool_or(status in ('sending', 'unknown') or uncertain and status = 'failed'), false),
           coalesce(bool_or(status = 'needs_person' and uncertain), false)
    into v_in_flight, v_maybe_there
    from intents where partner_enrollment_id = v_run.id and kind = 'enroll'
      and status in ('sending', 'unknown', 'failed', 'needs_person');
    if v_in_flight then
      -- Its answer is recorded, then it is canceled.
      update partner_lms_enrollments set status = 'cancelling', updated_at = now() where id = v_run.id;
      update intents set held = false
      where partner_enrollment_id = v_run.id and held and status in ('queued', 'sending', 'failed', 'unknown', 'needs_person');
      continue;
    end if;
    with canceled as (
      update intents set status = 'canceled', updated_at = now()
      where partner_enrollment_id = v_run.id and kind = 'enroll' and status in ('queued', 'failed', 'needs_person')
      returning id
    )
    select array_agg(id) into v_canceled from canceled;
    perform close_attention('call', id, 'the run was left') from unnest(v_canceled) as id;
    perform close_attention('run', v_run.id, 'the run was left');
    perform leave_partner(v_run.id, v_provider.offers_unenroll, v_maybe_there or v_provider.mode = 'link' and v_run.status = 'active');
    if v_run.status = 'requested' then
      perform forgo_account(v_run.partner_account_id);
    end if;
  end loop;
end
$$;

-- Take back the call for an account that no run waits for any more, unless the partner may have made it.
create or replace function forgo_account(p_account uuid) returns void language plpgsql as $$
declare
  v_intent uuid;
begin
  update intents set status = 'canceled', updated_at = now()
  where partner_account_id = p_account and kind = 'create_account' and status in ('queued', 'failed', 'needs_person')
    and not uncertain
    and not exists (select from partner_lms_enrollments where partner_account_id = p_account and status = 'requested')
  returning id into v_intent;
  if v_intent is not null then
    perform close_attention('call', v_intent, 'nobody waits for this account any more');
  end if;
end
$$;

-- Cancel a run that is not in flight: by a call where the partner offers one, else here only.
create or replace function leave_partner(p_run uuid, p_offers_unenroll boolean, p_maybe_there boolean) returns void
language plpgsql as $$
declare
  v_run partner_lms_enrollments;
begin
  select * into v_run from partner_lms_enrollments where id = p_run for no key update;
  if v_run.external_enrollment_id is not null and p_offers_unenroll then
    update partner_lms_enrollments set status = 'cancelling', cause = '', updated_at = now() where id = p_run;
    insert into intents (organization_id, provider_id, kind, partner_account_id, partner_enrollment_id)
    values (v_run.organization_id, v_run.provider_id, 'unenroll', v_run.partner_account_id, p_run)
    on conflict do nothing;
    perform pg_notify('handrail_intents', '');
    return;
  end if;
  update partner_lms_enrollments
  set status = 'cancelled', updated_at = now(),
      cause = case when external_enrollment_id is not null or p_maybe_there then 'canceled here; the partner was not told' else '' end
  where id = p_run;
  if v_run.external_enrollment_id is not null or p_maybe_there then
    perform open_attention(v_run.organization_id, 'partner_not_told', p_run,
      'Canceled here, but the partner was not told: it offers no way to leave a course. Tell the partner, then take this off the list.',
      '{}', (select enrollment_id from steps_of_run(p_run) limit 1), v_run.provider_id);
  end if;
  perform request_waiting_runs(array[v_run.partner_account_id]);
end
$$;

-- Hold or release the calls of an enrollment's runs, after it was suspended, resumed or closed. One that is
-- being sent is held too: its answer is recorded, but it is not repeated.
create or replace function hold_calls(p_enrollment uuid) returns void language sql as $$
  update intents i set held = run_is_held(i.partner_enrollment_id), updated_at = now()
  from enrollment_steps s
  where s.enrollment_id = p_enrollment and i.partner_enrollment_id = s.partner_enrollment_id
    and i.status in ('queued', 'sending', 'failed', 'unknown', 'needs_person') and i.kind = 'enroll'
    and i.held is distinct from run_is_held(i.partner_enrollment_id);

  update intents i set held = account_is_held(i.partner_account_id), updated_at = now()
  from enrollment_steps s
  join partner_lms_enrollments r on r.id = s.partner_enrollment_id
  where s.enrollment_id = p_enrollment and i.partner_account_id = r.partner_account_id
    and i.kind = 'create_account' and i.status in ('queued', 'sending', 'failed', 'unknown', 'needs_person')
    and i.held is distinct from account_is_held(i.partner_account_id);

  select pg_notify('handrail_intents', '')
$$;

-- An active enrollment joined these runs: what was held for the suspended ones goes out.
create or replace function release_hold(p_runs uuid[]) returns void language sql as $$
  update intents set held = false, updated_at = now()
  where partner_enrollment_id = any (p_runs) and kind = 'enroll' and held
    and status in ('queued', 'sending', 'failed', 'unknown', 'needs_person');

  update intents i set held = false, updated_at = now()
  from partner_lms_enrollments r
  where r.id = any (p_runs) and (r.status = 'requested') is true and i.partner_account_id = r.partner_account_id
    and i.kind = 'create_account' and i.held
    and i.status in ('queued', 'sending', 'failed', 'unknown', 'needs_person');

  select pg_notify('handrail_intents', '')
$$;
