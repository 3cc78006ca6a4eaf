-- Ids of partners that a person entered, and took back when they turned out to be another's. What was reported
-- under such an id stays where it was recorded, on the run that had it, which no step points at any more; the
-- messages are applied once more and find whose they are. docs/decisions/0019.

-- A person entered an id, or took one back: the history of the steps that wait for it.
create or replace function record_id_change(p_account uuid, p_run uuid, p_words text, p_reason text) returns void
language sql as $$
  insert into step_events (organization_id, enrollment_id, step_id, attempt, from_status, to_status, cause_kind, actor_id, reason)
  select s.organization_id, s.enrollment_id, s.id, s.attempt, s.status, s.status, 'person', actor_id(),
         p_words || coalesce(': ' || nullif(btrim(p_reason), ''), '')
  from partner_lms_enrollments r cross join lateral steps_of_run(r.id) s
  where r.partner_account_id = p_account and (p_run is null or r.id = p_run) and (s.status in ('in_progress', 'failed')) is true
$$;

-- May this id be corrected to that one? Words for the person where not.
create or replace function check_correction(p_call uuid, p_old text, p_new text, p_taken boolean) returns void
language plpgsql as $$
begin
  if p_call is null or p_old is null then
    perform refuse('The partner itself named this id; only one that a person entered can be corrected.');
  elsif p_new = p_old then
    perform refuse('This id is there already.');
  elsif p_taken then
    perform refuse('That id already belongs to somebody here. If it was entered there by mistake, correct it there first.');
  end if;
end
$$;

-- Correct the enrollment id that a person entered; an empty one is taken back, and the call needs a person again.
create or replace function correct_partner_id(p_run uuid, p_external_id text, p_reason text) returns void
language plpgsql as $$
declare
  v_run partner_lms_enrollments;
  v_new text := btrim(coalesce(p_external_id, ''));
  v_words text;
  v_step enrollment_steps;
  v_steps uuid[];
  v_enrollments uuid[];
  v_call uuid;
begin
  select * into v_run from partner_lms_enrollments where id = p_run;
  if v_run.id is null then
    raise exception 'no such enrollment at a partner' using errcode = 'P0002';
  end if;
  perform assert_staff(v_run.organization_id);
  perform require_reason(p_reason);
  v_enrollments := array(select id from enrollments
                         where organization_id = v_run.organization_id and learner_id = v_run.learner_id);
  perform lock_enrollments(v_enrollments);
  perform 1 from partner_accounts where id = v_run.partner_account_id for no key update;
  select * into v_run from partner_lms_enrollments where id = p_run for no key update;
  perform refuse_account_id(v_run.partner_account_id, v_new);
  perform check_correction(v_run.entered_by_call, v_run.external_enrollment_id, v_new, exists (
    select from partner_lms_enrollments where provider_id = v_run.provider_id and external_enrollment_id = v_new));
  if v_run.status not in ('active', 'needs_attention', 'completed', 'failed') then
    perform refuse('This enrollment was left; its id is not used any more.');
  end if;
  v_words := 'the partner''s id ' || v_run.external_enrollment_id || ' was entered by mistake';

  if v_run.status in ('completed', 'failed') and v_run.fact_kind in ('person', 'file') then
    -- How it ended does not rest on the id.
    update partner_lms_enrollments
    set external_enrollment_id = nullif(v_new, ''), access_url = '', updated_at = now(),
        entered_by_call = case when v_new <> '' then entered_by_call end
    where id = p_run;
    update intents set status = 'canceled', updated_at = now() where id = v_run.entered_by_call and v_new = '';
    perform record_id_change(v_run.partner_account_id, p_run, v_words, p_reason);
    perform reapply_events(v_run.provider_id, v_run.external_enrollment_id);
    perform wake_waiting_events(v_run.provider_id, array[v_new]);
    return;
  end if;

  if exists (select from steps_of_run(p_run) s join enrollments e on e.id = s.enrollment_id
             where s.status = 'completed' and e.status in ('withdrawn', 'transferred')) then
    perform refuse('A step of an enrollment that is closed was completed under this id; it cannot be taken back.');
  elsif exists (select from steps_of_run(p_run) s where s.status = 'completed')
        and not is_service() and claim_admin_organization() is distinct from v_run.organization_id then
    perform refuse('A step was completed by what was reported under this id. Ask an administrator to correct it.');
  end if;
  update intents set status = 'canceled', updated_at = now() where id = v_run.entered_by_call;
  update partner_lms_enrollments
  set status = 'cancelled', cause = v_words, external_enrollment_id = null, access_url = '', entered_by_call = null,
      updated_at = now()
  where id = p_run;
  perform close_attention(kind, p_run, v_words) from unnest(array['run', 'completion_revoked']) as kind;
  v_steps := array(
    select s.id from steps_of_run(p_run) s join enrollments e on e.id = s.enrollment_id
    where e.status in ('active', 'suspended', 'completed')
      and (s.status in ('in_progress', 'completed')
           or s.status = 'failed' and (s.required or count_taken(s) < s.elective_choose))
    order by s.id);
  for v_step in select * from enrollment_steps where id = any (v_steps) and status = 'completed' order by id loop
    perform reopen_around(v_step, v_words || ': ' || p_reason);
  end loop;
  if v_steps <> '{}' then
    perform start_steps(v_steps, null, cause_of_person(v_words || ': ' || p_reason), true);
    select i.id into v_call
    from enrollment_steps s join intents i on i.partner_enrollment_id = s.partner_enrollment_id
    where s.id = v_steps[1] and i.kind = 'enroll' and i.status = 'queued';
    if v_call is not null then
      perform hand_to_person(v_call, 'wrong_id', v_words || '. Enter the right one, or have it looked up.', true);
    end if;
  end if;
  if v_new <> '' then
    if v_call is null then
      perform refuse('No step needs an enrollment there any more. Leave the id empty to take it back.');
    end if;
    perform enter_partner_id(v_call, v_new, p_reason);
  end if;
  perform hold_calls(id) from enrollments where id = any (v_enrollments) and status = 'suspended';
  perform reapply_events(v_run.provider_id, v_run.external_enrollment_id);
