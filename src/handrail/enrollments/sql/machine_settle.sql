-- The heart of the step machine. Everything that happens is first written down as a fact (on a run, a
-- requirement, a choice); settle() then brings steps and enrollments to where the facts put them. It is
-- set-based, changes only what is due, and a repeat changes nothing.
--
-- Order of locks, everywhere: enrollments, partner accounts, runs, intents, each by id.

create or replace function lock_enrollments(p_enrollments uuid[]) returns void language plpgsql as $$
begin
  perform 1 from enrollments where id = any (p_enrollments) order by id for no key update;
end
$$;

-- The steps that point at a run, found through its learner's enrollments.
create or replace function steps_of_run(p_run uuid) returns setof enrollment_steps language sql stable as $$
  select s.*
  from partner_lms_enrollments r
  join enrollments e on e.organization_id = r.organization_id and e.learner_id = r.learner_id
  join enrollment_steps s on s.enrollment_id = e.id and s.partner_enrollment_id = r.id
  where r.id = p_run
$$;

-- The step completed in this transaction that lets an enrollment go on: the cause of what starts next.
create or replace function step_just_completed(p_enrollment uuid) returns uuid language sql stable as $$
  select id from enrollment_steps
  where enrollment_id = p_enrollment and status = 'completed' and updated_at = now()
  order by sequence_order desc, id desc limit 1
$$;

-- The step before is the cause of what follows it; without one, what the caller was asked to do.
create or replace function cause_after(p_step uuid, p_cause change_cause) returns change_cause
language sql immutable as $$
  select case when p_step is not null then row('step', p_step, null, '')::change_cause
              when p_cause is null then row('timer', null, null, '')::change_cause
              else p_cause end
$$;

-- Find each step's run: the current one of that person and course when it is open, or failed before anybody's
-- turn came; else a new one. A course already completed counts as equivalent, unless a new attempt is wanted.
create or replace function place_steps(p_steps uuid[], p_before uuid[], p_new_attempt boolean) returns step_places
language plpgsql as $$
declare
  v_found step_places;
begin
  with place as (
    select s.id as step_id, s.ctid as place, s.status as from_status, given.step_before, s.organization_id, s.provider_id, s.learner_id, s.course_id,
           a.id as account_id, a.external_id is not null as is_known, p.mode, same.id as same_id,
           ongoing.id as ongoing_id, ongoing.run, ongoing.status, ongoing.progress,
           (ongoing.status in ('requested', 'provisioning', 'active', 'needs_attention')
            or ongoing.status = 'failed' and not p_new_attempt and not exists (select from steps_of_run(ongoing.id))
           ) is not true as is_new,
           ongoing.status is not distinct from 'cancelling' as is_leaving,
           case when a.id is not null then uuidv7() end as new_id
    from unnest(p_steps, p_before) as given (step_id, step_before)
    join enrollment_steps s on s.id = given.step_id
    join partner_lms_providers p on p.id = s.provider_id
    left join partner_accounts a on a.learner_id = s.learner_id and a.provider_id = s.provider_id
    left join lateral (
      select r.id, r.run, r.status, r.progress from partner_lms_enrollments r
      where r.partner_account_id = a.id and r.course_id = s.course_id and r.is_current
      limit 1
    ) ongoing on true
    left join lateral (
      select r.id from partner_lms_enrollments r join partner_lms_courses c on c.id = r.course_id
      where ongoing.id is not null and not p_new_attempt and not s.demands_new_run  -- here, not in "on": then it is not run
        and r.partner_account_id = a.id and r.course_id = s.course_id and r.status = 'completed' and r.revoked_at is null
        and (c.valid_months is null or r.completed_at + make_interval(months => c.valid_months) > now())
        and not is_followed_by_attempt(r)
      order by r.completed_at desc limit 1
    ) same on true
  ), placed as (
    select place.*,
      case when not is_new then status
           when mode = 'link' then 'active'
           when is_known and not is_leaving then 'provisioning'
           else 'requested' end as run_status,
      case when not is_new then ongoing_id else first_value(new_id) over (partition by account_id, course_id) end as run_id
    from place
  )
  select
    array_agg(row(
      step_id, place, from_status, step_before, organization_id, provider_id, learner_id, course_id, account_id, is_known, mode,
      same_id, run_id,
      case when not is_new then run
           when ongoing_id is null then 1
           else (select max(r.run) + 1 from partner_lms_enrollments r
                 where r.partner_account_id = placed.account_id and r.course_id = placed.course_id) end,
      run_status, case when not is_new then progress end, is_new, is_leaving)::step_place),
    bool_or(same_id is not null),
    bool_or(same_id is null and is_new),
    bool_or(same_id is null and is_new and ongoing_id is not null),
    bool_or(same_id is null and is_new and run_status = 'requested'),
    bool_or(same_id is not null or run_status in ('completed', 'failed')),
    bool_or(same_id is null and not is_new and run_status in ('requested', 'provisioning', 'active', 'needs_attention')),
    bool_or(same_id is null and (not is_new or is_known is not true or is_leaving))
  into v_found
  from placed;
  return v_found;
