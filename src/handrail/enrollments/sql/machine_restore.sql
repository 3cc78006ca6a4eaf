-- After a restore: what was asked of partners since the backup was made, nobody here knows. Until
-- installation.calls_doubted_until every call that is not settled counts as one that may have been made: it is
-- looked up before it is made, repeated with its key where the partner still honors that, or left to a person.
-- details.before_restore keeps how it stood.

-- Called by `handrail restore` in the restored database: hold everything back, and doubt what is open.
create or replace function hold_outbound() returns void language plpgsql as $$
begin
  perform assert_service();
  update installation set outbound_held = true, calls_doubted_until = 'infinity';
  -- Whoever was making it then records nothing here any more.
  update intents
  set status = 'unknown', uncertain = true, lease_until = null, next_attempt_at = now(), updated_at = now(),
      error = 'the call was being made when the backup was'
  where status = 'sending';
  update intents
  set details = details || jsonb_build_object('before_restore', jsonb_build_object('status', status, 'error', error)),
      status = case status when 'needs_person' then status else 'unknown' end,
      error = case status when 'needs_person' then error else 'it may have been made after the backup' end,
      -- Not before this was its key sent.
      first_sent_at = case status when 'needs_person' then first_sent_at else updated_at end,
      uncertain = true, updated_at = now()
  where status in ('queued', 'failed', 'needs_person') and not uncertain;
end
$$;

-- What is recorded while calls are doubted may repeat one that was recorded and made after the backup.
create or replace function doubt_calls() returns trigger language plpgsql as $$
begin
  if (select calls_doubted_until > now() from installation) then
    update intents i
    set status = 'unknown', uncertain = true, error = 'it may have been made after the backup',
        -- The key of then is lost: as if it had been sent longer ago than any partner remembers.
        first_sent_at = 'epoch',
        details = i.details || jsonb_build_object('before_restore', jsonb_build_object('status', 'queued', 'error', ''))
    from made where i.id = made.id;
  end if;
  return null;
end
$$;
create or replace trigger doubt_calls after insert on intents referencing new table as made
for each statement execute function doubt_calls();

-- Let calls and mail out again. Partners repeat webhooks for up to three days, and what they report leads to calls
-- that were made before: so long they stay doubted. p_nothing_lost: a person vouches that nothing was called after
-- the backup. Returns how many open calls may have been made; null: nothing was held.
create or replace function release_outbound(p_nothing_lost boolean) returns integer language plpgsql as $$
declare
  v_count integer;
begin
  perform assert_service();
  update installation
  set outbound_held = false, calls_doubted_until = case when not p_nothing_lost then now() + interval '72 hours' end
  where outbound_held;
  if not found then
    return null;
  end if;
  if p_nothing_lost then
    update intents
    set status = details #>> '{before_restore,status}', error = details #>> '{before_restore,error}', uncertain = false,
        first_sent_at = case status when 'unknown' then null else first_sent_at end,
        details = details - 'before_restore', updated_at = now()
    where details ? 'before_restore'
      -- What a person decided meanwhile stays as it is.
      and (status = 'unknown' and details #>> '{before_restore,status}' <> 'needs_person'
           or status = 'needs_person' and details #>> '{before_restore,status}' = 'needs_person');
  end if;
  select count(*) into v_count from intents where status = 'unknown';
  perform pg_notify('handrail_intents', '');
  return v_count;
end
$$;

call grant_machine_function('hold_outbound()', 'handrail_worker');
call grant_machine_function('release_outbound(boolean)', 'handrail_worker');
call grant_machine_function('doubt_calls()');
grant update (outbound_held, calls_doubted_until) on installation to handrail_machine;