end
$$;

-- Correct the account id that a person entered. What was begun under the wrong account is left and begun anew.
create or replace function correct_account_id(p_account uuid, p_external_id text, p_reason text) returns void
language plpgsql as $$
declare
  v_account partner_accounts;
  v_new text := btrim(coalesce(p_external_id, ''));
  v_words text;
  v_run partner_lms_enrollments;
  v_unsure boolean;
  v_steps uuid[] := '{}';
  v_left uuid[] := '{}';
  v_enrollments uuid[];
begin
  select * into v_account from partner_accounts where id = p_account;
  if v_account.id is null then
    raise exception 'no such account' using errcode = 'P0002';
  end if;
  perform assert_staff(v_account.organization_id);
  perform require_reason(p_reason);
  v_enrollments := array(select id from enrollments
                         where organization_id = v_account.organization_id and learner_id = v_account.learner_id);
  perform lock_enrollments(v_enrollments);
  select * into v_account from partner_accounts where id = p_account for no key update;
  perform 1 from partner_lms_enrollments where partner_account_id = p_account order by id for no key update;
  perform check_correction(v_account.entered_by_call, v_account.external_id, v_new, exists (
    select from partner_accounts where provider_id = v_account.provider_id and external_id = v_new));
  if exists (select from intents where partner_account_id = p_account and status = 'sending') then
    perform refuse('A call to the partner is under way. Try again in a minute.');
  elsif exists (
    select from partner_lms_enrollments r cross join lateral steps_of_run(r.id) s join enrollments e on e.id = s.enrollment_id
    where r.partner_account_id = p_account and r.external_enrollment_id is not null and r.entered_by_call is null
      and s.status = 'completed' and e.status in ('active', 'suspended', 'completed')) then
    perform refuse('A step was completed under this account. An administrator opens it again first; then correct the account.');
  end if;
  v_words := 'the partner''s account ' || v_account.external_id || ' was entered by mistake';
  update partner_accounts
  set former_ids = former_ids || jsonb_build_object('id', external_id, 'corrected_at', now()), external_id = null,
      username = '', login_url = '', entered_by_call = null, updated_at = now()
  where id = p_account;
  for v_run in
    select * from partner_lms_enrollments
    where partner_account_id = p_account and status in ('provisioning', 'active', 'needs_attention') order by id
  loop
    v_unsure := v_run.external_enrollment_id is not null or exists (
      select from intents where partner_enrollment_id = v_run.id and uncertain
        and status in ('queued', 'failed', 'unknown', 'needs_person'));
    perform take_back_calls(v_run.id, 'enroll', true, v_words);
    if not v_unsure then
      update partner_lms_enrollments set status = 'requested', cause = '', updated_at = now() where id = v_run.id;
      continue;
    end if;
    v_steps := v_steps || array(select id from steps_of_run(v_run.id) where status = 'in_progress');
    v_left := v_left || v_run.id;
  end loop;
  perform hand_to_person(v_account.entered_by_call, 'wrong_id', v_words || '. Enter the right one, or have it looked up.', true);
  perform leave_partner(id, (select offers_unenroll from partner_lms_providers where id = v_account.provider_id), true)
  from unnest(v_left) as id;
  if v_steps <> '{}' then
    perform start_steps(v_steps, null, cause_of_person(v_words || ': ' || p_reason), true);
  end if;
  perform record_id_change(p_account, null, v_words, p_reason);
  if v_new <> '' then
    perform enter_partner_id(v_account.entered_by_call, v_new, p_reason);
  end if;
  perform hold_calls(id) from enrollments where id = any (v_enrollments) and status = 'suspended';
end
$$;
