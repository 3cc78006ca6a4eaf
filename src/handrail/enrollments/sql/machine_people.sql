-- What people, imports and timers do: each function checks its caller, locks the enrollment, writes the
-- fact down with its cause, and settles.

create or replace function cause_of_person(p_reason text) returns change_cause language sql stable as $$
  select row('person', null, actor_id(), coalesce(p_reason, ''))::change_cause
$$;

create or replace function require_reason(p_reason text) returns void language plpgsql as $$
begin
  if btrim(coalesce(p_reason, '')) = '' then
    raise exception 'a reason is needed' using errcode = '23514', hint = 'say in a few words why';
  end if;
end
$$;

create or replace function refuse(p_words text) returns void language plpgsql as $$
begin
  raise exception '%', p_words using errcode = 'HR001';
end
$$;

create or replace function lock_enrollment(p_enrollment uuid, p_admin boolean default false) returns enrollments
language plpgsql as $$
declare
  v_enrollment enrollments;
begin
  select * into v_enrollment from enrollments where id = p_enrollment for no key update;
  if v_enrollment.id is null then
    raise exception 'no such enrollment' using errcode = 'P0002';
  end if;
  perform assert_staff(v_enrollment.organization_id, p_admin);
  return v_enrollment;
end
$$;

-- Lock the enrollments of a step's person, for what happens to its run may touch them all; then read the step.
create or replace function lock_step(p_step uuid, p_admin boolean default false, p_or_learner boolean default false)
returns enrollment_steps language plpgsql as $$
declare
  v_step enrollment_steps;
begin
  select * into v_step from enrollment_steps where id = p_step;
  if v_step.id is null then
    raise exception 'no such step' using errcode = 'P0002';
  end if;
  if not (p_or_learner and not is_service() and v_step.learner_id = any (own_learner_ids())) then
    perform assert_staff(v_step.organization_id, p_admin);
  end if;
  perform lock_enrollments(array(
    select id from enrollments where learner_id = v_step.learner_id and organization_id = v_step.organization_id));
  select * into v_step from enrollment_steps where id = p_step for no key update;
  return v_step;
end
$$;

create or replace function record_step_change(p_step enrollment_steps, p_to text, p_cause change_cause) returns void
language sql as $$
  insert into step_events (organization_id, enrollment_id, step_id, attempt, from_status, to_status,
                           cause_kind, cause_id, actor_id, reason)
  values (p_step.organization_id, p_step.enrollment_id, p_step.id, p_step.attempt, p_step.status, p_to,
          p_cause.kind, p_cause.id, p_cause.actor, coalesce(p_cause.reason, ''))
$$;

create or replace function change_enrollment(p_enrollment enrollments, p_to text, p_cause change_cause) returns void
language sql as $$
  update enrollments
  set status = p_to, updated_at = now(),
      activated_at = case when p_to = 'active' then coalesce(activated_at, now()) else activated_at end,
      completed_at = null
  where id = p_enrollment.id;
  insert into step_events (organization_id, enrollment_id, from_status, to_status, cause_kind, cause_id, actor_id, reason)
  values (p_enrollment.organization_id, p_enrollment.id, p_enrollment.status, p_to,
          p_cause.kind, p_cause.id, p_cause.actor, coalesce(p_cause.reason, ''))
$$;

create or replace function refuse_second_live(p_enrollment enrollments) returns void language plpgsql as $$
begin
  if exists (select from enrollments
             where learner_id = p_enrollment.learner_id and program_id = p_enrollment.program_id
               and id <> p_enrollment.id and status in ('pending', 'active', 'suspended')) then
    perform refuse('This person has another enrollment in this program that is not finished.');
  end if;
end
$$;

-- One row a program step of the pinned version; a repeat adds nothing. Returns how many were added.
create or replace function generate_enrollment_steps(enrollment_id uuid) returns integer language plpgsql as $$
#variable_conflict use_variable
declare
  v_enrollment enrollments;
  v_count integer;
