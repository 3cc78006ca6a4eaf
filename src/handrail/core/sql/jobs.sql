-- Background jobs run on PgQueuer, as the service role. The machine only adds to the queue, in the
-- transaction that causes the job.
grant select, insert, update, delete on pgqueuer, pgqueuer_log, pgqueuer_schedules, pgqueuer_statistics to handrail_worker;
grant usage on all sequences in schema public to handrail_worker;
grant select, insert on pgqueuer to handrail_machine;
grant usage on sequence pgqueuer_id_seq to handrail_machine;

-- Add a job for each id; one that waits already is not added again. The payload is the id.
create or replace function enqueue_jobs(p_entrypoint text, p_ids uuid[]) returns void language sql as $$
  insert into pgqueuer (priority, entrypoint, payload, status, dedupe_key)
  select 0, p_entrypoint, convert_to(id::text, 'UTF8'), 'queued', p_entrypoint || ':' || id from unnest(p_ids) as id
  on conflict (dedupe_key) where status in ('queued', 'picked') and dedupe_key is not null do nothing
$$;
revoke all on function enqueue_jobs(text, uuid[]) from public;
grant execute on function enqueue_jobs(text, uuid[]) to handrail_machine, handrail_worker;