end
$$;

-- Make the runs that are not there yet, with the calls that ask the partners for them. Returns false when
-- somebody else made one meanwhile: then look again. (An insert on conflict would look for one each time, and
-- cost a twentieth of an advance.)
create or replace function make_runs(p_found step_places, p_new_attempt boolean) returns boolean language plpgsql as $$
begin
  if p_found.has_later then
    perform 1 from unnest(p_found.places) as v
    join partner_lms_enrollments r on r.partner_account_id = v.account_id and r.course_id = v.course_id and r.is_current
    where v.is_new and v.same_id is null
    order by r.id for no key update of r;
    update partner_lms_enrollments r set is_current = false
    from unnest(p_found.places) as v
    where v.is_new and v.same_id is null
      and r.partner_account_id = v.account_id and r.course_id = v.course_id and r.is_current and r.run < v.run;
  end if;
  with made as (
    insert into partner_lms_enrollments
      (id, organization_id, partner_account_id, provider_id, learner_id, course_id, run, status, counts_from)
    select distinct on (run_id) run_id, organization_id, account_id, provider_id, learner_id, course_id, run, run_status,
           case when p_new_attempt then now() end
    from unnest(p_found.places) where is_new and same_id is null
    returning id, organization_id, provider_id, partner_account_id, status
  )
  insert into intents (organization_id, provider_id, kind, partner_account_id, partner_enrollment_id)
  select organization_id, provider_id, 'enroll', partner_account_id, id from made where status = 'provisioning';
  if p_found.has_requested then
    insert into intents (organization_id, provider_id, kind, partner_account_id)
    select distinct v.organization_id, v.provider_id, 'create_account', v.account_id
    from unnest(p_found.places) as v join partner_accounts a on a.id = v.account_id
    where v.is_new and v.same_id is null and v.run_status = 'requested' and (a.external_id is null) is true
    on conflict (partner_account_id)
      where kind = 'create_account' and status in ('queued', 'sending', 'failed', 'unknown', 'needs_person')
      do update set held = false where intents.held;
  end if;
  perform pg_notify('handrail_intents', '');  -- wakes the worker, once a transaction; it looks by itself too
  return true;
exception when unique_violation then
  return false;
end
$$;

-- Give each step its run. What is about to be recorded of an account or a cancellation, and a run that is
-- about to be left, must not be missed: where it matters, lock it and look again.
create or replace function assign_runs(p_steps uuid[], p_before uuid[], p_new_attempt boolean) returns step_places
language plpgsql as $$
declare
  v_found step_places;
  v_runs uuid[];
  v_locked uuid[];
  v_rounds integer := 0;
begin
  loop
    v_rounds := v_rounds + 1;
    if v_rounds > 100 then
      raise exception 'the runs to be made are always there already';
    end if;
    v_found := place_steps(p_steps, p_before, p_new_attempt);
    if v_found.to_lock then
      v_runs := array(
        select run_id from unnest(v_found.places) where same_id is null and not is_new
        union
        select o.id from unnest(v_found.places) as v
        join partner_lms_enrollments o on o.partner_account_id = v.account_id and o.course_id = v.course_id
        where v.is_leaving);
      if v_locked is null or not v_runs <@ v_locked then
        insert into partner_accounts (organization_id, provider_id, learner_id)
        select distinct organization_id, provider_id, learner_id from unnest(v_found.places) where account_id is null
        order by learner_id, provider_id
        on conflict (learner_id, provider_id) do update set updated_at = now();  -- locks it too
        perform 1 from partner_accounts where id = any (array(select account_id from unnest(v_found.places)))
        order by id for no key update;
        perform 1 from partner_lms_enrollments where id = any (v_runs) order by id for no key update;
        v_locked := v_runs;
        continue;
      end if;
    end if;
    exit when not v_found.has_new or make_runs(v_found, p_new_attempt);
  end loop;
  if v_found.has_open then
    v_runs := array(select run_id from unnest(v_found.places)
                    where same_id is null and not is_new
                      and run_status in ('requested', 'provisioning', 'active', 'needs_attention'));
    perform release_hold(v_runs);
    perform ask_for_untold_runs(v_runs);
  end if;
  return v_found;
