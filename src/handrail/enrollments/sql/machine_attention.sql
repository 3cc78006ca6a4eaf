-- How a person resolves what needs a person.

-- What lies with the provider, not with one of its learners: its calls wait together, under one entry of the
-- attention list, until it is configured anew or a person has them tried again.
create or replace function is_of_provider(p_cause text) returns boolean language sql immutable as $$
  select p_cause in ('credentials', 'configuration', 'address', 'redirect')
$$;

-- A call that was claimed before the provider was configured anew, or so shortly after that its worker may not
-- have known, says nothing about what is configured now: it is made again by itself. The intent is locked.
create or replace function repeat_as_configured(p_intent uuid, p_cause text, p_uncertain boolean) returns boolean
language plpgsql as $$
begin
  if not is_of_provider(p_cause) then
    return false;
  end if;
  update intents i
  set status = case when p_uncertain then 'unknown' else 'failed' end, uncertain = p_uncertain, lease_until = null,
      first_sent_at = case when p_uncertain then first_sent_at end,
      next_attempt_at = now() + interval '5 seconds', updated_at = now()
  from partner_lms_providers p
  where i.id = p_intent and p.id = i.provider_id
    and i.updated_at < p.configured_at + interval '10 seconds';  -- updated when it was claimed
  return found;
end
$$;

create or replace function attend_provider(p_intent intents) returns void language sql as $$
  select open_attention(p_intent.organization_id, 'provider_calls', p_intent.provider_id,
    case p_intent.details ->> 'cause'
      when 'credentials' then 'The partner refuses the credentials that it is called with: '
      else 'The partner cannot be called as it is configured: ' end || p_intent.error,
    '{}', null, p_intent.provider_id)
$$;

-- Take the provider's entry off the list when none of its calls waits any more. The entry is locked first, so
-- that a call that is being put under it is seen, or opens it anew.
create or replace function release_provider(p_provider uuid, p_words text) returns void language plpgsql as $$
begin
  perform 1 from attention_items
  where kind = 'provider_calls' and subject_id = p_provider and resolved_at is null for update;
  if found and not exists (
       select from intents where provider_id = p_provider and awaits_provider and status = 'needs_person') then
    perform close_attention('provider_calls', p_provider, p_words);
  end if;
end
$$;

-- A timer: calls that waited for a provider may have been left, or answered by the partner's own report.
create or replace function release_providers() returns void language plpgsql as $$
begin
  perform assert_service();
  perform release_provider(subject_id, 'no call waits for it any more')
  from attention_items where kind = 'provider_calls' and resolved_at is null order by subject_id;
end
$$;

-- Make the calls again that wait for a provider: those that may have done the work look first, as ever.
-- Returns how many there were.
create or replace function retry_provider_calls(p_provider uuid, p_note text) returns integer language plpgsql as $$
declare
  v_organization uuid := (select organization_id from partner_lms_providers where id = p_provider);
  v_calls uuid[];
  v_count integer := 0;
begin
  if v_organization is null then
    raise exception 'no such provider' using errcode = 'P0002';
  end if;
  perform assert_staff(v_organization);
  loop
    v_calls := array(select id from intents where provider_id = p_provider and awaits_provider and status = 'needs_person');
    exit when v_calls = '{}';
    perform lock_enrollments(array(
      select e.id from partner_accounts a join enrollments e on e.organization_id = a.organization_id and e.learner_id = a.learner_id
      where a.id = any (array(select partner_account_id from intents where id = any (v_calls)))));
    perform 1 from partner_accounts
    where id = any (array(select partner_account_id from intents where id = any (v_calls))) order by id for no key update;
    perform 1 from partner_lms_enrollments
    where id = any (array(select partner_enrollment_id from intents where id = any (v_calls))) order by id for no key update;
    v_calls := array(select id from intents where id = any (v_calls) and (status = 'needs_person') is true
                     order by id for no key update);
    update intents
    set status = case when uncertain then 'unknown' else 'queued' end, awaits_provider = false, attempts = 0,
        next_attempt_at = now(), error = '', updated_at = now(),
        -- It was refused, so nothing was done: a new key, for the partner may remember the old one's failure.
        first_sent_at = case when uncertain then first_sent_at end,
        details = case when uncertain then details else details || jsonb_build_object('key', uuidv7()) end
    where id = any (v_calls);
    update partner_lms_enrollments set status = 'provisioning', cause = '', updated_at = now()
    where id = any (array(select partner_enrollment_id from intents where id = any (v_calls)))
      and (status = 'needs_attention') is true and external_enrollment_id is null;
    v_count := v_count + cardinality(v_calls);
    perform release_provider(p_provider, 'tried again' || coalesce(': ' || nullif(btrim(p_note), ''), ''));
  end loop;
  perform release_provider(p_provider, 'no call waits for it any more');
  if v_count > 0 then
    perform pg_notify('handrail_intents', '');
  end if;
  return v_count;
end
$$;

create or replace function lock_call(p_intent uuid) returns intents language plpgsql as $$
declare
  v_intent intents;
