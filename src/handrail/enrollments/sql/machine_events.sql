-- What partners report. A batch is resolved to runs, locked, folded into facts event by event in order,
-- and settled once.

-- Before an account or a run of a learner is made: in the order of locks, so that nobody who works on one of the
-- enrollments waits for the account while this waits for the enrollment.
create or replace function lock_enrollments_of_learner(p_organization uuid, p_learner uuid) returns void
language sql as $$
  select lock_enrollments(array(
    select id from enrollments where organization_id = p_organization and learner_id = p_learner))
$$;

-- Find the run of an event whose external id is unknown here: our own id echoed by the partner, else the
-- current run of that account (or learner) and course. A report about a course that this person has as a
-- step but no run yet makes the run, as a fact from the partner.
create or replace function find_run(p_event partner_event) returns uuid language plpgsql as $$
declare
  v_provider partner_lms_providers;
  v_external text := nullif(p_event.external_enrollment_id, '');
  v_account partner_accounts;
  v_course uuid;
  v_run partner_lms_enrollments;
begin
  select * into v_provider from partner_lms_providers where id = p_event.provider_id;
  if v_provider.id is null then
    return null;
  end if;
  select * into v_run from partner_lms_enrollments
  where id = p_event.run_id and provider_id = v_provider.id;
  if v_run.id is null then
    select id into v_course from partner_lms_courses
    where organization_id = v_provider.organization_id and provider_id = v_provider.id
      and (id = p_event.course_id or code = p_event.course_code);
    select * into v_account from partner_accounts
    where provider_id = v_provider.id and external_id = nullif(p_event.account_external_id, '');
    if v_account.id is null then  -- each by its own index: together they would read all accounts of the provider
      select * into v_account from partner_accounts
      where provider_id = v_provider.id and learner_id = p_event.learner_id;
    end if;
    if v_course is null or v_account.id is null and p_event.learner_id is null then
      return null;
    end if;
    if v_account.id is null then
      perform lock_enrollments_of_learner(v_provider.organization_id, p_event.learner_id);
      insert into partner_accounts (organization_id, provider_id, learner_id)
      select v_provider.organization_id, v_provider.id, l.id from learners l
      where l.id = p_event.learner_id and l.organization_id = v_provider.organization_id
      on conflict (learner_id, provider_id) do update set updated_at = now()
      returning * into v_account;
    end if;
    select * into v_run from partner_lms_enrollments
    where partner_account_id = v_account.id and course_id = v_course and is_current;
    if v_run.id is null and exists (
         select from enrollments e join enrollment_steps s on s.enrollment_id = e.id
         where e.organization_id = v_provider.organization_id and e.learner_id = v_account.learner_id
           and s.course_id = v_course) then
      perform lock_enrollments_of_learner(v_provider.organization_id, v_account.learner_id);
      insert into partner_lms_enrollments
        (organization_id, partner_account_id, provider_id, learner_id, course_id, run, status, external_enrollment_id,
         fact_kind, fact_id, fact_actor, fact_reason)
      values (v_provider.organization_id, v_account.id, v_provider.id, v_account.learner_id, v_course, 1, 'active', v_external,
              p_event.cause_kind, p_event.cause_id, p_event.actor, coalesce(p_event.cause_reason, ''))
      on conflict do nothing
      returning * into v_run;
    end if;
  end if;
  -- An external enrollment id belongs to one run for ever: a run that has another is not meant.
  if v_run.external_enrollment_id is not null and v_external is not null
     and v_run.external_enrollment_id <> v_external then
    return null;
  end if;
  return v_run.id;
end
$$;

-- Take over one wave: at most one event a run; the runs are locked. Says for each how it ended, which were
-- applied, and of which the attention list must hear.
create or replace function fold_events(
  p_events run_event[], out o_refs text[], out o_outcomes text[], out o_reasons text[], out o_applied text[], out o_to_raise text[])
