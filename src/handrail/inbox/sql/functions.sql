-- What others may do with stored messages: the ingress, the step machine, people and commands.

-- Store a batch of verified messages and count what else arrived. The first five arrays belong together,
-- one place a message; so do the last four, one place an endpoint.
-- Returns a letter for each message: n new, s seen before, c the same id with other bytes (kept apart),
-- u unknown endpoint; then one for each counted endpoint: k counted, l locked by somebody (count later).
-- Nothing here waits for somebody else's transaction: no foreign key is checked, no lock waited for; even the
-- attention list is told later (tell_about_webhooks). Rows are written in the order of their keys, so that two
-- batches cannot wait for each other in a circle; received_at keeps the order of arrival.
create or replace function store_webhook_events(
  p_endpoint_ids uuid[], p_event_ids text[], p_bodies bytea[], p_content_types text[], p_sent_at timestamptz[],
  p_counted_ids uuid[], p_refused integer[], p_refused_reasons text[], p_repeated integer[]
) returns text language plpgsql as $$
declare
  v_now timestamptz := clock_timestamp();
  v_stored uuid[];
  v_letters text := repeat('n', cardinality(p_event_ids));
begin
  if v_letters <> '' then
    with stored as (
      insert into webhook_events (endpoint_id, organization_id, provider_id, event_id, digest, body, content_type,
                                  received_at, sent_at, next_attempt_at)
      select p.id, p.organization_id, p.provider_id, i.event_id, sha256(i.body), i.body, i.content_type,
             v_now + i.n * interval '1 microsecond', i.sent_at, v_now
      from unnest(p_endpoint_ids, p_event_ids, p_bodies, p_content_types, p_sent_at)
           with ordinality as i (endpoint_id, event_id, body, content_type, sent_at, n)
      join webhook_endpoints p on p.id = i.endpoint_id
      order by i.endpoint_id, i.event_id, i.n
      on conflict (endpoint_id, event_id) do nothing
      returning id
    )
    select array_agg(id) into v_stored from stored;
    if v_stored is not null then
      perform pg_notify('handrail_inbox', '');
    end if;
  end if;

  if coalesce(cardinality(v_stored), 0) < cardinality(p_event_ids) then
    insert into webhook_event_conflicts (webhook_event_id, endpoint_id, organization_id, event_id, digest, body,
                                         content_type, received_at)
    select e.id, e.endpoint_id, e.organization_id, e.event_id, sha256(i.body), i.body, i.content_type,
           v_now + i.n * interval '1 microsecond'
    from unnest(p_endpoint_ids, p_event_ids, p_bodies, p_content_types)
         with ordinality as i (endpoint_id, event_id, body, content_type, n)
    join webhook_events e on e.endpoint_id = i.endpoint_id and e.event_id = i.event_id
    where e.digest <> sha256(i.body)
    order by i.endpoint_id, i.event_id, i.n
    on conflict (endpoint_id, event_id, digest) do nothing;

    select string_agg(case when e.id is null then 'u'
                           when e.digest <> sha256(i.body) then 'c'
                           when e.id = any (v_stored) and i.copy = 1 then 'n'
                           else 's' end, '' order by i.n)
    into v_letters
    from (select *, row_number() over (partition by endpoint_id, event_id order by n) as copy
          from unnest(p_endpoint_ids, p_event_ids, p_bodies)
               with ordinality as u (endpoint_id, event_id, body, n)) i
    left join webhook_events e on e.endpoint_id = i.endpoint_id and e.event_id = i.event_id;
  end if;

  if cardinality(p_counted_ids) = 0 then
    return v_letters;
  end if;
  with locked as materialized (
    select id from webhook_endpoints where id = any (p_counted_ids) for no key update skip locked
  ), counted as (
    update webhook_endpoints p
    set refused_count = refused_count + c.refused,
        last_refused_at = case when c.refused > 0 then v_now else last_refused_at end,
        last_refused_reason = case when c.refused > 0 then c.reason else last_refused_reason end,
        repeated_count = repeated_count + c.repeated
    from unnest(p_counted_ids, p_refused, p_refused_reasons, p_repeated) as c (id, refused, reason, repeated)
    where p.id = c.id and p.id in (select id from locked)
    returning p.id
  )
  select v_letters || string_agg(case when counted.id is null then 'l' else 'k' end, '' order by c.n)
  into v_letters
  from unnest(p_counted_ids) with ordinality as c (id, n) left join counted on counted.id = c.id;
  return v_letters;
