-- States and their rules: docs/reference/states.md. Only the machine (machine_*.sql) writes these tables.
-- Keys are (id, organization_id): one index finds a row by its id and carries the foreign keys, of which the
-- organization is part. The selective column leads, so that a plan made on an empty table is right on a full
-- one. Every index more is paid for by each step of each learner; see docs/performance.md.

-- As domains, for a list in a table's own check is read anew with each statement that writes the table: it cost
-- a tenth of applying a single message, *measured*.
create domain enrollment_status as text constraint enrollments_status_check
  check (value in ('pending', 'active', 'suspended', 'completed', 'withdrawn', 'transferred'));
create domain run_status as text constraint partner_lms_enrollments_status_check
  check (value in ('requested', 'provisioning', 'active', 'completed', 'failed', 'needs_attention', 'cancelling', 'cancelled'));
create domain step_status as text constraint enrollment_steps_status_check
  check (value in ('pending', 'in_progress', 'completed', 'failed', 'skipped'));
create domain skip_reason as text constraint enrollment_steps_skip_reason_check
  check (value in ('tested_out', 'equivalent_course', 'outside_experience', 'administrative', 'not_chosen'));
create domain cause_kind as text constraint step_events_cause_kind_check
  check (value in ('webhook', 'reconciliation', 'file', 'import', 'approval', 'payment', 'timer', 'step', 'person', 'equivalent'));
create domain intent_kind as text constraint intents_kind_check
  check (value in ('create_account', 'enroll', 'unenroll'));
create domain intent_status as text constraint intents_status_check
  check (value in ('queued', 'sending', 'done', 'failed', 'unknown', 'needs_person', 'canceled'));

create table enrollments (
  id uuid not null default uuidv7(),
  organization_id uuid not null,
  learner_id uuid not null,
  program_id uuid not null,
  program_version_id uuid not null,
  status enrollment_status not null default 'pending',
  funding_source text not null default 'self_pay'
    check (funding_source in ('self_pay', 'employer', 'WIOA', 'WRG', 'JRI', 'apprenticeship', 'scholarship')),
  start_date date not null,
  start_at timestamptz not null,      -- 00:00 of start_date in the organization's zone
  started_at timestamptz,             -- when its first stage was looked at: active and start_at has come
  activated_at timestamptz,
  completed_at timestamptz,
  transferred_from uuid,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (id, organization_id),
  foreign key (organization_id, learner_id) references learners (organization_id, id),
  foreign key (organization_id, program_id, program_version_id)
    references program_versions (organization_id, program_id, id),
  foreign key (transferred_from, organization_id) references enrollments (id, organization_id),
  check ((status = 'completed') = (completed_at is not null))
) with (fillfactor = 85);
create unique index enrollments_one_live on enrollments (learner_id, program_id)
  where status in ('pending', 'active', 'suspended');
create index enrollments_learner on enrollments (learner_id, organization_id);
create index enrollments_program on enrollments (organization_id, program_id, status, id);
create index enrollments_not_started on enrollments (start_at) where status = 'active' and started_at is null;
create index enrollments_transferred_from on enrollments (transferred_from)
  where transferred_from is not null;

-- Meeting the last requirement activates the enrollment, in the same transaction.
create table enrollment_requirements (
  id uuid not null default uuidv7(),
  organization_id uuid not null,
  enrollment_id uuid not null,
  kind text not null check (kind in ('approved')),
  met_at timestamptz,
  cause text,
  created_at timestamptz not null default now(),
  primary key (id, organization_id),
  unique (enrollment_id, kind),
  foreign key (enrollment_id, organization_id) references enrollments (id, organization_id),
  check ((met_at is null) = (cause is null))
);

create table partner_accounts (
  id uuid not null default uuidv7(),
  organization_id uuid not null,
  provider_id uuid not null,
  learner_id uuid not null,
  external_id text check (external_id <> ''),
  username text not null default '',
  login_url text not null default '',
  former_ids jsonb not null default '[]',  -- ids that are gone at the partner or were a mistake, with the time we learned it
  entered_by_call uuid,                   -- a person entered the id: the call it was entered for
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (id, organization_id),
  unique (learner_id, provider_id),
  foreign key (organization_id, provider_id) references partner_lms_providers (organization_id, id),
  foreign key (organization_id, learner_id) references learners (organization_id, id)
) with (fillfactor = 85);
create unique index partner_accounts_external on partner_accounts (provider_id, external_id)
  where external_id is not null;