language plpgsql as $$
begin
  with decided as (
    select e.ref, e.kind, e.external_enrollment_id, e.at, e.percent, e.reason, e.cause_kind, e.cause_id, e.actor, e.cause_reason,
      r.ctid as place, r.status as old_status, r.revoked_at is not null as was_revoked,
      r.external_enrollment_id is null and e.external_enrollment_id <> '' as brings_id,
      -- What the run's status rests on stays its cause, whatever else is reported.
      case r.status when 'completed' then e.kind = 'course.completed' or e.kind = 'course.failed' and r.revoked_at is not null
                    when 'failed' then e.kind in ('course.completed', 'course.failed') else true end as is_cause,
      case
        when r.counts_from is not null and e.at < r.counts_from and (r.continued or not e.by_external and e.by_run is not true)
          then 'dated before this attempt'
        when e.kind = 'course.completed' and r.status = 'completed' and r.revoked_at is null then 'already completed'
        when e.kind = 'course.completed' and r.run > 1 and not e.by_external and e.by_run is not true and exists (
               select from partner_lms_enrollments former
               where former.partner_account_id = r.partner_account_id and former.course_id = r.course_id
                 and former.run < r.run and former.completed_at >= e.at)
          then 'already completed'  -- it names no run: of an earlier one
        when e.kind = 'course.completed' and e.forced is not true and r.failed_at > e.at then 'dated before the failure'
        when e.kind = 'course.completed' and e.forced is not true and r.revoked_at > e.at then 'taken back later'
        when e.kind = 'completion.revoked' and r.completed_at > e.at then 'completed again later'
        when e.kind = 'course.failed' and r.status = 'failed' and r.failed_at >= e.at then 'already failed'
        when e.kind = 'course.failed' and r.completed_at >= e.at and r.revoked_at is null then 'an older failure does not undo a completion'
        when e.kind = 'progress.updated' and r.status = 'completed' and r.revoked_at is null then 'already completed'
        when e.kind = 'progress.updated' and r.progress_at > e.at then 'older than the progress known'
        when e.kind = 'enrollment.created' and r.created_at < now() and r.status not in ('requested', 'provisioning')
             and (r.status not in ('needs_attention', 'cancelling') or r.external_enrollment_id is not null) then 'already known'
        when e.kind = 'enrollment.ended' and r.status in ('completed', 'cancelled', 'failed') then 'the run had ended'
        when e.kind = 'enrollment.ended' and r.status in ('requested', 'provisioning', 'needs_attention', 'cancelling')
             and r.external_enrollment_id is null
          then 'ours is still being asked for'
      end as why_not
    from unnest(p_events) as e join partner_lms_enrollments r on r.id = e.run_id
  ), facts as (
    update partner_lms_enrollments r
    set status = case d.kind
          when 'enrollment.created' then
            case when r.status = 'cancelling' or coalesce(r.external_enrollment_id, nullif(d.external_enrollment_id, '')) is null
                 then r.status else 'active' end
          when 'course.completed' then 'completed'
          when 'course.failed' then case when r.status = 'completed' and r.revoked_at is null then r.status else 'failed' end
          when 'enrollment.ended' then case r.status when 'cancelling' then 'cancelled' else 'needs_attention' end
          else case when d.brings_id and r.status in ('requested', 'provisioning', 'needs_attention') then 'active' else r.status end
          end,
        external_enrollment_id = coalesce(r.external_enrollment_id, nullif(d.external_enrollment_id, '')),
        completed_at = case d.kind when 'course.completed' then d.at else r.completed_at end,
        revoked_at = case d.kind when 'completion.revoked' then d.at when 'course.completed' then null else r.revoked_at end,
        failed_at = case when d.kind = 'course.failed' and (r.status <> 'completed' or r.revoked_at is not null)
                         then d.at else r.failed_at end,
        failure_reason = case when d.kind = 'course.failed' and (r.status <> 'completed' or r.revoked_at is not null)
                              then coalesce(d.reason, '') else r.failure_reason end,
        progress = case d.kind when 'progress.updated' then coalesce(d.percent, r.progress)
                               when 'course.completed' then 100 else r.progress end,
        progress_at = case when d.kind = 'progress.updated' and d.percent is not null then d.at else r.progress_at end,
        cause = case when d.kind = 'enrollment.ended' and r.status <> 'cancelling' then 'The partner ended this enrollment.'
                     when d.kind in ('course.completed', 'course.failed')
                          or d.brings_id then '' else r.cause end,
        fact_kind = case when d.is_cause then d.cause_kind else r.fact_kind end,
        fact_id = case when d.is_cause then d.cause_id else r.fact_id end,
        fact_actor = case when d.is_cause then d.actor else r.fact_actor end,
        fact_reason = case when d.is_cause then coalesce(d.cause_reason, '') else r.fact_reason end,
        updated_at = now()
    from decided d
    where r.ctid = d.place and d.why_not is null and d.kind <> 'certificate.issued'  -- locked, so it stays there
  )
  select array_agg(ref), array_agg(case when why_not is null then 'applied' else 'ignored' end), array_agg(coalesce(why_not, '')),
         array_agg(ref) filter (where why_not is null),
         array_agg(ref) filter (where
           kind = 'enrollment.ended' and old_status = 'cancelled' or why_not is null and (
             kind in ('enrollment.ended', 'completion.revoked')
             or kind = 'course.failed' and old_status = 'completed'
             or kind = 'course.completed' and was_revoked
             or kind in ('course.completed', 'course.failed')
                and old_status in ('requested', 'provisioning', 'needs_attention', 'cancelling', 'cancelled')
             or brings_id and old_status = 'needs_attention'))
  into o_refs, o_outcomes, o_reasons, o_applied, o_to_raise
  from decided;