end
$$;
call grant_machine_function(
  'store_webhook_events(uuid[], text[], bytea[], text[], timestamptz[], uuid[], integer[], text[], integer[])',
  'handrail_ingress');
-- One plan for every size of batch, made once a connection, not once a batch; and one that stays right when
-- it was made while the tables were empty.
alter function store_webhook_events(
  uuid[], text[], bytea[], text[], timestamptz[], uuid[], integer[], text[], integer[])
  set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off;

-- Put on the attention list what the ingress noticed since; the applier calls it again and again.
create or replace function tell_about_webhooks() returns void language sql as $$
  with told as (
    update webhook_event_conflicts set told = true
    where id in (select id from webhook_event_conflicts where not told order by id limit 100
                 for no key update skip locked)
    returning *
  )
  select open_attention(
    organization_id, 'webhook_conflict', id,
    'The partner sent two different messages with the same event id. The first one counts.',
    jsonb_build_object('event_id', event_id, 'webhook_event_id', webhook_event_id), null,
    (select provider_id from webhook_endpoints where id = endpoint_id))
  from told;

  with told as (
    update webhook_endpoints set told_refused_count = refused_count
    where id in (select id from webhook_endpoints where refused_count > told_refused_count order by id limit 100
                 for no key update skip locked)
    returning *
  )
  select open_attention(
    organization_id, 'webhook_refused', id,
    'Messages that claim to come from this partner are refused: ' || last_refused_reason
    || case when last_refused_reason like 'the message is dated %' then '. Compare the clocks here and at the partner.'
            else '. Compare the secret and the scheme here with those at the partner.' end,
    jsonb_build_object('endpoint', key, 'refused', refused_count), null, provider_id)
  from told;
$$;
revoke all on function tell_about_webhooks() from public;
grant execute on function tell_about_webhooks() to handrail_worker;

-- Have waiting events looked at again: the partner's enrollment ids were just stored in this transaction.
-- So are those that a person was asked about because they had waited too long (claims.py has these words): what
-- they lacked is there now. Returns how many there were. What is parked while this runs is found by the applier's
-- own second look.
create or replace function wake_waiting_events(p_provider uuid, p_external_ids text[]) returns integer
language plpgsql as $$
declare
  v_woken uuid[];
begin
  with woken as (
    update webhook_events set status = 'received', next_attempt_at = now()
    where provider_id = p_provider and match_external_id = any (p_external_ids)
      and (status = 'waiting' or status = 'needs_attention' and reason like 'it waited long enough: %')
    returning id
  )
  select array_agg(id) into v_woken from woken;
  if v_woken is not null then
    perform close_attention('webhook_event', id, 'its enrollment is known now') from unnest(v_woken) as id;
    perform pg_notify('handrail_inbox', '');
  end if;
  return coalesce(cardinality(v_woken), 0);
end
$$;
call grant_machine_function('wake_waiting_events(uuid, text[])', 'handrail_machine', 'handrail_worker');
alter function wake_waiting_events(uuid, text[]) set enable_seqscan = off;

-- Apply once more what was applied under an enrollment id that a person entered by mistake: it finds whose it is.
-- What a person left ignored stays so.
create or replace function reapply_events(p_provider uuid, p_external_id text) returns void language plpgsql as $$
begin
  update webhook_events e
  set status = 'received', reason = '', attempts = 0, next_attempt_at = now(), applied_at = null
  where provider_id = p_provider and match_external_id = p_external_id and status in ('applied', 'ignored')
    and body is not null
    and not exists (select from webhook_event_decisions d where d.webhook_event_id = e.id and d.decision = 'ignore');
  if found then
    perform pg_notify('handrail_inbox', '');
  end if;
