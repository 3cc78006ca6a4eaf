-- Calls to partners: claimed with a lease and a fence, recorded by whoever still holds the fence.

-- Claim up to p_limit calls that are due, leased for p_lease_seconds by the database's clock: of each provider
-- at most p_each, less what p_taken says of it in the place it has in p_providers. Providers are found by
-- skipping through the index, so that a long queue at one costs the others nothing.
create or replace function claim_intents(
  p_limit integer, p_lease_seconds double precision, p_each integer, p_providers uuid[], p_taken integer[]
) returns setof claimed_call language plpgsql
as $$
begin
  perform assert_service();
  if (select outbound_held from installation) then
    return;
  end if;
  return query
  with recursive provider as (
    (select i.provider_id as id from intents i
     where i.status in ('queued', 'failed', 'unknown') and not i.held
     order by i.provider_id limit 1)
    union all
    select (select i.provider_id from intents i
            where i.status in ('queued', 'failed', 'unknown') and not i.held and i.provider_id > provider.id
            order by i.provider_id limit 1)
    from provider where provider.id is not null
  ), due as (
    select mine.id
    from provider
    cross join lateral (
      select i.id from intents i
      where i.provider_id = provider.id and i.status in ('queued', 'failed', 'unknown') and not i.held
        and i.next_attempt_at <= now()
      order by i.next_attempt_at, i.id
      limit greatest(0, p_each - coalesce(p_taken[array_position(p_providers, provider.id)], 0))
      for no key update skip locked
    ) mine
    limit p_limit
  ), claimed as (
    update intents i
    set status = 'sending', fence = i.fence + 1, calls = i.calls + 1, first_sent_at = coalesce(i.first_sent_at, now()),
        lease_until = now() + make_interval(secs => p_lease_seconds), updated_at = now()
    from due where i.id = due.id
    returning i.*
  )
  select c.id, c.provider_id, c.kind, c.fence, coalesce(c.details ->> 'key', c.id::text),
         extract(epoch from now() - c.first_sent_at)::double precision, c.uncertain, c.attempts, c.calls,
         l.first_name, l.last_name, l.email_normalized, l.phone, l.birth_date,
         a.external_id, k.code, r.external_enrollment_id, r.saved, r.status = 'cancelling',
         case when c.uncertain then array(
           select o.external_enrollment_id from partner_lms_enrollments o
           where o.partner_account_id = r.partner_account_id and o.course_id = r.course_id and o.id <> r.id
             and o.external_enrollment_id is not null) end
  from claimed c
  join partner_accounts a on a.id = c.partner_account_id
  join learners l on l.id = a.learner_id
  left join partner_lms_enrollments r on r.id = c.partner_enrollment_id
  left join partner_lms_courses k on k.id = r.course_id;
end
$$;

-- A worker that died or stopped in the middle of a call: nobody knows whether the partner did it.
create or replace function expire_leases() returns integer language plpgsql as $$
declare
  v_count integer;
begin
  perform assert_service();
  with expired as (
    select id from intents where status = 'sending' and lease_until < now() order by id for no key update skip locked
  )
  update intents i
  set status = 'unknown', uncertain = true, next_attempt_at = now(), error = 'the worker stopped during the call',
      updated_at = now()
  from expired where i.id = expired.id;
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