end
$$;

-- Progress that was taken over shows on the steps under way.
create or replace function show_progress(p_events run_event[]) returns void language sql as $$
  update enrollment_steps s set progress = e.percent, updated_at = now()
  from unnest(p_events) as e
  join partner_lms_enrollments r on r.id = e.run_id
  join enrollments en on en.organization_id = r.organization_id and en.learner_id = r.learner_id
  where e.kind = 'progress.updated' and e.percent is not null
    and s.enrollment_id = en.id and s.partner_enrollment_id = r.id
    and (s.status = 'in_progress') is true  -- by enrollment, not by status
    and s.progress is distinct from e.percent
$$;

-- A run's calls that need no answer any more; with p_known, also those that may have done their work.
create or replace function take_back_calls(p_run uuid, p_kind text, p_known boolean, p_why text) returns void
language plpgsql as $$
declare
  v_intent uuid;
begin
  for v_intent in
    update intents set status = case when uncertain then 'done' else 'canceled' end, updated_at = now()
    where partner_enrollment_id = p_run and kind = p_kind
      and status in ('queued', 'failed', 'unknown', 'needs_person') and (not uncertain or p_known)
    returning id
  loop
    perform close_attention('call', v_intent, p_why);
  end loop;
end
$$;

-- What a report means for the attention list, after its wave was folded.
create or replace function raise_reports(p_events run_event[]) returns void language plpgsql as $$
declare
  v_event run_event;
  v_run partner_lms_enrollments;
  v_enrollment uuid;
  v_intent uuid;
