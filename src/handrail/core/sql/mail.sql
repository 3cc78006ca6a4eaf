-- Messages on their way: stored in the transaction that causes them, sent by a job, then deleted, for a
-- message may hold a link that signs somebody in.
create table outgoing_mails (
  id uuid primary key default uuidv7(),
  recipient text not null,
  subject text not null,
  body text not null,
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  error text not null default '',
  created_at timestamptz not null default now()
);
create index outgoing_mails_due on outgoing_mails (next_attempt_at);
alter table outgoing_mails enable row level security;
alter table outgoing_mails force row level security;
create policy service_manages_all on outgoing_mails to handrail_worker using (true) with check (true);
create policy machine_writes on outgoing_mails for insert to handrail_machine with check (true);
grant select, update, delete on outgoing_mails to handrail_worker;
grant insert on outgoing_mails to handrail_machine;

create or replace function queue_mail(p_recipient text, p_subject text, p_body text) returns void
language plpgsql as $$
declare
  v_id uuid := uuidv7();
begin
  insert into outgoing_mails (id, recipient, subject, body) values (v_id, p_recipient, p_subject, p_body);
  perform enqueue_jobs('send_mail', array[v_id]);
end
$$;
call grant_machine_function('queue_mail(text, text, text)', 'handrail_web', 'handrail_worker');
