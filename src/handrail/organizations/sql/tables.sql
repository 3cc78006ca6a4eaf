create table organizations (
  id uuid primary key default uuidv7(),
  slug text not null unique check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  name text not null check (btrim(name) <> ''),
  learner_word text not null default 'student' check (learner_word in ('student', 'apprentice', 'participant', 'learner')),
  time_zone text not null default 'UTC',
  created_at timestamptz not null default now()
);
alter table organizations enable row level security;
alter table organizations force row level security;
create policy service_manages_all on organizations to handrail_worker using (true) with check (true);
create policy machine_reads on organizations for select to handrail_machine using (true);
grant select on organizations to handrail_web, handrail_worker, handrail_readonly, handrail_machine;
grant insert, update on organizations to handrail_worker;

create table memberships (
  id uuid primary key default uuidv7(),
  organization_id uuid not null references organizations,
  profile_id uuid not null references profiles,
  role text not null check (role in ('staff', 'admin', 'owner', 'partner')),
  created_at timestamptz not null default now(),
  unique (organization_id, profile_id)
);
create index memberships_profile on memberships (profile_id);
call protect_tenant_table('memberships');
create policy own_memberships on memberships for select to handrail_web
  using (profile_id = (select claim_profile_id()));
grant insert, update, delete on memberships to handrail_worker;

-- Members' names and e-mail for their organization.
create or replace function list_members(p_organization uuid)
returns table (profile_id uuid, name text, email text, role text)
language plpgsql stable as $$
begin
  perform assert_staff(p_organization);
  return query
    select m.profile_id, p.name, p.email, m.role
    from memberships m join profiles p on p.id = m.profile_id
    where m.organization_id = p_organization
    order by p.email;
end
$$;
call grant_machine_function('list_members(uuid)', 'handrail_web', 'handrail_worker');
