-- Where webhooks arrive, and every message as it came.

create table webhook_endpoints (
  id uuid primary key default uuidv7(),
  key text not null unique check (key ~ '^[a-z0-9][a-z0-9-]{0,126}$'),
  kind text not null check (kind in ('partner', 'stripe')),
  scheme text,                       -- null: the provider sends no webhooks, the address answers 404
  organization_id uuid references organizations,
  provider_id uuid,
  secret bytea,                      -- sealed by core.crypto, as is the next one
  previous_secret bytea,
  previous_secret_ends_at timestamptz,
  refused_count bigint not null default 0,
  told_refused_count bigint not null default 0,  -- of those the attention list has heard
  last_refused_at timestamptz,
  last_refused_reason text not null default '',
  repeated_count bigint not null default 0,  -- deliveries of an event that was stored before
  archived_at timestamptz,
  created_at timestamptz not null default now(),
  check ((kind = 'partner') = (provider_id is not null)),
  check ((provider_id is null) = (organization_id is null)),
  check ((previous_secret is null) = (previous_secret_ends_at is null))
);
create index webhook_endpoints_provider on webhook_endpoints (organization_id, provider_id);
create index webhook_endpoints_untold on webhook_endpoints (id) where refused_count > told_refused_count;
call protect_tenant_table('webhook_endpoints');
create policy ingress_reads_live on webhook_endpoints for select to handrail_ingress using (archived_at is null);
-- Secrets are for the ingress and for the service role, which sets them; no browser gets near them.
revoke select on webhook_endpoints from handrail_web, handrail_readonly;
grant select (id, key, kind, scheme, organization_id, provider_id, previous_secret_ends_at, refused_count,
              last_refused_at, last_refused_reason, repeated_count, archived_at, created_at)
  on webhook_endpoints to handrail_web, handrail_readonly;
grant select (id, key, scheme, secret, previous_secret, previous_secret_ends_at, archived_at)
  on webhook_endpoints to handrail_ingress;
grant insert, update on webhook_endpoints to handrail_worker;
grant update (refused_count, last_refused_at, last_refused_reason, repeated_count)
  on webhook_endpoints to handrail_machine;

-- One message. Organization and provider are those of its endpoint, copied when it is stored, never what
-- the payload claims. There are no foreign keys on purpose: each would lock the endpoint's and the
-- organization's row for every message, so that one held lock would stop the mail of everybody
-- (docs/decisions/0008). Nobody may delete endpoints, organizations or providers.
create domain webhook_event_status as text constraint webhook_events_status_check  -- why: enrollments/sql/tables.sql
  check (value in ('received', 'waiting', 'applied', 'ignored', 'needs_attention'));

create table webhook_events (
  id uuid primary key default uuidv7(),
  endpoint_id uuid not null,
  organization_id uuid,              -- null: seen by the service role only, until its handler knows
  provider_id uuid,
  event_id text not null check (octet_length(event_id) between 1 and 255),
  digest bytea not null,  -- SHA-256 of the body
  body bytea,                        -- null: erased by retention; event_id and digest stay for ever
  content_type text not null default '',
  received_at timestamptz not null default clock_timestamp(),
  sent_at timestamptz,               -- by the sender's clock, where the scheme signs a time
  status webhook_event_status not null default 'received',
  reason text not null default '',
  kind text not null default '',     -- what it was translated to: course.completed, several with a space
  match_external_id text,            -- the partner's enrollment id it speaks of
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),  -- when received or waiting: not before then
  applied_at timestamptz,            -- when it was applied or ignored
  unique (endpoint_id, event_id),
  check (status in ('received', 'applied') or reason <> '')
);
create index webhook_events_due on webhook_events (status, next_attempt_at, received_at, id)
  where status in ('received', 'waiting');
create index webhook_events_match on webhook_events (provider_id, match_external_id)
  where match_external_id is not null;
-- Every index is paid for twice, when a message is stored and when it is applied: an organization's list is
-- put together from those of its endpoints, and only what is rare has an index by status.
create index webhook_events_list on webhook_events (endpoint_id, received_at desc, id desc);
create index webhook_events_rare on webhook_events (organization_id, status, received_at desc, id desc)
  where status in ('waiting', 'ignored', 'needs_attention');
call protect_tenant_table('webhook_events');
-- A body may hold what is kept apart elsewhere (the result of a screening): read_webhook_body() only.
revoke select on webhook_events from handrail_web, handrail_readonly;
grant select (id, endpoint_id, organization_id, provider_id, event_id, digest, content_type, received_at, sent_at,
              status, reason, kind, match_external_id, attempts, next_attempt_at, applied_at)
  on webhook_events to handrail_web, handrail_readonly;
grant insert on webhook_events to handrail_machine;
grant update (status, reason, attempts, next_attempt_at, applied_at) on webhook_events to handrail_machine;
grant update (status, reason, kind, match_external_id, attempts, next_attempt_at, applied_at, organization_id, body)
  on webhook_events to handrail_worker;

-- The id of a stored event with other bytes: the first stands, this one is kept apart for a person.
create table webhook_event_conflicts (
  id uuid primary key default uuidv7(),
  webhook_event_id uuid not null references webhook_events,
  endpoint_id uuid not null,
  organization_id uuid,
  event_id text not null,
  digest bytea not null,
  body bytea,
  content_type text not null default '',
  received_at timestamptz not null default clock_timestamp(),
  told boolean not null default false,  -- the attention list has heard of it
  dismissed_at timestamptz,
  dismissed_by uuid references profiles,
  dismissed_reason text,
  unique (endpoint_id, event_id, digest),
  check ((dismissed_at is null) = (dismissed_reason is null))
);
create index webhook_event_conflicts_event on webhook_event_conflicts (webhook_event_id);
create index webhook_event_conflicts_open on webhook_event_conflicts (organization_id, received_at desc, id desc)
  where dismissed_at is null;
create index webhook_event_conflicts_untold on webhook_event_conflicts (id) where not told;
create index webhook_event_conflicts_dismissed_by on webhook_event_conflicts (dismissed_by)
  where dismissed_by is not null;
call protect_tenant_table('webhook_event_conflicts');
revoke select on webhook_event_conflicts from handrail_web, handrail_readonly;
grant select (id, webhook_event_id, endpoint_id, organization_id, event_id, digest, content_type, received_at,
              dismissed_at, dismissed_by, dismissed_reason)
  on webhook_event_conflicts to handrail_web, handrail_readonly;
grant insert on webhook_event_conflicts to handrail_machine;
grant update (dismissed_at, dismissed_by, dismissed_reason) on webhook_event_conflicts to handrail_machine;
grant update (body, told) on webhook_event_conflicts to handrail_worker;

-- What a person decided about an event; append-only.
create table webhook_event_decisions (
  id uuid primary key default uuidv7(),
  webhook_event_id uuid not null references webhook_events,
  organization_id uuid,
  decision text not null check (decision in ('replay', 'ignore')),
  from_status text not null,
  from_reason text not null,
  reason text not null check (btrim(reason) <> ''),
  actor_id uuid references profiles,  -- null: the service role, at the command line
  decided_at timestamptz not null default now()
);
create index webhook_event_decisions_event on webhook_event_decisions (webhook_event_id, decided_at);
create index webhook_event_decisions_organization on webhook_event_decisions (organization_id);
create index webhook_event_decisions_actor on webhook_event_decisions (actor_id) where actor_id is not null;
call protect_tenant_table('webhook_event_decisions');
grant insert on webhook_event_decisions to handrail_machine;