end
$$;
call grant_machine_function('reapply_events(uuid, text)', 'handrail_machine');
alter function reapply_events(uuid, text) set enable_seqscan = off;

-- A person decides about events that nobody understood: look at them again (also at ignored ones), or leave
-- them ignored. The reason is kept with the name. Raises unless every event is there, belongs to the
-- caller's organization and is in a state that allows it.
create or replace function decide_webhook_events(p_events uuid[], p_decision text, p_reason text) returns void
language plpgsql as $$
declare
  v_event webhook_events;
  v_count integer := 0;
begin
  for v_event in select * from webhook_events where id = any (p_events) order by id for no key update loop
    v_count := v_count + 1;
    perform assert_staff(v_event.organization_id);
    if v_event.status <> 'needs_attention' and not (v_event.status = 'ignored' and p_decision = 'replay') then
      raise exception 'event % is %', v_event.id, v_event.status
        using errcode = 'check_violation', hint = 'only what needs attention or was ignored can be decided about';
    elsif v_event.body is null and p_decision = 'replay' then
      raise exception 'event % cannot be replayed', v_event.id
        using errcode = 'check_violation', hint = 'its body was erased when its time to be kept was over';
    end if;
    insert into webhook_event_decisions (webhook_event_id, organization_id, decision, from_status, from_reason,
                                         reason, actor_id)
    values (v_event.id, v_event.organization_id, p_decision, v_event.status, v_event.reason, p_reason, actor_id());
    update webhook_events
    set status = case p_decision when 'replay' then 'received' else 'ignored' end,
        reason = case p_decision when 'replay' then '' else p_reason end,
        attempts = 0, next_attempt_at = now(),
        applied_at = case p_decision when 'replay' then null else now() end
    where id = v_event.id;
    perform close_attention('webhook_event', v_event.id, p_reason);
  end loop;
  if v_count < (select count(distinct id) from unnest(p_events) as given (id)) then
    raise exception 'no such webhook event' using errcode = 'no_data_found';
  end if;
  perform pg_notify('handrail_inbox', '');
end
$$;
call grant_machine_function('decide_webhook_events(uuid[], text, text)', 'handrail_web', 'handrail_worker');

create or replace function dismiss_webhook_conflict(p_conflict uuid, p_reason text) returns void
language plpgsql as $$
declare
  v_organization uuid;
begin
  select organization_id into v_organization from webhook_event_conflicts
  where id = p_conflict and dismissed_at is null for no key update;
  if not found then
    raise exception 'no such open conflict' using errcode = 'no_data_found';
  end if;
  perform assert_staff(v_organization);
  update webhook_event_conflicts
  set dismissed_at = now(), dismissed_by = actor_id(), dismissed_reason = p_reason
  where id = p_conflict;
  perform close_attention('webhook_conflict', p_conflict, p_reason);
end
$$;
call grant_machine_function('dismiss_webhook_conflict(uuid, text)', 'handrail_web', 'handrail_worker');

-- The bytes of an event or a conflict, for administrators: they may hold what staff must not see.
-- No row: there is no such message. A null body: erased.
create or replace function read_webhook_body(p_id uuid) returns setof bytea language plpgsql stable as $$
declare
  v_message record;
begin
  select organization_id, body into v_message
  from (select id, organization_id, body from webhook_events where id = p_id
        union all
        select id, organization_id, body from webhook_event_conflicts where id = p_id) as message;
  if found then
    perform assert_staff(v_message.organization_id, true);
    return next v_message.body;
  end if;
end
$$;
call grant_machine_function('read_webhook_body(uuid)', 'handrail_web', 'handrail_worker');
