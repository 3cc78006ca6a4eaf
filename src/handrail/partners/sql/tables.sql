create table partner_lms_providers (
  id uuid primary key default uuidv7(),
  organization_id uuid not null references organizations,
  slug text not null check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  name text not null check (btrim(name) <> ''),
  adapter text not null,
  mode text not null check (mode in ('api', 'link', 'hybrid')),
  base_url text not null default '',
  link_url text not null default '',
  credentials bytea,                      -- encrypted JSON; only the worker and the launch of a course read it
  settings jsonb not null default '{}',
  -- What the adapter offers, copied when the provider is configured, so that SQL can decide by it.
  offers_lookup boolean not null default false,
  offers_unenroll boolean not null default false,
  offers_progress boolean not null default false,
  configured_at timestamptz,              -- when address, mode or credentials were last set
  archived_at timestamptz,
  created_at timestamptz not null default now(),
  unique (organization_id, slug),
  unique (organization_id, id)
);
call protect_tenant_table('partner_lms_providers');
grant insert, update on partner_lms_providers to handrail_worker;
-- Credentials are sealed; reports have no use for them even so.
revoke select on partner_lms_providers from handrail_readonly;
grant select (id, organization_id, slug, name, adapter, mode, base_url, link_url, settings, offers_lookup, offers_unenroll,
              offers_progress, configured_at, archived_at, created_at)
  on partner_lms_providers to handrail_readonly;

create table partner_lms_courses (
  id uuid primary key default uuidv7(),
  organization_id uuid not null,
  provider_id uuid not null,
  code text not null,
  title text not null check (btrim(title) <> ''),
  kind text not null default 'course' check (kind in ('course', 'exam', 'screening', 'orientation')),
  hours numeric(7, 2) not null default 0 check (hours >= 0),
  credential_name text not null default '',
  valid_months integer check (valid_months > 0),
  link_url text not null default '',
  created_at timestamptz not null default now(),
  unique (organization_id, provider_id, code),
  unique (organization_id, id),
  unique (organization_id, provider_id, id),
  foreign key (organization_id, provider_id) references partner_lms_providers (organization_id, id)
);
call protect_tenant_table('partner_lms_courses');
grant insert, update on partner_lms_courses to handrail_worker;

-- A student reads the names of providers and courses of the organizations that know him or her.
create or replace function own_organization_ids() returns uuid[] language sql stable as $$
  select coalesce(array_agg(distinct organization_id), '{}') from learners where profile_id = claim_profile_id()
$$;
call grant_machine_function('own_organization_ids()', 'handrail_web', 'handrail_readonly');
create policy learners_read on partner_lms_providers for select to handrail_web
  using (organization_id = any ((select own_organization_ids())::uuid[]));
create policy learners_read on partner_lms_courses for select to handrail_web
  using (organization_id = any ((select own_organization_ids())::uuid[]));

alter table webhook_endpoints
  add foreign key (organization_id, provider_id) references partner_lms_providers (organization_id, id);
alter table attention_items
  add foreign key (organization_id, provider_id) references partner_lms_providers (organization_id, id);