begin
  foreach v_event in array p_events loop
    select * into v_run from partner_lms_enrollments where id = v_event.run_id;
    select s.enrollment_id into v_enrollment from steps_of_run(v_run.id) s limit 1;
    if v_enrollment is null then  -- before its turn: no step points at it
      select s.enrollment_id into v_enrollment
      from enrollments e join enrollment_steps s on s.enrollment_id = e.id
      where e.organization_id = v_run.organization_id and e.learner_id = v_run.learner_id and s.course_id = v_run.course_id
      order by e.created_at desc limit 1;
    end if;
    if v_run.status = 'active' then  -- it came with the id, after it had ended for us
      perform close_attention('run', v_run.id, 'the partner told its id');
    end if;
    case
      when v_event.kind = 'enrollment.ended' and v_run.status = 'needs_attention' then
        perform open_attention(v_run.organization_id, 'run', v_run.id,
          'The partner ended this enrollment before it was completed.', '{}', v_enrollment, v_run.provider_id);
      when v_event.kind = 'enrollment.ended' and v_run.status = 'cancelled' then
        perform take_back_calls(v_run.id, kind, true, 'the partner ended the enrollment')
        from unnest(array['enroll', 'unenroll']) as kind;
        perform close_attention('partner_not_told', v_run.id, 'the partner ended the enrollment');
        perform request_waiting_runs(array[v_run.partner_account_id]);
      when v_event.kind = 'completion.revoked'
           or v_event.kind = 'course.failed' and v_run.status = 'completed'
              and v_event.at > v_run.completed_at then
        perform open_attention(v_run.organization_id, 'completion_revoked', v_run.id,
          'The partner took a completion back' || coalesce(': ' || nullif(rtrim(v_event.reason, '. '), ''), '')
          || case when exists (select from steps_of_run(v_run.id) where status = 'completed')
               then '. Open the step again (an administrator can), or keep the completion.'
               else '. No step was completed by it: one that is in progress goes on until it is reported or marked by hand.' end,
          '{}', v_enrollment, v_run.provider_id);
        if v_run.external_enrollment_id is not null then
          perform take_back_calls(v_run.id, 'enroll', true, 'the partner told its id');
        end if;
      when v_event.kind in ('course.completed', 'course.failed') then
        perform close_attention(kind, v_run.id, 'the partner reported a result')
        from unnest(array['run', 'partner_not_told']) as kind;
        if v_event.kind = 'course.completed' then
          perform close_attention('completion_revoked', v_run.id, 'completed again');
        end if;
        -- Done before we asked for it, or left too late: what was not sent yet need not be sent.
        perform take_back_calls(v_run.id, 'enroll', v_run.external_enrollment_id is not null, 'the partner reported a result');
        perform take_back_calls(v_run.id, 'unenroll', true, 'the partner reported a result');
        perform request_waiting_runs(array[v_run.partner_account_id]);
        perform forgo_account(v_run.partner_account_id);
      when v_event.kind in ('enrollment.created', 'progress.updated') then
        perform take_back_calls(v_run.id, 'enroll', true, 'the partner told its id');
      else
        null;
    end case;
  end loop;
end
$$;

-- Certificates and sensitive results of a batch; kept once, never overwritten.
create or replace function keep_papers(p_events run_event[]) returns void language sql as $$
  insert into partner_certificates (organization_id, partner_enrollment_id, learner_id, external_id, number,
                                    issued_on, expires_on, download_url, verification_url)
  select r.organization_id, r.id, r.learner_id, coalesce(nullif(c.external_id, ''), c.number), coalesce(c.number, ''),
         c.issued_on, c.expires_on, coalesce(c.download_url, ''), coalesce(c.verification_url, '')
  from unnest(p_events) as x
  join partner_lms_enrollments r on r.id = x.run_id
  cross join jsonb_to_record(x.certificate) as c (external_id text, number text, issued_on date, expires_on date,
                                                  download_url text, verification_url text)
  where jsonb_typeof(x.certificate) = 'object' and coalesce(nullif(c.external_id, ''), c.number, '') <> ''
  on conflict do nothing;

  insert into sensitive_results (organization_id, partner_enrollment_id, result, reported_at)
  select r.organization_id, r.id, x.sensitive_result, x.at
  from unnest(p_events) as x
  join partner_lms_enrollments r on r.id = x.run_id
  where x.sensitive_result <> ''
    and not exists (select from sensitive_results s
                    where s.partner_enrollment_id = r.id and s.result = x.sensitive_result
                      and s.reported_at = x.at);
$$;