begin
  select * into v_intent from intents where id = p_intent;
  if v_intent.id is null then
    raise exception 'no such call' using errcode = 'P0002';
  end if;
  perform assert_staff(v_intent.organization_id);
  perform lock_enrollments(array(
    select e.id from partner_accounts a join enrollments e on e.organization_id = a.organization_id and e.learner_id = a.learner_id
    where a.id = v_intent.partner_account_id));
  perform 1 from partner_accounts where id = v_intent.partner_account_id for no key update;
  perform 1 from partner_lms_enrollments where id = v_intent.partner_enrollment_id for no key update;
  select * into v_intent from intents where id = p_intent for no key update;
  if v_intent.status <> 'needs_person' then
    perform refuse('This call no longer waits for a person.');
  end if;
  return v_intent;
end
$$;

-- Take what a call waits under off the list: its own entry, or its provider's when it was the last one there.
create or replace function close_call(p_intent intents, p_words text, p_note text) returns void language plpgsql as $$
declare
  v_words text := p_words || coalesce(': ' || nullif(btrim(p_note), ''), '');
begin
  perform close_attention('call', p_intent.id, v_words);
  if p_intent.awaits_provider then
    perform release_provider(p_intent.provider_id, v_words);
  end if;
end
$$;

-- Try again; with p_look_up, ask the partner first whether the work was done. Without it, the person vouches
-- that it was not.
create or replace function retry_call(p_intent uuid, p_look_up boolean, p_note text) returns void language plpgsql as $$
declare
  v_intent intents;
begin
  v_intent := lock_call(p_intent);
  update intents
  set status = case when p_look_up then 'unknown' else 'queued' end, uncertain = p_look_up, awaits_provider = false,
      attempts = 0, next_attempt_at = now(), error = '', updated_at = now(),
      -- A person saw that the partner did nothing: a new key, for the partner may remember the old one's failure.
      first_sent_at = case when p_look_up then first_sent_at end,
      details = case when p_look_up then details else details || jsonb_build_object('key', uuidv7()) end
  where id = p_intent;
  update partner_lms_enrollments set status = 'provisioning', cause = '', updated_at = now()
  where id = v_intent.partner_enrollment_id and status = 'needs_attention' and external_enrollment_id is null;
  perform close_call(v_intent, case when p_look_up then 'looked up again' else 'tried again' end, p_note);
  perform pg_notify('handrail_intents', '');
end
$$;

-- Both ids stand on the partner's page of a person.
create or replace function refuse_account_id(p_account uuid, p_external_id text) returns void language plpgsql as $$
begin
  if (select external_id from partner_accounts where id = p_account) = btrim(p_external_id) then
    perform refuse('That is the account''s id. Enter the enrollment''s.');
  end if;
end
$$;

-- Enter the id that the person found at the partner.
create or replace function enter_partner_id(p_intent uuid, p_external_id text, p_note text) returns void
language plpgsql as $$
declare
  v_intent intents;
begin
  v_intent := lock_call(p_intent);
  if btrim(coalesce(p_external_id, '')) = '' then
    perform refuse('Enter the id that the partner shows for this person.');
  end if;
  if v_intent.kind = 'unenroll' then
    perform refuse('Leaving a course needs no id; try again or dismiss it.');
  elsif v_intent.kind = 'enroll' then
    perform refuse_account_id(v_intent.partner_account_id, p_external_id);
  end if;
  if exists (select from partner_lms_enrollments where provider_id = v_intent.provider_id
             and external_enrollment_id = btrim(p_external_id) and v_intent.kind = 'enroll')
     or exists (select from partner_accounts where provider_id = v_intent.provider_id
             and external_id = btrim(p_external_id) and v_intent.kind = 'create_account') then
    perform refuse('That id already belongs to somebody here.');
  end if;
  update intents set status = 'done', error = '', updated_at = now() where id = p_intent;
  if v_intent.kind = 'create_account' then
    perform record_accounts(array[jsonb_populate_record(null::call_result,
      jsonb_build_object('intent_id', p_intent, 'external_id', btrim(p_external_id)))]);
  else
    perform record_enrollments(array[jsonb_populate_record(null::call_result,
      jsonb_build_object('intent_id', p_intent, 'external_id', btrim(p_external_id)))]);
  end if;
  update partner_accounts set entered_by_call = p_intent
  where id = v_intent.partner_account_id and v_intent.kind = 'create_account';
  update partner_lms_enrollments set entered_by_call = p_intent where id = v_intent.partner_enrollment_id;
  perform record_id_change(v_intent.partner_account_id, v_intent.partner_enrollment_id,
                           'the partner''s id ' || btrim(p_external_id) || ' was entered', p_note);
  perform close_call(v_intent, 'id entered: ' || btrim(p_external_id), p_note);
end
$$;