end
$$;

-- Start steps: pending (or failed, completed, skipped for a new attempt) to in progress; p_before says which
-- step just completed is the cause. Returns whether something was completed at once, as equivalent, or joined
-- a run that has facts to settle.
create or replace function start_steps(p_steps uuid[], p_before uuid[], p_cause change_cause, p_new_attempt boolean)
returns boolean language plpgsql as $$
declare
  v_found step_places := assign_runs(p_steps, p_before, p_new_attempt);
begin
  if v_found.has_equivalent then
    with done as (
      update enrollment_steps s
      set status = 'completed', partner_enrollment_id = r.id, completed_at = r.completed_at, progress = 100,
          error_message = '', updated_at = now()
      from unnest(v_found.places) as v join partner_lms_enrollments r on r.id = v.same_id
      where s.id = v.step_id
      returning s.*
    )
    insert into step_events (organization_id, enrollment_id, step_id, attempt, from_status, to_status, cause_kind, cause_id)
    select organization_id, enrollment_id, id, attempt, 'pending', 'completed', 'equivalent', partner_enrollment_id
    from done;
  end if;

  with started as (
    update enrollment_steps s
    set status = 'in_progress', partner_enrollment_id = v.run_id, started_at = now(), completed_at = null,
        skip_reason = null, waived_by = null, error_message = '', progress = coalesce(v.progress, 0),
        attempt = s.attempt + (case when p_new_attempt then 1 else 0 end), updated_at = now()
    from unnest(v_found.places) as v
    where s.ctid = v.place and v.same_id is null
    returning s.id, s.organization_id, s.enrollment_id, s.attempt, v.from_status, cause_after(v.step_before, p_cause) as cause
  )
  insert into step_events (organization_id, enrollment_id, step_id, attempt, from_status, to_status,
                           cause_kind, cause_id, actor_id, reason)
  select organization_id, enrollment_id, id, attempt, from_status, 'in_progress', (cause).kind, (cause).id,
         (cause).actor, coalesce((cause).reason, '')
  from started;
  return v_found.has_facts;
end
$$;

-- An elective stage has its N: the others are skipped, not chosen; their runs are left.
create or replace function skip_not_chosen(p_steps uuid[], p_cause change_cause) returns void language plpgsql as $$
declare
  v_runs uuid[];
begin
  with before as (
    select id, status, partner_enrollment_id, step_just_completed(enrollment_id) as step_before
    from enrollment_steps where id = any (p_steps)
  ), skipped as (
    update enrollment_steps s
    set status = 'skipped', skip_reason = 'not_chosen', error_message = '', updated_at = now()
    from before where s.id = before.id
    returning s.id, s.organization_id, s.enrollment_id, s.attempt, before.status as from_status,
              before.partner_enrollment_id as run_id, cause_after(before.step_before, p_cause) as cause
  ), history as (
    insert into step_events (organization_id, enrollment_id, step_id, attempt, from_status, to_status,
                             cause_kind, cause_id, actor_id, reason)
    select organization_id, enrollment_id, id, attempt, from_status, 'skipped',
           (cause).kind, (cause).id, (cause).actor, 'not chosen'
    from skipped
  )
  select array_agg(run_id) filter (where run_id is not null and from_status in ('in_progress', 'failed'))
  into v_runs from skipped;
  if v_runs is not null then
    perform release_runs(v_runs);
  end if;
end
$$;

create or replace function complete_enrollments(p_enrollments uuid[], p_cause change_cause) returns void
language plpgsql as $$
begin
  with finished as (
    update enrollments set status = 'completed', completed_at = now(), updated_at = now()
    where id = any (p_enrollments) and (status = 'active') is true
    returning id, organization_id, cause_after(step_just_completed(id), p_cause) as cause
  )
  insert into step_events (organization_id, enrollment_id, from_status, to_status, cause_kind, cause_id, actor_id, reason)
  select organization_id, id, 'active', 'completed', (cause).kind, (cause).id, (cause).actor, coalesce((cause).reason, '')
  from finished;
  perform issue_credentials(p_enrollments);
end
$$;