-- Lock the enrollments a batch may touch: those with a step of these runs' learners and courses. o_under_way: those
-- that move on; o_new: those whose first stage is still to be looked at; o_early: one of the steps is still pending.
create or replace function lock_enrollments_of_runs(
  p_runs uuid[], out o_under_way uuid[], out o_new uuid[], out o_early boolean) language sql as $$
  select array_agg(distinct id) filter (where is_due and started_at is not null),
         array_agg(distinct id) filter (where is_due and started_at is null),
         bool_or(is_early)
  from (
    select e.id, e.status = 'active' and e.start_at <= now() as is_due, e.started_at, s.status = 'pending' as is_early
    from partner_lms_enrollments r
    join enrollments e on e.organization_id = r.organization_id and e.learner_id = r.learner_id
    join enrollment_steps s on s.enrollment_id = e.id and s.course_id = r.course_id
    where r.id = any (p_runs)
    order by e.id for no key update of e
  ) as locked
$$;

-- Fold events whose runs are known, in order, then settle what they touch.
create or replace function take_over_events(p_events run_event[])
returns table (ref text, outcome text, reason text) language plpgsql as $$
declare
  v_runs uuid[];
  v_under_way uuid[];
  v_new uuid[];
  v_waves integer := 1;
  v_wave run_event[] := p_events;
  v_refs text[];
  v_outcomes text[];
  v_reasons text[];
  v_applied text[];
  v_to_raise text[];
  v_has_progress boolean;
  v_has_papers boolean;
  v_has_new_ids boolean;
  v_early boolean;
  v_seen text;
begin
  select array_agg(distinct run_id), bool_or(kind = 'progress.updated' and percent is not null),
         bool_or(certificate is not null or sensitive_result <> ''), bool_or(not by_external and external_enrollment_id <> ''),
         pg_current_snapshot()::text
  into v_runs, v_has_progress, v_has_papers, v_has_new_ids, v_seen
  from unnest(p_events);
  select * into v_under_way, v_new, v_early from lock_enrollments_of_runs(v_runs);
  -- In a statement before those that write them: a version that was committed while this waits is seen by the next.
  perform 1 from partner_lms_enrollments where id = any (v_runs) order by id for no key update;
  if pg_current_snapshot()::text <> v_seen then
    -- Somebody committed meanwhile: an enrollment made in between may have joined one of these runs. From now on
    -- none can, for who joins a run locks it.
    select * into v_under_way, v_new, v_early from lock_enrollments_of_runs(v_runs);
  end if;
  if cardinality(v_runs) < cardinality(p_events) then
    select max(events) into v_waves from (select count(*) as events from unnest(p_events) group by run_id) as per_run;
  end if;
  for v_number in 1 .. v_waves loop
    if v_waves > 1 then  -- the how-manieth of its run
      v_wave := array(
        select p_events[n]
        from (select n, row_number() over (partition by p_events[n].run_id order by n) as number
              from generate_subscripts(p_events, 1) as n) as numbered
        where number = v_number order by n);
    end if;
    select * into v_refs, v_outcomes, v_reasons, v_applied, v_to_raise from fold_events(v_wave);
    if v_has_progress then
      perform show_progress(array(select e from unnest(v_wave) as e where e.ref = any (v_applied)));
    end if;
    if v_to_raise is not null then
      perform raise_reports(array(select e from unnest(v_wave) as e where e.ref = any (v_to_raise)));
    end if;
    return query select * from unnest(v_refs, v_outcomes, v_reasons);
  end loop;
  if v_has_papers then
    perform keep_papers(p_events);
  end if;
  if v_has_new_ids then  -- Others may wait for them.
    perform wake_waiting_events(known.provider_id, known.ids)
    from (select r.provider_id, array_agg(distinct e.external_enrollment_id) as ids
          from unnest(p_events) as e join partner_lms_enrollments r on r.id = e.run_id
          where not e.by_external and e.external_enrollment_id <> '' group by r.provider_id) as known;
  end if;

  if v_early then
    -- Done before its turn: a step that would start later takes the completion over, if it would count at the
    -- start too (place_steps): a late certificate of a course that expired, or was reopened since, completes nothing.
    update enrollment_steps s
    set partner_enrollment_id = r.id, updated_at = now()
    from partner_lms_enrollments r
    join partner_lms_courses c on c.id = r.course_id
    join enrollments e on e.organization_id = r.organization_id and e.learner_id = r.learner_id
    where r.id = any (v_runs) and r.status = 'completed' and r.revoked_at is null
      and (c.valid_months is null or r.completed_at + make_interval(months => c.valid_months) > now())
      and not is_followed_by_attempt(r)
      and s.enrollment_id = e.id and s.course_id = r.course_id and s.status = 'pending'
      and (s.required or s.chosen_at is not null) and not s.demands_new_run
      and s.partner_enrollment_id is distinct from r.id;
  end if;
  if v_new is not null then
    perform settle(v_new, null);
  end if;
  if v_under_way is not null then
    perform settle_under_way(v_under_way, null);
  end if;