begin
  v_enrollment := lock_enrollment(enrollment_id);
  insert into enrollment_steps (organization_id, enrollment_id, learner_id, program_step_id, provider_id, course_id,
                                sequence_order, required, elective_choose, demands_new_run)
  select v_enrollment.organization_id, v_enrollment.id, v_enrollment.learner_id, p.id, p.provider_id, p.course_id,
         p.sequence_order, p.required, p.elective_choose, p.demands_new_run
  from program_partner_lms p
  where p.organization_id = v_enrollment.organization_id and p.program_version_id = v_enrollment.program_version_id
    and not exists (select from enrollment_steps s where s.enrollment_id = v_enrollment.id and s.program_step_id = p.id)
  order by p.sequence_order, p.id;
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

-- Enroll a learner in the newest published version of a program. The enrollment waits for its requirements.
create or replace function create_enrollment(
  p_learner uuid, p_program uuid, p_funding_source text, p_start_date date
) returns uuid language plpgsql as $$
declare
  v_learner learners;
  v_version program_versions;
  v_id uuid;
begin
  select * into v_learner from learners where id = p_learner;
  if v_learner.id is null then
    raise exception 'no such learner' using errcode = 'P0002';
  end if;
  perform assert_staff(v_learner.organization_id);
  if exists (select from programs where id = p_program and archived_at is not null) then
    perform refuse('This program is archived; nobody is enrolled in it any more.');
  end if;
  select * into v_version from program_versions
  where organization_id = v_learner.organization_id and program_id = p_program and published_at is not null
  order by number desc limit 1;
  if v_version.id is null then
    perform refuse('This program has no published version.');
  end if;
  insert into enrollments (organization_id, learner_id, program_id, program_version_id, funding_source, start_date, start_at)
  values (v_learner.organization_id, p_learner, p_program, v_version.id, p_funding_source, p_start_date,
          p_start_date::timestamp at time zone (select time_zone from organizations where id = v_learner.organization_id))
  returning id into v_id;
  insert into enrollment_requirements (organization_id, enrollment_id, kind)
  values (v_learner.organization_id, v_id, 'approved');
  perform generate_enrollment_steps(v_id);
  return v_id;
end
$$;

-- The only way to active: no requirement open, and the limit allows it. Returns whether it is active now.
create or replace function activate_enrollment(p_enrollment uuid, p_cause change_cause) returns boolean
language plpgsql as $$
declare
  v_enrollment enrollments;
begin
  v_enrollment := lock_enrollment(p_enrollment);
  if v_enrollment.status <> 'pending' then
    return v_enrollment.status = 'active';
  end if;
  if exists (select from enrollment_requirements where enrollment_id = p_enrollment and met_at is null)
     or not enrollment_limit_allows(p_enrollment) then
    return false;
  end if;
  perform generate_enrollment_steps(p_enrollment);
  perform change_enrollment(v_enrollment, 'active', p_cause);
  perform reattempt_left_runs(p_enrollment, p_cause);
  perform settle(array[p_enrollment], p_cause);
  return true;
end
$$;

-- Meet a requirement. The last one activates the enrollment in this transaction. p_cause: import, approval.
create or replace function meet_requirement(p_enrollment uuid, p_kind text, p_cause text) returns void
language plpgsql as $$
declare
  v_enrollment enrollments;
begin
  v_enrollment := lock_enrollment(p_enrollment);
  if p_cause <> 'approval' then  -- what else meets one is not done by people
    perform assert_service();
  end if;
  update enrollment_requirements set met_at = now(), cause = p_cause
  where enrollment_id = p_enrollment and kind = p_kind and met_at is null;
  if not found then
    if not exists (select from enrollment_requirements where enrollment_id = p_enrollment and kind = p_kind) then
      raise exception 'this enrollment has no requirement %', p_kind using errcode = 'P0002';
    end if;
    return;
  end if;
  if v_enrollment.status in ('withdrawn', 'transferred') then
    perform open_attention(v_enrollment.organization_id, 'late_requirement', p_enrollment,
      'A requirement (' || p_kind || ') was met when the enrollment was ' || v_enrollment.status || ' already.', '{}', p_enrollment);
  elsif v_enrollment.status = 'pending' then
    perform activate_enrollment(p_enrollment, row(p_cause, null, actor_id(), '')::change_cause);
  end if;
