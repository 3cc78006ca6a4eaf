-- One row: switches of the whole installation.
create table installation (
  id boolean primary key default true check (id),
  outbound_held boolean not null default false,  -- set by a restore: nothing goes out until released
  calls_doubted_until timestamptz  -- after a restore: until then a call may repeat one we do not know of
);
insert into installation default values;
grant select on installation to handrail_web, handrail_worker, handrail_ingress, handrail_readonly, handrail_machine;

-- Everything that needs a person, with its cause in plain words.
create table attention_items (
  id uuid primary key default uuidv7(),
  organization_id uuid references organizations,
  kind text not null,
  subject_id uuid not null,
  enrollment_id uuid,
  provider_id uuid,
  cause text not null,
  details jsonb not null default '{}',
  opened_at timestamptz not null default now(),
  resolved_at timestamptz,
  resolved_by uuid references profiles,
  resolution text,
  check ((resolved_at is null) = (resolution is null))
);
create unique index attention_items_open on attention_items (kind, subject_id) where resolved_at is null;
create index attention_items_list on attention_items (organization_id, opened_at, id) where resolved_at is null;
create index attention_items_enrollment on attention_items (enrollment_id) where resolved_at is null;
create index attention_items_resolved_by on attention_items (resolved_by) where resolved_by is not null;
call protect_tenant_table('attention_items');
grant insert, update on attention_items to handrail_machine, handrail_worker;

-- Put something on the attention list; what is there already keeps its place and takes the newer words.
create or replace function open_attention(
  p_organization uuid, p_kind text, p_subject uuid, p_cause text, p_details jsonb default '{}',
  p_enrollment uuid default null, p_provider uuid default null
) returns void language sql as $$
  insert into attention_items (organization_id, kind, subject_id, cause, details, enrollment_id, provider_id)
  values (p_organization, p_kind, p_subject, p_cause, p_details, p_enrollment, p_provider)
  on conflict (kind, subject_id) where resolved_at is null
  do update set cause = excluded.cause, details = excluded.details
$$;

create or replace function close_attention(p_kind text, p_subject uuid, p_resolution text) returns void
language sql as $$
  update attention_items
  set resolved_at = now(), resolved_by = actor_id(), resolution = p_resolution
  where kind = p_kind and subject_id = p_subject and resolved_at is null
$$;
revoke all on function open_attention(uuid, text, uuid, text, jsonb, uuid, uuid) from public;
revoke all on function close_attention(text, uuid, text) from public;
grant execute on function open_attention(uuid, text, uuid, text, jsonb, uuid, uuid) to handrail_machine, handrail_worker;
grant execute on function close_attention(text, uuid, text) to handrail_machine, handrail_worker;