-- The partner allows one enrollment: go on under the old id; only facts dated after the new attempt count.
create or replace function continue_old_run(p_intent uuid, p_note text) returns void language plpgsql as $$
declare
  v_intent intents := lock_call(p_intent);
  v_enrollments uuid[] := array(select enrollment_id from steps_of_run(v_intent.partner_enrollment_id));
  v_new partner_lms_enrollments;
  v_old partner_lms_enrollments;
begin
  select * into v_new from partner_lms_enrollments where id = v_intent.partner_enrollment_id;
  select * into v_old from partner_lms_enrollments
  where provider_id = v_intent.provider_id and external_enrollment_id = v_intent.details ->> 'external_id'
    and partner_account_id = v_new.partner_account_id and course_id = v_new.course_id
  for no key update;
  if v_old.id is null or v_intent.kind <> 'enroll' then
    perform refuse('The partner''s id is not one of an earlier attempt of this person in this course.');
  end if;
  update intents set status = 'canceled', updated_at = now() where id = p_intent;
  update partner_lms_enrollments
  set status = 'cancelled', is_current = false, cause = 'goes on under an earlier enrollment', updated_at = now()
  where id = v_new.id;
  update partner_lms_enrollments
  set status = 'active', is_current = true, continued = true, counts_from = v_new.created_at, completed_at = null, failed_at = null,
      failure_reason = '', revoked_at = null, progress = null, progress_at = null, cause = '', updated_at = now()
  where id = v_old.id;
  update enrollment_steps set partner_enrollment_id = v_old.id, updated_at = now()
  where enrollment_id = any (v_enrollments) and partner_enrollment_id = v_new.id and status = 'in_progress';
  perform close_call(v_intent, 'goes on under the old id', p_note);
  perform close_attention(kind, v_old.id, 'goes on for a new attempt') from unnest(array['partner_not_told', 'run']) as kind;
end
$$;

-- Whether something still waits for the answer to a call: a run that is not there yet, or one for its account.
create or replace function call_is_awaited(p_intent uuid) returns boolean language sql stable as $$
  select case i.kind
    when 'unenroll' then false
    when 'enroll' then r.status in ('requested', 'provisioning', 'needs_attention')
    else exists (select from partner_lms_enrollments w
                 where w.partner_account_id = i.partner_account_id and w.status = 'requested') end
  from intents i left join partner_lms_enrollments r on r.id = i.partner_enrollment_id
  where i.id = p_intent
$$;

-- What only had to be known.
create or replace function dismiss_attention(p_item uuid, p_note text) returns void language plpgsql as $$
declare
  v_item attention_items;
  v_account uuid;
begin
  select * into v_item from attention_items where id = p_item;
  if v_item.id is null then
    raise exception 'no such entry' using errcode = 'P0002';
  end if;
  perform assert_staff(v_item.organization_id);
  perform require_reason(p_note);
  -- In the order of locks; who closes an entry has locked what it is about.
  v_account := (select partner_account_id from partner_lms_enrollments where id = v_item.subject_id
                union all select partner_account_id from intents where id = v_item.subject_id);
  perform lock_enrollments_of_learner(organization_id, learner_id) from partner_accounts where id = v_account;
  perform 1 from partner_accounts where id = v_account for no key update;
  perform 1 from partner_lms_enrollments where partner_account_id = v_account order by id for no key update;
  perform 1 from intents where id = v_item.subject_id for no key update;
  select * into v_item from attention_items where id = p_item for update;
  if v_item.resolved_at is not null then
    return;
  end if;
  if v_item.kind = 'provider_calls' and exists (
       select from intents where provider_id = v_item.subject_id and awaits_provider and status = 'needs_person') then
    perform refuse('Calls still wait for this partner: set it up, then have them tried again.');
  elsif v_item.kind = 'call' and call_is_awaited(v_item.subject_id) then
    perform refuse('This call still waits for a decision: try again, enter the partner''s id, or mark the step.');
  elsif v_item.kind = 'run' then
    if exists (select from partner_lms_enrollments where id = v_item.subject_id and status = 'needs_attention')
       and exists (select from steps_of_run(v_item.subject_id) s join enrollments e on e.id = s.enrollment_id
                   where s.status = 'in_progress' and e.status in ('pending', 'active', 'suspended')) then
      perform refuse('This step is still in progress: mark it completed or failed, or waive it.');
    end if;
    -- It ended before its turn: a step that starts later must not join it.
    update partner_lms_enrollments set status = 'cancelled', updated_at = now()
    where id = v_item.subject_id and status = 'needs_attention';
  end if;
  if v_item.kind = 'call' then
    update intents set status = 'canceled', updated_at = now() where id = v_item.subject_id and status = 'needs_person';
    update partner_lms_enrollments r set status = 'cancelled', cause = 'canceled here; the partner was not told', updated_at = now()
    from intents i where i.id = v_item.subject_id and r.id = i.partner_enrollment_id and r.status = 'cancelling';
    perform request_waiting_runs(array[i.partner_account_id]) from intents i where i.id = v_item.subject_id;
  end if;
  update attention_items set resolved_at = now(), resolved_by = actor_id(), resolution = 'dismissed: ' || p_note
  where id = p_item;
end
$$;