end
$$;

-- Start what became due: enrollments whose start date has come. A timer.
create or replace function start_due_enrollments(p_limit integer) returns integer language plpgsql as $$
declare
  v_due uuid[];
begin
  perform assert_service();
  select array_agg(id) into v_due from (
    select id from enrollments where status = 'active' and started_at is null and start_at <= now()
    order by start_at limit p_limit for no key update skip locked) as due;
  perform settle(v_due, row('timer', null, null, 'the start date has come')::change_cause);
  return coalesce(cardinality(v_due), 0);
end
$$;

-- The door of the origin's enroll calls, which ask for nothing that is not due anyway.
create or replace function start_enrollment(p_enrollment uuid) returns void language plpgsql as $$
begin
  perform lock_enrollment(p_enrollment);
  perform settle(array[p_enrollment], cause_of_person('asked to start what is due'));
end
$$;

create or replace function refuse_choice_when_over(p_enrollment uuid) returns void language plpgsql as $$
begin
  if (select status not in ('pending', 'active', 'suspended') from enrollments where id = p_enrollment) then
    perform refuse('This enrollment is finished; nothing can be chosen any more.');
  end if;
end
$$;

-- How many electives of the step's stage are taken: chosen, completed or waived. A failed one is not.
create or replace function count_taken(p_step enrollment_steps) returns bigint language sql stable as $$
  select count(*) from enrollment_steps
  where enrollment_id = p_step.enrollment_id and sequence_order = p_step.sequence_order and not required
    and (status = 'completed' or status in ('pending', 'in_progress') and chosen_at is not null
         or status = 'skipped' and skip_reason <> 'not_chosen')
$$;

-- An elective is chosen, by its student or by staff; it starts when its stage does.
create or replace function choose_elective(p_step uuid) returns void language plpgsql as $$
declare
  v_step enrollment_steps;
begin
  v_step := lock_step(p_step, p_or_learner => true);
  if v_step.required then
    perform refuse('This step is required; only electives are chosen.');
  end if;
  perform refuse_choice_when_over(v_step.enrollment_id);
  if v_step.chosen_at is not null and v_step.status in ('pending', 'in_progress', 'completed') then
    return;
  elsif v_step.status <> 'pending' then
    perform refuse('This elective cannot be chosen now.');
  elsif count_taken(v_step) >= v_step.elective_choose then
    perform refuse('Enough electives are chosen; take one back first.');
  end if;
  update enrollment_steps set chosen_at = now(), updated_at = now() where id = p_step;
  perform settle(array[v_step.enrollment_id], cause_of_person('chosen'));
  if exists (select from enrollment_steps where id = p_step and status = 'pending') then  -- its turn is still to come
    perform record_step_change(v_step, 'pending', cause_of_person('chosen'));
  end if;
end
$$;

-- A choice is taken back, until it is completed; its run is left. The step goes on pointing at it, so that a
-- failure that was applied is not taken for one that came before its turn.
create or replace function unchoose_elective(p_step uuid) returns void language plpgsql as $$
declare
  v_step enrollment_steps;
begin
  v_step := lock_step(p_step, p_or_learner => true);
  if v_step.required or v_step.status not in ('pending', 'in_progress', 'failed') then
    perform refuse('Only an elective that is not completed can be taken back.');
  end if;
  perform refuse_choice_when_over(v_step.enrollment_id);
  if v_step.chosen_at is null and v_step.status = 'pending' then
    return;
  end if;
  update enrollment_steps set status = 'pending', chosen_at = null, progress = 0, error_message = '', updated_at = now()
  where id = p_step;
  perform record_step_change(v_step, 'pending', cause_of_person('choice taken back'));
  if v_step.partner_enrollment_id is not null then
    perform release_runs(array[v_step.partner_enrollment_id]);
  end if;
end
$$;