-- Bring these enrollments (locked by the caller, active, their first stage looked at) to where the facts put
-- them: a step whose run is completed or failed takes that over, and what is next starts.
create or replace function settle_under_way(p_enrollments uuid[], p_cause change_cause) returns void
language plpgsql as $$
declare
  v_startable uuid[];
  v_before uuid[];
  v_unchosen uuid[];
  v_finished uuid[];
  v_rounds integer := 0;
begin
  loop
    v_rounds := v_rounds + 1;
    if v_rounds > 1000 then
      raise exception 'the step machine does not come to rest';
    end if;
    with step as materialized (
      select s.ctid as place, s.id, s.organization_id, s.enrollment_id, s.attempt, s.sequence_order, s.required,
             s.elective_choose, s.chosen_at, s.skip_reason, s.updated_at, s.status as from_status,
             r.completed_at, r.failure_reason, r.fact_kind, r.fact_id, r.fact_actor, r.fact_reason,
             case when r.status = 'completed' and r.revoked_at is null
                       and (s.status in ('in_progress', 'failed') or s.required or s.chosen_at is not null)
                    or r.status = 'failed' and s.status = 'in_progress' then r.status end as to_status
      from enrollment_steps s
      left join partner_lms_enrollments r  -- what is completed or skipped stays so
        on r.id = case when s.status in ('pending', 'in_progress', 'failed') then s.partner_enrollment_id end
      where s.enrollment_id = any (p_enrollments)
    ), changed as (
      update enrollment_steps s
      set status = step.to_status,
          completed_at = case step.to_status when 'completed' then step.completed_at end,
          progress = case step.to_status when 'completed' then 100 else s.progress end,
          error_message = case step.to_status when 'failed' then step.failure_reason else '' end,
          updated_at = now()
      from step
      where step.to_status is not null and s.ctid = step.place  -- its enrollment is locked, so it stays there
    ), history as (
      insert into step_events (organization_id, enrollment_id, step_id, attempt, from_status, to_status,
                               cause_kind, cause_id, actor_id, reason)
      select organization_id, enrollment_id, id, attempt, from_status, to_status,
             fact_kind, fact_id, fact_actor, fact_reason
      from step where to_status is not null
    )
    select
      array_agg(id) filter (where sequence_order = stage_now and status = 'pending'
                              and (required or chosen_at is not null and not electives_done)),
      array_agg(step_before) filter (where sequence_order = stage_now and status = 'pending'
                                       and (required or chosen_at is not null and not electives_done)),
      array_agg(id) filter (where not required and electives_done and status in ('pending', 'in_progress', 'failed')),
      array_agg(distinct enrollment_id) filter (where stage_now is null)
    into v_startable, v_before, v_unchosen, v_finished
    from (
      select *,
        min(sequence_order) filter (where not electives_done or required and status not in ('completed', 'skipped'))
          over (partition by enrollment_id) as stage_now,
        (max(id::text) filter (where status = 'completed' and is_new) over (partition by enrollment_id))::uuid as step_before
      from (
        select id, enrollment_id, sequence_order, required, chosen_at, status_now as status,
          to_status is not null or updated_at = now() as is_new,
          count(*) filter (where not required and (status_now = 'completed' or skip_reason <> 'not_chosen')) over stage
            >= coalesce(max(elective_choose) over stage, 0) as electives_done
        from (select *, coalesce(to_status, from_status) as status_now from step) as now_at
        window stage as (partition by enrollment_id, sequence_order)
      ) as in_stage
    ) as in_enrollment;

    if v_unchosen is not null then
      perform skip_not_chosen(v_unchosen, p_cause);
    end if;
    if v_finished is not null then
      perform complete_enrollments(v_finished, p_cause);
    end if;
    exit when v_startable is null or not start_steps(v_startable, v_before, p_cause, false);
  end loop;
end
$$;

-- The same for any enrollments (locked by the caller): only an active one whose start date has come moves.
create or replace function settle(p_enrollments uuid[], p_cause change_cause) returns void language plpgsql as $$
declare
  v_under_way uuid[];
  v_new uuid[];
begin
  select array_agg(id), array_agg(id) filter (where started_at is null) into v_under_way, v_new
  from enrollments where id = any (p_enrollments) and (status = 'active') is true and start_at <= now();  -- by id, not by status
  if v_new is not null then
    update enrollments set started_at = now(), updated_at = now() where id = any (v_new);
  end if;
  if v_under_way is not null then
    perform settle_under_way(v_under_way, p_cause);
  end if;
end
$$;