create table partner_lms_enrollments (
  id uuid not null default uuidv7(),
  organization_id uuid not null,
  partner_account_id uuid not null,
  provider_id uuid not null,
  learner_id uuid not null,
  course_id uuid not null,
  run integer not null default 1 check (run > 0),
  is_current boolean not null default true,  -- of the runs of this account and course the one that others may join
  status run_status not null default 'requested',
  external_enrollment_id text check (external_enrollment_id <> ''),
  entered_by_call uuid,                   -- a person entered the id: the call it was entered for
  saved jsonb not null default '{}',      -- what the adapter stored between two calls (a voucher's id)
  access_url text not null default '',
  progress numeric(5, 2) check (progress between 0 and 100),
  progress_at timestamptz,                -- the partner's time, else arrival
  completed_at timestamptz,               -- the partner's time of the completion
  failed_at timestamptz,
  failure_reason text not null default '',
  revoked_at timestamptz,                 -- the partner took the completion back
  counts_from timestamptz,                -- facts from before do not count for this run
  continued boolean not null default false, -- an old external id goes on for a new attempt
  cause text not null default '',         -- why it needs attention, in plain words
  fact_kind text,                         -- cause of the newest fact: webhook, reconciliation, file, person
  fact_id uuid,
  fact_actor uuid,
  fact_reason text not null default '',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (id, organization_id),
  unique (partner_account_id, course_id, run),
  -- None for the course: see step_events.
  foreign key (partner_account_id, organization_id) references partner_accounts (id, organization_id),
  check (status <> 'completed' or completed_at is not null),
  check (status <> 'failed' or failed_at is not null),
  check (is_current or status not in ('requested', 'provisioning', 'active', 'needs_attention'))
) with (fillfactor = 80);
-- With the check above: at most one open run. An index by status would be paid for by every report.
create unique index partner_lms_enrollments_current on partner_lms_enrollments (partner_account_id, course_id)
  where is_current;
create unique index partner_lms_enrollments_external on partner_lms_enrollments (provider_id, external_enrollment_id)
  where external_enrollment_id is not null;

create table enrollment_steps (
  id uuid not null default uuidv7(),
  organization_id uuid not null,
  enrollment_id uuid not null,
  learner_id uuid not null,
  program_step_id uuid not null,
  provider_id uuid not null,
  course_id uuid not null,
  sequence_order integer not null,
  required boolean not null,
  elective_choose integer,                -- N of "N of M", copied from the version, which never changes
  demands_new_run boolean not null default false,
  status step_status not null default 'pending',
  attempt integer not null default 1 check (attempt > 0),
  chosen_at timestamptz,                  -- an elective: when it was chosen
  partner_enrollment_id uuid,
  progress numeric(5, 2) not null default 0 check (progress between 0 and 100),
  started_at timestamptz,
  completed_at timestamptz,
  error_message text not null default '',
  skip_reason skip_reason,
  waived_by uuid references profiles,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  -- Half empty: each step of each learner enters them twice more, when it starts and when it is completed.
  primary key (id, organization_id) with (fillfactor = 50),
  unique (enrollment_id, sequence_order, program_step_id) with (fillfactor = 50),
  foreign key (enrollment_id, organization_id) references enrollments (id, organization_id),
  foreign key (organization_id, program_step_id) references program_partner_lms (organization_id, id),
  -- None for the run: see step_events.
  check (required = (elective_choose is null)),
  check ((status = 'completed') = (completed_at is not null)),
  check ((status = 'skipped') = (skip_reason is not null)),
  check (not (required and skip_reason = 'not_chosen')),
  check (status <> 'in_progress' or started_at is not null)
) with (fillfactor = 75);
-- Found by enrollment and by (enrollment, sequence_order) through the unique key; the steps of a run through
-- its learner's enrollments. By status: what the pipeline and the stuck list ask for.
create index enrollment_steps_status on enrollment_steps (status, organization_id, program_step_id, started_at, id)
  where status in ('in_progress', 'failed');

-- Append-only history. step_id is empty for a change of the enrollment itself.
-- No foreign keys here, in intents, and for what a step or a run gets with each advance: only the machine writes
-- them, nobody deletes what they point at, each checked key costs 3 to 6 % of an advance, *measured*; `handrail
-- check` counts rows that point nowhere or into another organization.
create table step_events (
  id bigint generated always as identity,
  organization_id uuid not null,
  enrollment_id uuid not null,
  step_id uuid,
  attempt integer,
  from_status text,
  to_status text not null,
  cause_kind cause_kind not null,
  cause_id uuid,          -- the webhook event, the step before, the run that counts as equivalent
  actor_id uuid,          -- the person, for cause_kind person
  reason text not null default '',
  created_at timestamptz not null default now(),
  primary key (enrollment_id, id)
);

-- What a partner issued. Never overwritten.
create table partner_certificates (
  id uuid not null default uuidv7(),
  organization_id uuid not null,
  partner_enrollment_id uuid not null,
  learner_id uuid not null,
  external_id text not null,
  number text not null default '',
  issued_on date,
  expires_on date,
  download_url text not null default '',
  verification_url text not null default '',
  created_at timestamptz not null default now(),
  primary key (id, organization_id),
  unique (partner_enrollment_id, external_id),
  foreign key (partner_enrollment_id, organization_id) references partner_lms_enrollments (id, organization_id),
  foreign key (organization_id, learner_id) references learners (organization_id, id)
);
create index partner_certificates_learner on partner_certificates (learner_id);

-- A screening's result, kept apart from progress; only administrators read it.
create table sensitive_results (
  id uuid not null default uuidv7(),
  organization_id uuid not null,
  partner_enrollment_id uuid not null,
  result text not null,
  reported_at timestamptz not null,
  created_at timestamptz not null default now(),
  primary key (id, organization_id),
  foreign key (partner_enrollment_id, organization_id) references partner_lms_enrollments (id, organization_id)
);
create index sensitive_results_run on sensitive_results (partner_enrollment_id);

-- One call to the outside, recorded before it is made. The id is its idempotency key.
create table intents (
  id uuid not null default uuidv7(),
  organization_id uuid not null,
  provider_id uuid not null,
  kind intent_kind not null,
  partner_account_id uuid not null,
  partner_enrollment_id uuid,
  status intent_status not null default 'queued',
  held boolean not null default false,    -- waits: every enrollment that wants it is suspended
  uncertain boolean not null default false, -- an earlier call may have done the work: look up before repeating
  awaits_provider boolean not null default false, -- needs_person, by a cause that configuring the provider mends
  attempts integer not null default 0,    -- answered attempts; an outage does not count
  calls integer not null default 0,       -- how often it was claimed for sending
  next_attempt_at timestamptz not null default now(),
  lease_until timestamptz,
  fence bigint not null default 0,        -- grows with each claim; a late worker may not commit
  first_sent_at timestamptz,
  error text not null default '',
  details jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (id, organization_id),
  check ((kind = 'create_account') = (partner_enrollment_id is null))
) with (fillfactor = 70);
create unique index intents_one_account_call on intents (partner_account_id)
  where kind = 'create_account' and status in ('queued', 'sending', 'failed', 'unknown', 'needs_person');
create unique index intents_one_run_call on intents (partner_enrollment_id, kind)
  where partner_enrollment_id is not null and status in ('queued', 'sending', 'failed', 'unknown', 'needs_person');
create index intents_due on intents (provider_id, next_attempt_at, id)
  where status in ('queued', 'failed', 'unknown') and not held;
create index intents_leased on intents (lease_until) where status = 'sending';
create index intents_await_provider on intents (provider_id, partner_account_id, id)
  where awaits_provider and status = 'needs_person';

do $$
declare
  v_table text;
begin
  foreach v_table in array array['enrollments', 'enrollment_requirements', 'partner_accounts',
      'partner_lms_enrollments', 'enrollment_steps', 'step_events', 'partner_certificates', 'intents'] loop
    call protect_tenant_table(v_table::regclass);
    execute format('grant insert, update on %I to handrail_machine', v_table);
  end loop;
end
$$;
revoke update on step_events, partner_certificates from handrail_machine;

call protect_tenant_table('sensitive_results');
grant insert on sensitive_results to handrail_machine;
drop policy staff_see_their_organization on sensitive_results;
create policy administrators_see on sensitive_results for select to handrail_web
  using (organization_id = (select claim_admin_organization()));
revoke select on sensitive_results from handrail_readonly;

-- The three policies the origin names for steps: the service role manages all and administrators see
-- those of their organization (protect_tenant_table), people see their own. The same for their other rows.
do $$
declare
  v_table text;
begin
  foreach v_table in array array['enrollments', 'enrollment_steps', 'partner_accounts',
      'partner_lms_enrollments', 'partner_certificates'] loop
    execute format('create policy people_see_their_own on %I for select to handrail_web '
                   'using (learner_id = any ((select own_learner_ids())::uuid[]))', v_table);
  end loop;
end
$$;

-- May this enrollment become active? Plans and limits come with licenses; until then always.
create or replace function enrollment_limit_allows(p_enrollment uuid) returns boolean language sql stable as $$
  select true
$$;
