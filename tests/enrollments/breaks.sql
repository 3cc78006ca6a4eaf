-- What breaks each check of the promises, by the first words of its header: statements of the superuser, who
-- passes by every privilege. Constraints that forbid it are taken away first; the last statement breaks it.
-- "or": another way to break the same, for a check that looks at several things.

-- breaks: a message that is due
update webhook_events set status = 'received', next_attempt_at = now() - interval '1 hour'
where event_id = 'a';

-- breaks: a message waits longer
update webhook_events set status = 'waiting', reason = 'x', received_at = now() - interval '26 hours'
where event_id = 'a';

-- breaks: a message needs a person
update webhook_events set status = 'needs_attention', reason = 'x' where event_id = 'a';

-- breaks: a message lost its body
update webhook_events set status = 'received', body = null where event_id = 'a';

-- breaks: the same event id
alter table webhook_events drop constraint webhook_events_endpoint_id_event_id_key;
update webhook_events set event_id = 'a';

-- breaks: a step was completed twice
insert into step_events (organization_id, enrollment_id, step_id, attempt, from_status, to_status, cause_kind, cause_id)
select organization_id, enrollment_id, step_id, attempt, from_status, to_status, cause_kind, cause_id
from step_events
where to_status = 'completed' and step_id is not null limit 1;

-- breaks: two runs of one course
drop index partner_lms_enrollments_current;
insert into partner_lms_enrollments (organization_id, partner_account_id, provider_id, learner_id, course_id, run)
select organization_id, partner_account_id, provider_id, learner_id, course_id, run + 1
from partner_lms_enrollments
where status = 'active';

-- breaks: the same call is open
drop index intents_one_run_call;
insert into intents (organization_id, provider_id, kind, partner_account_id, partner_enrollment_id)
select organization_id, provider_id, kind, partner_account_id, partner_enrollment_id
from (select * from intents where kind = 'enroll' limit 1) as one, generate_series(1, 2);
-- or
drop index intents_one_account_call;
insert into intents (organization_id, provider_id, kind, partner_account_id)
select organization_id, provider_id, kind, partner_account_id
from (select * from intents where kind = 'create_account' limit 1) as one, generate_series(1, 2);

-- breaks: a partner's id belongs
drop index partner_lms_enrollments_external;
update partner_lms_enrollments set external_enrollment_id = 'same';
-- or
drop index partner_accounts_external;
update partner_accounts set external_id = 'same';

-- breaks: a person has two live
drop index enrollments_one_live;
insert into enrollments (organization_id, learner_id, program_id, program_version_id, start_date, start_at)
select organization_id, learner_id, program_id, program_version_id, start_date, start_at
from enrollments
where status = 'active';

-- breaks: an enrollment is due
update enrollments set started_at = null where status = 'active';

-- breaks: a step is due
update enrollment_steps set status = 'pending' where status = 'in_progress';

-- breaks: a step in progress has no run
update enrollment_steps set partner_enrollment_id = null where status = 'in_progress';
-- or
update partner_lms_enrollments set status = 'failed', failed_at = now() where status = 'active';
-- or
update partner_lms_enrollments set status = 'cancelling', failed_at = now() where status = 'active';
-- or
update partner_lms_enrollments set status = 'cancelled', failed_at = now() where status = 'active';
-- or
update partner_lms_enrollments set status = 'completed', completed_at = now() where status = 'active';

-- breaks: a step failed though
update partner_lms_enrollments set status = 'completed', completed_at = now() where status = 'active';
update enrollment_steps set status = 'failed' where status = 'in_progress';

-- breaks: a run waits for a call
update partner_lms_enrollments set status = 'provisioning' where status = 'active';
-- or
update partner_lms_enrollments set status = 'requested' where status = 'active';
-- or
update partner_lms_enrollments set status = 'cancelling' where status = 'active';

-- breaks: a run needs a person
update partner_lms_enrollments set status = 'needs_attention' where status = 'active';

-- breaks: a run ended, and nobody
update partner_lms_enrollments set fact_kind = null where status = 'completed';
-- or
update partner_lms_enrollments set status = 'failed', failed_at = now(), fact_kind = null where status = 'active';

-- breaks: a run has progress
update partner_lms_enrollments set progress = 50, fact_kind = null where status = 'active';