-- A person says how a step ended, with evidence. The fact is written on its run, as a partner's would be.
create or replace function mark_run(p_step enrollment_steps, p_kind text, p_at timestamptz, p_reason text) returns void
language plpgsql as $$
declare
  v_outcome record;
begin
  if p_step.status not in ('in_progress', 'failed') then
    perform refuse('Only a step that is in progress or failed can be marked.');
  elsif p_step.attempt > 1 and p_at < p_step.started_at then
    perform refuse('The date lies before this attempt began; what was before does not count. Waive the step instead.');
  end if;
  select * into v_outcome from take_over_events(array[jsonb_populate_record(null::run_event, jsonb_build_object(
    'ref', 'mark', 'kind', p_kind, 'run_id', p_step.partner_enrollment_id, 'at', p_at, 'reason', p_reason,
    'cause_kind', 'person', 'actor', actor_id(), 'cause_reason', p_reason, 'forced', true, 'by_external', true))]);
  if v_outcome.outcome <> 'applied' then
    perform refuse('Not marked: ' || v_outcome.reason || '.');
  end if;
end
$$;

-- When something was of which a person knows the day in the organization's zone. A day has no hour: its end, so
-- that the same day counts; not after now.
create or replace function end_of_day(p_organization uuid, p_day date) returns timestamptz language plpgsql stable as $$
declare
  v_zone text := (select time_zone from organizations where id = p_organization);
begin
  if p_day > (now() at time zone v_zone)::date then
    perform refuse('The date lies in the future.');
  end if;
  return least(((p_day + 1)::timestamp at time zone v_zone) - interval '1 second', now());
end
$$;

create or replace function complete_step(p_step uuid, p_completed_on date, p_note text) returns void language plpgsql as $$
declare
  v_step enrollment_steps;
begin
  v_step := lock_step(p_step);
  perform require_reason(p_note);
  perform mark_run(v_step, 'course.completed', end_of_day(v_step.organization_id, p_completed_on), p_note);
end
$$;

create or replace function fail_step(p_step uuid, p_failed_on date, p_note text) returns void language plpgsql as $$
declare
  v_step enrollment_steps;
begin
  v_step := lock_step(p_step);
  perform require_reason(p_note);
  if v_step.status <> 'in_progress' then
    perform refuse('Only a step in progress can be marked as failed.');
  end if;
  perform mark_run(v_step, 'course.failed', end_of_day(v_step.organization_id, p_failed_on), p_note);
end
$$;

-- A new attempt at a failed step.
create or replace function retry_step(p_step uuid, p_reason text) returns void language plpgsql as $$
declare
  v_step enrollment_steps;
  v_status text;
begin
  v_step := lock_step(p_step);
  select status into v_status from enrollments where id = v_step.enrollment_id;
  if v_step.status <> 'failed' or v_status <> 'active' then
    perform refuse('Only a failed step of an active enrollment can be tried again.');
  elsif not v_step.required and count_taken(v_step) >= v_step.elective_choose then
    perform refuse('Enough electives are chosen; take one back first.');
  end if;
  perform start_steps(array[p_step], null, cause_of_person(p_reason), true);
  perform settle(array[v_step.enrollment_id], cause_of_person(p_reason));
end
$$;

-- A waiver: the step is not required of this person.
create or replace function skip_step(p_step uuid, p_waiver text, p_reason text) returns void language plpgsql as $$
declare
  v_step enrollment_steps;
  v_status text;
begin
  v_step := lock_step(p_step);
  perform require_reason(p_reason);
  if p_waiver not in ('tested_out', 'equivalent_course', 'outside_experience', 'administrative') then
    perform refuse('Choose why the step is waived: tested out, equivalent course, outside experience or administrative.');
  end if;
  select status into v_status from enrollments where id = v_step.enrollment_id;
  if v_step.status not in ('pending', 'in_progress', 'failed') or v_status not in ('pending', 'active', 'suspended') then
    perform refuse('Only a step that is not finished can be waived.');
  end if;
  update enrollment_steps
  set status = 'skipped', skip_reason = p_waiver, waived_by = actor_id(), error_message = '', updated_at = now()
  where id = p_step;
  perform record_step_change(v_step, 'skipped', cause_of_person(p_waiver || ': ' || p_reason));
  if v_step.partner_enrollment_id is not null then
    perform release_runs(array[v_step.partner_enrollment_id]);
  end if;
  perform settle(array[v_step.enrollment_id], cause_of_person(p_reason));