end
$$;

-- Apply a batch of partner events, in the order of the array: JSON objects with the fields of partner_event.
-- Returns one row an event: applied, ignored (reason), or waiting (no run of it is known yet).
create or replace function apply_partner_events(p_events jsonb) returns table (ref text, outcome text, reason text)
language plpgsql
as $$
declare
  v_events run_event[];
  v_lost partner_event[];
  v_event partner_event;
begin
  perform assert_service();
  select
    array_agg(row(g.ref, g.kind, g.run, g.external_enrollment_id, coalesce(g.occurred_at, g.received_at, now()), g.percent, g.reason,
        g.sensitive_result, g.certificate, g.cause_kind, g.cause_id, g.actor, g.cause_reason, g.forced, g.direct,
        g.run = g.run_id)::run_event order by g.n) filter (where g.run is not null),
    array_agg(row(g.ref, g.kind, g.provider_id, g.external_enrollment_id, g.run_id, g.account_external_id, g.course_code,
        g.learner_id, g.course_id, g.occurred_at, g.received_at, g.percent, g.reason, g.sensitive_result, g.certificate,
        g.cause_kind, g.cause_id, g.actor, g.cause_reason, g.forced)::partner_event order by g.n) filter (where g.run is null)
  into v_events, v_lost
  from (
    select x.*, r.id is not null as direct,
      case when r.id is not null then r.id
           else find_run(row(x.ref, x.kind, x.provider_id, x.external_enrollment_id, x.run_id, x.account_external_id, x.course_code,
             x.learner_id, x.course_id, x.occurred_at, x.received_at, x.percent, x.reason, x.sensitive_result, x.certificate,
             x.cause_kind, x.cause_id, x.actor, x.cause_reason, x.forced)::partner_event) end as run
    from rows from (jsonb_populate_recordset(null::partner_event, p_events)) with ordinality
      as x (ref, kind, provider_id, external_enrollment_id, run_id, account_external_id, course_code, learner_id, course_id,
            occurred_at, received_at, percent, reason, sensitive_result, certificate, cause_kind, cause_id, actor, cause_reason, forced, n)
    left join partner_lms_enrollments r
      on r.provider_id = x.provider_id and r.external_enrollment_id = x.external_enrollment_id
    offset 0  -- find_run writes: once an event
  ) as g;

  if v_events is not null then
    return query select * from take_over_events(v_events);
  end if;
  foreach v_event in array coalesce(v_lost, '{}') loop
    ref := v_event.ref;
    -- By the partner's ids it may be found once we have heard them too.
    outcome := case when coalesce(v_event.external_enrollment_id, '') = '' and coalesce(v_event.account_external_id, '') = ''
               then 'needs_attention' else 'waiting' end;
    reason := 'no enrollment of ours is known by what it names';
    return next;
  end loop;
end
$$;