-- breaks: a partner's id is known
update intents set status = 'canceled' where kind = 'create_account';
-- or
update partner_lms_enrollments set fact_kind = null;
update intents set status = 'canceled' where kind = 'enroll';

-- breaks: a step is completed by a run
update enrollment_steps set partner_enrollment_id = null where status = 'completed';
-- or
update partner_lms_enrollments set status = 'active' where status = 'completed';

-- breaks: a person completed a step
insert into step_events (organization_id, enrollment_id, step_id, attempt, from_status, to_status, cause_kind)
select organization_id, enrollment_id, step_id, 9, to_status, 'completed', 'person'
from step_events
where to_status = 'completed' and step_id is not null limit 1;

-- breaks: a call is being made long
update intents set status = 'sending', lease_until = now() - interval '1 hour' where kind = 'enroll';

-- breaks: a call is due and nobody
update intents set status = 'queued', next_attempt_at = now() - interval '2 hours'
where kind = 'enroll';
-- or
update intents set status = 'failed', next_attempt_at = now() - interval '2 hours' where kind = 'enroll';
-- or
update intents set status = 'unknown', next_attempt_at = now() - interval '2 hours' where kind = 'enroll';

-- breaks: a backup was restored
update installation set calls_doubted_until = 'infinity';
update intents set status = 'queued', calls = 0 where id = (select min(id::text)::uuid from intents);

-- breaks: a call needs a person
update intents set status = 'needs_person' where kind = 'enroll';
-- or
update intents set status = 'needs_person', awaits_provider = true where kind = 'enroll';

-- breaks: a call asks for an enrollment
update intents set status = 'failed'
where kind = 'enroll' and partner_enrollment_id in (select id
from partner_lms_enrollments
where status = 'cancelled');

-- breaks: an enrollment call is done
update partner_lms_enrollments set external_enrollment_id = null;

-- breaks: an enrollment is completed
update enrollment_steps set status = 'pending', completed_at = null, skip_reason = null
where enrollment_id in (select id
from enrollments
where status = 'completed');
-- or
update enrollments set status = 'active', completed_at = null where status = 'completed';

-- breaks: an enrollment lacks a step
delete from enrollment_steps where sequence_order = 3 and status = 'completed';

-- breaks: a completed enrollment has no
update credentials set revoked_at = now(), revoke_reason = 'x';
-- or
drop index credentials_one_valid;
insert into credentials (organization_id, enrollment_id, learner_id, number, organization_name, holder_name, program_title, steps)
select organization_id, enrollment_id, learner_id, 'another', organization_name, holder_name, program_title, steps
from credentials;

-- breaks: a credential is valid though
update enrollments set status = 'withdrawn', completed_at = null where status = 'completed';

-- breaks: a status differs
update enrollment_steps set status = 'failed' where status = 'in_progress';
-- or
update enrollments set status = 'suspended' where status = 'active';

-- breaks: a change does not begin
update step_events set from_status = 'failed' where to_status = 'in_progress';

-- breaks: a change names no cause
update step_events set cause_id = null where cause_kind = 'webhook';
-- or
update step_events set cause_kind = 'step', cause_id = null where cause_kind = 'webhook';
-- or
update step_events set cause_kind = 'equivalent', cause_id = null where cause_kind = 'webhook';