end
$$;

-- What opens with a finished step that is opened again: its enrollment, whose credential is revoked, and the
-- electives that were not chosen for it.
create or replace function reopen_around(p_step enrollment_steps, p_reason text) returns void language plpgsql as $$
declare
  v_enrollment enrollments;
  v_sibling enrollment_steps;
  v_cause change_cause := cause_of_person(p_reason);
begin
  select * into v_enrollment from enrollments where id = p_step.enrollment_id;
  if v_enrollment.status = 'completed' then
    perform refuse_second_live(v_enrollment);
    perform revoke_credential(v_enrollment.id, p_reason);
    perform change_enrollment(v_enrollment, 'active', v_cause);
  end if;
  if not p_step.required then
    for v_sibling in
      select * from enrollment_steps
      where enrollment_id = p_step.enrollment_id and sequence_order = p_step.sequence_order and skip_reason = 'not_chosen'
    loop
      update enrollment_steps
      set status = 'pending', skip_reason = null, chosen_at = null, progress = 0, updated_at = now()
      where id = v_sibling.id;
      perform record_step_change(v_sibling, 'pending', v_cause);
    end loop;
    update enrollment_steps set chosen_at = coalesce(chosen_at, now()) where id = p_step.id;
  end if;
end
$$;

-- An administrator opens a finished step again: a new attempt. A completed enrollment is active again and its
-- credential is revoked.
create or replace function reopen_step(p_step uuid, p_reason text) returns void language plpgsql as $$
declare
  v_step enrollment_steps;
  v_enrollment enrollments;
  v_cause change_cause;
begin
  v_step := lock_step(p_step, p_admin => true);
  perform require_reason(p_reason);
  v_cause := cause_of_person(p_reason);
  select * into v_enrollment from enrollments where id = v_step.enrollment_id;
  if v_step.status not in ('completed', 'skipped') or v_step.skip_reason = 'not_chosen' then
    perform refuse('Only a completed or waived step can be opened again.');
  end if;
  if v_enrollment.status not in ('active', 'completed') then
    perform refuse('The enrollment is ' || v_enrollment.status || '; a step can be opened again while it is active or completed.');
  elsif v_enrollment.started_at is null then
    perform refuse('The enrollment has not begun; a step can be opened again from its start date on.');
  elsif not v_step.required and v_step.elective_choose <= (
          select count(*) from enrollment_steps
          where enrollment_id = v_step.enrollment_id and sequence_order = v_step.sequence_order and not required
            and id <> p_step and (status = 'completed' or skip_reason <> 'not_chosen')) then
    perform refuse('Enough other electives of this stage are completed or waived; opened again, this one would be skipped at once.');
  end if;
  perform reopen_around(v_step, p_reason);
  perform start_steps(array[p_step], null, v_cause, true);
  if not exists (select from steps_of_run(v_step.partner_enrollment_id) where status = 'completed') then
    perform close_attention('completion_revoked', v_step.partner_enrollment_id, 'opened again: ' || p_reason);
  end if;
  perform settle(array[v_step.enrollment_id], v_cause);
end
$$;

create or replace function suspend_enrollment(p_enrollment uuid, p_reason text) returns void language plpgsql as $$
declare
  v_enrollment enrollments;
begin
  v_enrollment := lock_enrollment(p_enrollment);
  perform require_reason(p_reason);
  if v_enrollment.status = 'suspended' then
    return;
  elsif v_enrollment.status <> 'active' then
    perform refuse('Only an active enrollment can be suspended; this one is ' || v_enrollment.status || '.');
  end if;
  perform change_enrollment(v_enrollment, 'suspended', cause_of_person(p_reason));
  perform hold_calls(p_enrollment);