-- Keep what an adapter must remember between two calls of one enrollment (a paid voucher's id).
create or replace function save_call_facts(p_intent uuid, p_fence bigint, p_saved jsonb) returns boolean
language plpgsql as $$
declare
  v_run uuid := (select partner_enrollment_id from intents where id = p_intent);
begin
  perform assert_service();
  perform 1 from partner_lms_enrollments where id = v_run for no key update;
  perform 1 from intents where id = p_intent and fence = p_fence and status = 'sending' for no key update;
  if not found then
    return false;
  end if;
  update partner_lms_enrollments set saved = saved || p_saved, updated_at = now() where id = v_run;
  return true;
end
$$;
create or replace function record_accounts(p_results call_result[]) returns void language plpgsql as $$
declare
  v_accounts uuid[];
begin
  update partner_accounts a
  set external_id = x.external_id, username = coalesce(x.username, ''), login_url = coalesce(x.login_url, ''), updated_at = now()
  from unnest(p_results) as x join intents i on i.id = x.intent_id
  where a.id = i.partner_account_id and (a.external_id is null) is true;
  select array_agg(i.partner_account_id) into v_accounts
  from unnest(p_results) as x join intents i on i.id = x.intent_id;
  perform request_waiting_runs(v_accounts);
end
$$;

create or replace function record_enrollments(p_results call_result[]) returns void language plpgsql as $$
declare
  v_left uuid[];
  v_run partner_lms_enrollments;
  v_ids text[];
  v_provider uuid;
begin
  with known as (
    select r.id, r.status, x.external_id, x.login_url
    from unnest(p_results) as x join intents i on i.id = x.intent_id
    join partner_lms_enrollments r on r.id = i.partner_enrollment_id
  )
  update partner_lms_enrollments r
  set external_enrollment_id = known.external_id, access_url = coalesce(known.login_url, ''), updated_at = now(),
      -- A run that needs a person though its id was known was ended by the partner: an answer does not mend that.
      cause = case when r.status = 'needs_attention' and r.external_enrollment_id is not null then r.cause else '' end,
      status = case when r.status in ('requested', 'provisioning')
                         or r.status = 'needs_attention' and r.external_enrollment_id is null then 'active' else r.status end
  from known where r.id = known.id;

  for v_provider, v_ids in
    select i.provider_id, array_agg(x.external_id) from unnest(p_results) as x join intents i on i.id = x.intent_id
    group by i.provider_id
  loop
    perform wake_waiting_events(v_provider, v_ids);
  end loop;

  -- Left while the call was in flight: now it can be canceled.
  for v_run in
    select r.* from unnest(p_results) as x join intents i on i.id = x.intent_id
    join partner_lms_enrollments r on r.id = i.partner_enrollment_id
    where r.status = 'cancelling' order by r.id
  loop
    perform leave_partner(v_run.id, (select offers_unenroll from partner_lms_providers where id = v_run.provider_id), true);
  end loop;
end
$$;

create or replace function record_departures(p_results call_result[]) returns void language plpgsql as $$
begin
  update partner_lms_enrollments r set status = 'cancelled', cause = '', updated_at = now()
  from unnest(p_results) as x join intents i on i.id = x.intent_id
  where r.id = i.partner_enrollment_id and (r.status = 'cancelling') is true;
  perform request_waiting_runs(array(
    select i.partner_account_id from unnest(p_results) as x join intents i on i.id = x.intent_id));
end
$$;

-- The partner does not know the account any more: keep its id in the history, find or make it again.
create or replace function forget_account(p_account uuid) returns void language plpgsql as $$
begin
  update partner_accounts
  set former_ids = former_ids || jsonb_build_object('id', external_id, 'gone_at', now()), external_id = null, updated_at = now()
  where id = p_account and external_id is not null;
  update partner_lms_enrollments set status = 'requested', updated_at = now()
  where partner_account_id = p_account and status = 'provisioning' and external_enrollment_id is null;
  update intents set status = 'canceled', updated_at = now()
  where partner_enrollment_id in (select id from partner_lms_enrollments where partner_account_id = p_account)
    and kind = 'enroll' and status in ('queued', 'sending', 'failed', 'unknown');
  insert into intents (organization_id, provider_id, kind, partner_account_id, held)
  select organization_id, provider_id, 'create_account', id, account_is_held(id) from partner_accounts
  where id = p_account and exists (
    select from partner_lms_enrollments where partner_account_id = p_account and status = 'requested')
  on conflict do nothing;
  -- What was being left there is gone with it.
  perform release_runs(array(
    select id from partner_lms_enrollments
    where partner_account_id = p_account and status = 'cancelling' and external_enrollment_id is null order by id));
  perform pg_notify('handrail_intents', '');
end
$$;

-- A call that only a person can decide.
create or replace function hand_to_person(p_intent uuid, p_cause text, p_words text, p_uncertain boolean) returns void
language plpgsql as $$
declare
  v_intent intents;
  v_run partner_lms_enrollments;
begin
  if repeat_as_configured(p_intent, p_cause, p_uncertain) then
    return;
  end if;
  update intents
  set status = 'needs_person', error = p_words, uncertain = p_uncertain, updated_at = now(),
      awaits_provider = is_of_provider(p_cause), details = details || jsonb_build_object('cause', p_cause)
  where id = p_intent
  returning * into v_intent;
  select * into v_run from partner_lms_enrollments where id = v_intent.partner_enrollment_id;
  if v_intent.kind = 'enroll' and v_run.status = 'cancelling' then
    -- Left meanwhile: nobody waits for this enrollment.
    update intents set status = 'canceled' where id = p_intent;
    perform leave_partner(v_intent.partner_enrollment_id,
      (select offers_unenroll from partner_lms_providers where id = v_intent.provider_id), p_uncertain);
    return;
  end if;
  if v_intent.kind = 'unenroll' and v_run.status <> 'cancelling'
     or v_intent.kind = 'enroll' and p_cause <> 'other_id'
        and (v_run.status in ('completed', 'failed', 'cancelled') or v_run.external_enrollment_id is not null)
     or v_intent.kind = 'create_account' and not p_uncertain and not exists (
       select from partner_lms_enrollments where partner_account_id = v_intent.partner_account_id and status = 'requested') then
    -- The partner reported meanwhile what this call was to find out, or nobody waits for it any more.
    update intents set status = 'canceled' where id = p_intent;
    return;
  end if;
  if v_intent.kind = 'enroll' then
    update partner_lms_enrollments set status = 'needs_attention', cause = p_words, updated_at = now()
    where id = v_intent.partner_enrollment_id and status in ('requested', 'provisioning');
  end if;
  if v_intent.awaits_provider then
    perform attend_provider(v_intent);
    return;
  end if;
  perform open_attention(v_intent.organization_id, 'call', p_intent, p_words,
    jsonb_build_object('cause', p_cause, 'call', v_intent.kind, 'run_id', v_intent.partner_enrollment_id,
                       'account_id', v_intent.partner_account_id),
    (select s.enrollment_id from partner_lms_enrollments r cross join lateral steps_of_run(r.id) s
     where r.partner_account_id = v_intent.partner_account_id
       and (v_intent.partner_enrollment_id is null or r.id = v_intent.partner_enrollment_id)
     order by s.status = 'in_progress' desc limit 1),
    v_intent.provider_id);
end
$$;

-- Record the results of calls: JSON objects with the fields of call_result. Returns the intents whose results
-- were taken. The others' are not: their fence is another's by now, or somebody has a row of theirs locked at
-- this moment (who waits for one lock lets all others wait); bring them again while the lease lasts.
create or replace function record_call_results(p_results jsonb, p_max_attempts integer default 8) returns setof uuid
language plpgsql
as $$
declare
  v_given call_result[];
  v_accounts uuid[];
  v_runs uuid[];
  v_intents uuid[];
  v_all_locked boolean;
  v_results call_result[];
  v_done call_result[];
  v_result call_result;
  v_kind text;
  v_account uuid;
  v_words text;
begin
  perform assert_service();
  select array_agg(x) into v_given from jsonb_populate_recordset(null::call_result, p_results) as x;
  if v_given is null then
    return;
  end if;
  v_accounts := array(
    select a.id from partner_accounts a
    where a.id = any (array(select i.partner_account_id from unnest(v_given) as x join intents i on i.id = x.intent_id
                            where i.kind = 'create_account' or x.cause = 'account_gone'))
    order by a.id for no key update skip locked);
  v_runs := array(
    select r.id from partner_lms_enrollments r
    where r.id = any (array(select i.partner_enrollment_id from unnest(v_given) as x join intents i on i.id = x.intent_id))
    order by r.id for no key update skip locked);
  v_intents := array(
    select i.id from intents i where i.id = any (array(select x.intent_id from unnest(v_given) as x))
    order by i.id for no key update skip locked);
  -- Usually all; then nobody looks through these lists for each result, which is most of the time in a long batch.
  select count(distinct i.id) = cardinality(v_intents) and count(distinct i.partner_enrollment_id) = cardinality(v_runs)
         and count(distinct i.partner_account_id) filter (where i.kind = 'create_account' or x.cause = 'account_gone')
             = cardinality(v_accounts)
  into v_all_locked
  from unnest(v_given) as x join intents i on i.id = x.intent_id;

  -- An id that another account or run already has is not taken over: that needs a person.
  select array_agg(case when x.result = 'done' and taken.words is not null
                        then row(x.intent_id, x.fence, 'needs_person', x.external_id, null, null, taken.words, null,
                                 false, false, taken.cause)::call_result
                        when x.cause = 'account_gone' and i.kind = 'unenroll'  -- gone with the account
                        then row(x.intent_id, x.fence, 'done', null, null, null, null, null, null, null, null)::call_result
                        else x end)
  into v_results
  from unnest(v_given) as x
  -- "is true" here and below keeps the planner on the primary key, off a partial index that was empty when it looked.
  join intents i on i.id = x.intent_id and i.fence = x.fence and (i.status = 'sending') is true
    and (v_all_locked
         or i.id = any (v_intents) and (i.partner_enrollment_id is null or i.partner_enrollment_id = any (v_runs))
            and (i.kind <> 'create_account' and x.cause is distinct from 'account_gone' or i.partner_account_id = any (v_accounts)))
  left join lateral (
    select 'account_taken' as cause,
           'The partner answered with the account ' || x.external_id || ', which belongs to somebody else here.' as words
    where i.kind = 'create_account' and exists (
      select from partner_accounts a where a.provider_id = i.provider_id and a.external_id = x.external_id and a.id <> i.partner_account_id)
    union all
    select 'one_enrollment',
           'The partner allows one enrollment: it answered with ' || x.external_id || ', which an earlier attempt already used.'
    where i.kind = 'enroll' and exists (
      select from partner_lms_enrollments r where r.provider_id = i.provider_id and r.external_enrollment_id = x.external_id
        and r.id <> i.partner_enrollment_id)
    union all
    select 'other_id',
           'The partner answered with ' || x.external_id || ', but reported ' || r.external_enrollment_id || ' for this enrollment before.'
    from partner_lms_enrollments r
    where i.kind = 'enroll' and r.id = i.partner_enrollment_id and (r.external_enrollment_id <> x.external_id) is true
    limit 1
  ) taken on true;
  if v_results is null then
    return;
  end if;

  select array_agg(x) filter (where x.result = 'done') into v_done from unnest(v_results) as x;
  if v_done is not null then
    update intents i set status = 'done', error = '', lease_until = null, uncertain = false, attempts = i.attempts + 1, updated_at = now()
    from unnest(v_done) as x where i.id = x.intent_id;
    for v_kind in select distinct i.kind from unnest(v_done) as x join intents i on i.id = x.intent_id loop
      case v_kind
        when 'create_account' then
          perform record_accounts(array(select x from unnest(v_done) as x join intents i on i.id = x.intent_id where i.kind = v_kind));
        when 'enroll' then
          perform record_enrollments(array(select x from unnest(v_done) as x join intents i on i.id = x.intent_id where i.kind = v_kind));
        when 'unenroll' then
          perform record_departures(array(select x from unnest(v_done) as x join intents i on i.id = x.intent_id where i.kind = v_kind));
      end case;
    end loop;
  end if;

  foreach v_result in array v_results loop
    continue when v_result.result = 'done';
    if v_result.result = 'needs_person' and v_result.cause = 'account_gone' then
      select partner_account_id into v_account from intents where id = v_result.intent_id;
      if (select jsonb_array_length(former_ids) from partner_accounts where id = v_account) < 3 then
        perform forget_account(v_account);
        continue;
      end if;
    end if;
    if v_result.result = 'needs_person' then
      perform hand_to_person(v_result.intent_id, coalesce(v_result.cause, 'refused'), v_result.error, coalesce(v_result.uncertain, false));
      if v_result.external_id is not null then
        update intents set details = details || jsonb_build_object('external_id', v_result.external_id) where id = v_result.intent_id;
        update attention_items set details = details || jsonb_build_object('external_id', v_result.external_id)
        where kind = 'call' and subject_id = v_result.intent_id and resolved_at is null;
      end if;
      continue;
    end if;
    update intents
    set status = v_result.result, error = coalesce(v_result.error, ''), lease_until = null,
        attempts = attempts + (case when coalesce(v_result.counts, true) then 1 else 0 end),
        uncertain = coalesce(v_result.uncertain, v_result.result = 'unknown'),
        -- Known not to have happened: the partner has no key of ours to remember.
        first_sent_at = case when coalesce(v_result.uncertain, v_result.result = 'unknown') then first_sent_at end,
        next_attempt_at = now() + make_interval(secs => coalesce(v_result.after_seconds, 60)), updated_at = now()
    where id = v_result.intent_id
    returning case when attempts >= p_max_attempts then 'Tried ' || attempts || ' times. Last answer: ' || error end into v_words;
    if v_words is not null then
      perform hand_to_person(v_result.intent_id, 'exhausted', v_words, coalesce(v_result.uncertain, v_result.result = 'unknown'));
    end if;
    -- Left while the call was in flight, and the call is known not to have happened.
    perform release_runs(array[i.partner_enrollment_id]) from intents i
    where i.id = v_result.intent_id and i.kind = 'enroll' and v_result.result = 'failed' and not i.uncertain;
    -- The partner ended the enrollment meanwhile, as we wanted: it is not asked for again.
    perform take_back_calls(r.id, 'enroll', true, 'the run was left')
    from intents i join partner_lms_enrollments r on r.id = i.partner_enrollment_id
    where i.id = v_result.intent_id and i.kind = 'enroll' and r.status = 'cancelled';
    perform forgo_account(i.partner_account_id) from intents i
    where i.id = v_result.intent_id and i.kind = 'create_account' and v_result.result = 'failed';
  end loop;
  return query select x.intent_id from unnest(v_results) as x;
end
$$;
