-- A person as one organization knows them. Imports make learners, never profiles.
create table learners (
  id uuid primary key default uuidv7(),
  organization_id uuid not null references organizations,
  first_name text not null,
  last_name text not null default '',
  email text not null,
  email_normalized text not null,
  phone text not null default '',
  birth_date date,
  profile_id uuid references profiles,
  created_at timestamptz not null default now(),
  unique (organization_id, email_normalized),
  unique (organization_id, id),
  constraint learners_email_normalized check (email_normalized = lower(btrim(email_normalized)) and email_normalized <> '')
);
create index learners_profile on learners (profile_id) where profile_id is not null;
create index learners_name on learners (organization_id, last_name, first_name, id);
call protect_tenant_table('learners');
create policy own_rows on learners for select to handrail_web
  using (profile_id = (select claim_profile_id()));
-- Whose profile it is, link_learner() alone says.
grant insert (organization_id, first_name, last_name, email, email_normalized, phone, birth_date)
  on learners to handrail_worker;
grant update (first_name, last_name, email, phone, birth_date) on learners to handrail_worker;
grant update (profile_id, first_name, last_name) on learners to handrail_machine;

-- The learners that are the signed-in person, in any organization.
create or replace function own_learner_ids() returns uuid[] language sql stable as $$
  select coalesce(array_agg(id), '{}') from learners where profile_id = claim_profile_id()
$$;
call grant_machine_function('own_learner_ids()', 'handrail_web', 'handrail_readonly');

create policy members_and_learners on organizations for select to handrail_web, handrail_readonly
  using (id = (select claim_staff_organization())
         or id in (select organization_id from memberships where profile_id = (select claim_profile_id()))
         or id in (select organization_id from learners where profile_id = (select claim_profile_id())));

-- The only way to link a learner to the profile that proved the address.
create or replace function link_learner(p_learner uuid, p_profile uuid) returns void
language plpgsql as $$
declare
  v_learner learners;
  v_email text;
begin
  perform assert_service();
  select * into v_learner from learners where id = p_learner for update;
  select email into v_email from profiles where id = p_profile;
  if v_learner.id is null or v_email is null then
    raise exception 'no such learner or profile' using errcode = 'P0002';
  end if;
  if v_learner.profile_id = p_profile then
    return;
  end if;
  if v_learner.profile_id is not null then
    raise exception 'the learner already belongs to another profile' using errcode = '23505';
  end if;
  if v_learner.email_normalized <> v_email then
    raise exception 'the profile signs in with another address' using errcode = '42501';
  end if;
  update learners set profile_id = p_profile where id = p_learner;
end
$$;
call grant_machine_function('link_learner(uuid, uuid)', 'handrail_worker');