end
$$;

-- Applies what was recorded meanwhile, then starts what is due.
create or replace function resume_enrollment(p_enrollment uuid, p_reason text) returns void language plpgsql as $$
declare
  v_enrollment enrollments;
begin
  v_enrollment := lock_enrollment(p_enrollment);
  if v_enrollment.status = 'active' then
    return;
  elsif v_enrollment.status <> 'suspended' then
    perform refuse('Only a suspended enrollment can be resumed; this one is ' || v_enrollment.status || '.');
  end if;
  perform change_enrollment(v_enrollment, 'active', cause_of_person(p_reason));
  perform hold_calls(p_enrollment);
  perform settle(array[p_enrollment], cause_of_person(p_reason));
end
$$;

create or replace function close_enrollment(p_enrollment enrollments, p_to text, p_reason text) returns void
language plpgsql as $$
declare
  v_runs uuid[];
begin
  perform change_enrollment(p_enrollment, p_to, cause_of_person(p_reason));
  select array_agg(partner_enrollment_id order by partner_enrollment_id) into v_runs from enrollment_steps
  where enrollment_id = p_enrollment.id and status in ('pending', 'in_progress', 'failed') and partner_enrollment_id is not null;
  perform release_runs(v_runs);
  perform hold_calls(p_enrollment.id);
end
$$;

create or replace function withdraw_enrollment(p_enrollment uuid, p_reason text) returns void language plpgsql as $$
declare
  v_enrollment enrollments;
begin
  v_enrollment := lock_enrollment(p_enrollment);
  perform require_reason(p_reason);
  if v_enrollment.status = 'withdrawn' then
    return;
  elsif v_enrollment.status not in ('pending', 'active', 'suspended') then
    perform refuse('This enrollment is ' || v_enrollment.status || ' and cannot be withdrawn.');
  end if;
  perform close_enrollment(v_enrollment, 'withdrawn', p_reason);
end
$$;

-- An administrator takes a withdrawal back: pending again, requirements met stay met, canceled runs get a
-- new attempt, facts recorded meanwhile apply.
create or replace function undo_withdrawal(p_enrollment uuid, p_reason text) returns void language plpgsql as $$
declare
  v_enrollment enrollments;
begin
  v_enrollment := lock_enrollment(p_enrollment, p_admin => true);
  perform require_reason(p_reason);
  if v_enrollment.status <> 'withdrawn' then
    perform refuse('Only a withdrawn enrollment can be taken up again; this one is ' || v_enrollment.status || '.');
  end if;
  perform refuse_second_live(v_enrollment);
  perform change_enrollment(v_enrollment, 'pending', cause_of_person(p_reason));
  perform close_attention('late_requirement', p_enrollment, 'the withdrawal was undone');
  perform activate_enrollment(p_enrollment, cause_of_person(p_reason));
end
$$;

-- Steps in progress whose run was canceled, by a withdrawal that was undone, get a new attempt.
create or replace function reattempt_left_runs(p_enrollment uuid, p_cause change_cause) returns void language plpgsql as $$
declare
  v_steps uuid[];
begin
  select array_agg(s.id) into v_steps
  from enrollment_steps s join partner_lms_enrollments r on r.id = s.partner_enrollment_id
  where s.enrollment_id = p_enrollment and (s.status = 'in_progress') is true and r.status in ('cancelling', 'cancelled');
  if v_steps is not null then
    perform start_steps(v_steps, null, p_cause, true);
  end if;
end
$$;

-- An administrator transfers to another program, or to the newest published version of the same: closes this
-- enrollment and opens the new one, in one transaction. Completed courses come over as equivalent, waivers as waivers. Returns the new enrollment.
create or replace function transfer_enrollment(p_enrollment uuid, p_program uuid, p_reason text) returns uuid
language plpgsql as $$
declare
  v_old enrollments;
  v_new uuid;
  v_cause change_cause := cause_of_person(p_reason);
  v_runs uuid[];
