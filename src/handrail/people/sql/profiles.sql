-- Who can sign in. A profile holds only what that person entered.
create table profiles (
  id uuid primary key default uuidv7(),
  email text not null,
  name text not null default '',
  password text not null,
  is_active boolean not null default true,
  is_super_admin boolean not null default false,
  last_login timestamptz,
  created_at timestamptz not null default now(),
  constraint profiles_email_normalized check (email = lower(btrim(email)) and email <> '')
);
create unique index profiles_email on profiles (email);

alter table profiles enable row level security;
alter table profiles force row level security;
create policy service_manages_all on profiles to handrail_worker using (true) with check (true);
create policy machine_reads on profiles for select to handrail_machine using (true);
create policy oneself on profiles to handrail_web
  using (id = (select claim_profile_id())) with check (id = (select claim_profile_id()));
grant select on profiles to handrail_web, handrail_worker, handrail_machine;
grant insert, update on profiles to handrail_worker;
grant update (name, password, last_login) on profiles to handrail_web;

-- Sign-in: the only way to a profile without being that person; answers only what is needed.
create or replace function find_sign_in(p_email text)
returns table (id uuid, password text, is_active boolean)
language sql stable as $$
  select p.id, p.password, p.is_active from profiles p where p.email = lower(btrim(p_email))
$$;
call grant_machine_function('find_sign_in(text)', 'handrail_web');