-- breaks: a row belongs to another
update step_events set enrollment_id = uuidv7();
-- or
update step_events set step_id = uuidv7() where step_id is not null;
-- or
update intents set organization_id = uuidv7() where kind = 'create_account';
-- or
update intents set partner_enrollment_id = uuidv7() where kind = 'enroll';
-- or
update partner_lms_enrollments set provider_id = uuidv7();
-- or
insert into partner_lms_enrollments (organization_id, partner_account_id, provider_id, learner_id, course_id, is_current, status)
select organization_id, id, provider_id, learner_id, uuidv7(), false, 'cancelled' from partner_accounts;
-- or
update enrollment_steps set partner_enrollment_id = uuidv7() where partner_enrollment_id is not null;
-- or
update enrollment_steps set learner_id = uuidv7() where partner_enrollment_id is null;
-- or
update enrollment_steps set course_id = uuidv7() where partner_enrollment_id is not null;
-- or
update enrollment_steps set program_step_id = uuidv7();
-- or
update enrollment_steps set course_id = uuidv7() where partner_enrollment_id is null;
-- or
update credentials set learner_id = uuidv7();
-- or
insert into credential_documents (credential_id, organization_id, learner_id, pdf)
select id, organization_id, uuidv7(), '' from credentials;
-- or
insert into partner_certificates (organization_id, partner_enrollment_id, learner_id, external_id)
select organization_id, id, uuidv7(), 'c' from partner_lms_enrollments;
-- or
insert into sensitive_results (organization_id, partner_enrollment_id, result, reported_at)
select uuidv7(), id, 'x', now() from partner_lms_enrollments;
-- or
update webhook_events set provider_id = uuidv7();
-- or
insert into attention_items (organization_id, kind, subject_id, enrollment_id, cause)
select uuidv7(), 'x', id, id, 'x' from enrollments;
-- or
insert into attention_items (organization_id, kind, subject_id, provider_id, cause)
select uuidv7(), 'x', id, id, 'x' from partner_lms_providers;
-- or
insert into attention_items (organization_id, kind, subject_id, cause)
select uuidv7(), 'run', id, 'x' from partner_lms_enrollments;
-- or
insert into attention_items (organization_id, kind, subject_id, cause)
select uuidv7(), 'call', id, 'x' from intents;
-- or
insert into webhook_event_conflicts (webhook_event_id, endpoint_id, organization_id, event_id, digest)
select id, endpoint_id, uuidv7(), event_id, 'other' from webhook_events;
-- or
insert into webhook_event_decisions (webhook_event_id, organization_id, decision, from_status, from_reason, reason)
select id, uuidv7(), 'replay', 'ignored', '', 'x' from webhook_events;

-- breaks: a table of an organization
alter table learners no force row level security;
-- or
alter table organizations disable row level security;
-- or
alter table mfa_authenticator disable row level security;

-- breaks: a policy lets everybody
create policy open_door on learners for select to handrail_web using (true);
-- or
create policy open_door on learners for insert to handrail_readonly with check (true);
-- or
create policy open_door on learners for update to public using (true);

-- breaks: a role passes by
alter role handrail_readonly bypassrls;
-- or
alter role handrail_web superuser;
-- or
alter role handrail_worker createrole;
-- or
alter role handrail_machine replication;

-- breaks: somebody but the machine
grant update (status) on enrollment_steps to handrail_worker;
-- or
grant delete on step_events to handrail_owner;
-- or
grant insert on intents to public;
-- or
grant truncate on enrollments to handrail_web;

-- breaks: somebody can become
grant handrail_machine to handrail_web;
-- or
grant handrail_worker to handrail_web;
-- or
grant handrail_owner to handrail_readonly;
-- or
alter role handrail_machine login;

-- breaks: a function of the machine
grant execute on function settle(uuid[], change_cause) to public;
alter function settle(uuid[], change_cause) security definer;
-- or
alter function choose_elective(uuid) set search_path = public;

-- breaks: a secret is stored
update partner_lms_providers set credentials = 'api_key: in clear, and rather long too';
-- or
update partner_lms_providers set credentials = 'no-such-key:' || repeat('x', 40)::bytea;
-- or
update webhook_endpoints set secret = 'in clear, and rather long too, as a secret is';
-- or
update webhook_endpoints set previous_secret = 'in clear, and rather long too, as it is', previous_secret_ends_at = now();
-- or
insert into mfa_authenticator (user_id, type, data, created_at)
values (uuidv7(), 'totp', '{"secret": "JBSWY3DPEHPK3PXP"}', now());

-- breaks: a job carries more
insert into pgqueuer (priority, entrypoint, payload, status) values (0, 'x', 'password', 'queued');

-- breaks: somebody may read a secret
grant select (secret) on webhook_endpoints to handrail_web;
-- or
grant select on webhook_endpoints to handrail_readonly;
-- or
grant select (previous_secret) on webhook_endpoints to public;
-- or
grant select on webhook_events to handrail_web;
-- or
grant select (body) on webhook_event_conflicts to handrail_ingress;
-- or
grant select (credentials) on partner_lms_providers to handrail_readonly;
-- or
grant select on sensitive_results to handrail_readonly;
-- or
grant select on mfa_authenticator to handrail_readonly;