begin
  v_old := lock_enrollment(p_enrollment, p_admin => true);
  perform require_reason(p_reason);
  if v_old.status not in ('pending', 'active', 'suspended') then
    perform refuse('This enrollment is ' || v_old.status || ' and cannot be transferred.');
  elsif v_old.program_version_id = (
    select id from program_versions
    where organization_id = v_old.organization_id and program_id = p_program and published_at is not null
    order by number desc limit 1) then
    perform refuse('This person is in the newest version of that program already.');
  elsif exists (select from enrollments
                where learner_id = v_old.learner_id and program_id = p_program and id <> p_enrollment
                  and status in ('pending', 'active', 'suspended')) then
    perform refuse('This person has another enrollment in that program that is not finished.');
  end if;
  perform change_enrollment(v_old, 'transferred', v_cause);
  v_new := create_enrollment(v_old.learner_id, p_program, v_old.funding_source, v_old.start_date);
  update enrollments set transferred_from = p_enrollment where id = v_new;
  update enrollment_requirements n set met_at = o.met_at, cause = o.cause
  from enrollment_requirements o
  where n.enrollment_id = v_new and o.enrollment_id = p_enrollment and o.kind = n.kind and o.met_at is not null;
  perform carry_waivers(p_enrollment, v_new);
  -- A run that the new enrollment's step of the same course will join stays open. Of a stage's electives those are
  -- chosen that were taken before, the furthest first, as many as the stage takes beside those waived.
  with matching as (
    select n.id, n.required, n.sequence_order, n.elective_choose, o.status, o.partner_enrollment_id, o.chosen_at,
      row_number() over (
        partition by n.sequence_order, n.required
        order by array_position(array['completed', 'in_progress', 'pending', 'failed'], o.status::text), n.course_id) as place
    from enrollment_steps n join enrollment_steps o on o.course_id = n.course_id
    where n.enrollment_id = v_new and o.enrollment_id = p_enrollment and n.status = 'pending'
      and (o.status in ('in_progress', 'failed') and n.required
           or not n.required and (o.status in ('completed', 'in_progress')
                                  or o.status in ('pending', 'failed') and o.chosen_at is not null))
  )
  update enrollment_steps n
  set partner_enrollment_id = case when m.status in ('in_progress', 'failed') then m.partner_enrollment_id end,
      chosen_at = case when not m.required then coalesce(m.chosen_at, now()) end
  from matching m
  where n.id = m.id and (m.required or m.place <= m.elective_choose - (
    select count(*) from enrollment_steps w
    where w.enrollment_id = v_new and w.sequence_order = m.sequence_order and not w.required and w.status = 'skipped'));
  select array_agg(partner_enrollment_id order by partner_enrollment_id) into v_runs from enrollment_steps
  where enrollment_id = p_enrollment and status in ('pending', 'in_progress', 'failed') and partner_enrollment_id is not null;
  perform release_runs(v_runs);
  perform hold_calls(v_new);  -- the old one may have been suspended
  perform activate_enrollment(v_new, v_cause);
  return v_new;
end
$$;

create or replace function carry_waivers(p_from uuid, p_to uuid) returns void language sql as $$
  with waived as (
    select n.id, n.organization_id, n.attempt, o.skip_reason, o.waived_by, o.id as old_step
    from enrollment_steps n join enrollment_steps o on o.course_id = n.course_id
    where n.enrollment_id = p_to and o.enrollment_id = p_from and n.status = 'pending'
      and o.status = 'skipped' and o.skip_reason <> 'not_chosen'
  ), carried as (
    update enrollment_steps n
    set status = 'skipped', skip_reason = waived.skip_reason, waived_by = waived.waived_by, updated_at = now()
    from waived where n.id = waived.id
  )
  insert into step_events (organization_id, enrollment_id, step_id, attempt, from_status, to_status, cause_kind, cause_id, actor_id, reason)
  select organization_id, p_to, id, attempt, 'pending', 'skipped', 'equivalent', old_step, actor_id(), 'waiver carried over'
  from waived
$$;
