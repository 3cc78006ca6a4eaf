-- What the functions of the machine hand to each other. Apart from them, so that a migration can load a file of
-- functions again; a type of another shape is a new file.

create type change_cause as (kind text, id uuid, actor uuid, reason text);

-- Where a step about to start finds its run.
create type step_place as (
  step_id uuid,
  place tid,               -- where its row is: locked by its enrollment, so it stays there
  from_status text,        -- the step's
  step_before uuid,        -- the step just completed, if one is the cause
  organization_id uuid, provider_id uuid, learner_id uuid, course_id uuid,
  account_id uuid,         -- null: the person has no account row at this provider yet
  is_known boolean,        -- the partner gave the account an id
  mode text,
  same_id uuid,            -- a completed run that counts as equivalent
  run_id uuid,             -- the run to join, or the id for a new one
  run integer, run_status text, progress numeric,
  is_new boolean,
  is_leaving boolean       -- the run before is still being canceled
);

-- The places of a batch, with what has to be done about them: a pass over the array for each question would
-- cost more than the answers.
create type step_places as (
  places step_place[],
  has_equivalent boolean,  -- a step is completed at once
  has_new boolean,         -- one needs a new run
  has_later boolean,       -- one needs a run that is not the first
  has_requested boolean,   -- one needs a run that waits for its account
  has_facts boolean,       -- one joins a run with facts to settle
  has_open boolean,        -- one joins a run that is open
  to_lock boolean          -- what is about to be recorded must not be missed
);

create type partner_event as (
  ref text,                       -- comes back with the outcome
  kind text,
  provider_id uuid,
  external_enrollment_id text,    -- one way to the run; the others follow
  run_id uuid,
  account_external_id text,
  course_code text,
  learner_id uuid,
  course_id uuid,
  occurred_at timestamptz,        -- the partner's time
  received_at timestamptz,
  percent numeric,
  reason text,
  sensitive_result text,
  certificate jsonb,              -- external_id, number, issued_on, expires_on, download_url, verification_url
  cause_kind text,                -- webhook, reconciliation, file, person
  cause_id uuid,
  actor uuid,
  cause_reason text,
  forced boolean                  -- a person with evidence: the order of the partner's times does not matter
);

-- The same once its run is known. (Each column is paid for in each pass over a batch.)
create type run_event as (
  ref text,
  kind text,
  run_id uuid,
  external_enrollment_id text,
  at timestamptz,                 -- the partner's time, else when it was received
  percent numeric,
  reason text,
  sensitive_result text,
  certificate jsonb,
  cause_kind text,
  cause_id uuid,
  actor uuid,
  cause_reason text,
  forced boolean,
  by_external boolean,            -- found by its external id
  by_run boolean                  -- found by our own id
);

create type claimed_call as (
  intent_id uuid, provider_id uuid, kind intent_kind, fence bigint,
  idempotency_key text,         -- the intent's id, or a newer one when a person asked for a fresh try
  key_age double precision,     -- seconds since the key was first sent
  uncertain boolean,            -- an earlier call may have done the work
  attempts integer, calls integer,
  first_name text, last_name text, email text, phone text, birth_date date,
  account_id text,              -- at the partner
  course_code text, enrollment_id text, saved jsonb,
  leaving boolean,              -- nobody waits for this enrollment any more
  former_ids text[]             -- uncertain: what the partner may answer that belongs to earlier runs
);

create type call_result as (
  intent_id uuid,
  fence bigint,
  result text,               -- done, failed (known not to have happened), unknown, needs_person
  external_id text,          -- done: the partner's id of the account or the enrollment
  username text,
  login_url text,            -- an enrollment: the address of the course
  error text,                -- in words for a person
  after_seconds double precision,  -- failed, unknown: when to try again
  counts boolean,            -- an outage does not use up attempts
  uncertain boolean,         -- look up before repeating
  cause text                 -- needs_person: refused, conflict, account_gone, undecidable, ...
);
