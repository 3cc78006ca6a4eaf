-- Who is asking. Identity is the transaction-local setting request.jwt.claims, a JSON object:
--   sub              the signed-in profile's id
--   organization_id  the organization whose console the person works in (absent for a student)
--   org_role         that person's role there: staff, admin, owner
-- The service role needs no claims: it is recognized by its login, which no claim can forge.

do $$
begin
  -- PostgreSQL 18 has uuidv7(); elsewhere this one stands in for it (RFC 9562, section 5.7). The 12 bits after
  -- the milliseconds are their fraction (section 6.2, method 3), so that ids keep the order of a transaction.
  if to_regprocedure('pg_catalog.uuidv7()') is null then
    create or replace function public.uuidv7() returns uuid language sql volatile parallel safe as $f$
      select encode(
        overlay(
          overlay(uuid_send(gen_random_uuid())
                  placing substring(int8send(trunc(ms)::bigint) from 3) from 1 for 6)
          placing int2send((28672 + trunc((ms - trunc(ms)) * 4096))::int2) from 7 for 2),  -- 28672: version 7
        'hex')::uuid
      from (select extract(epoch from clock_timestamp()) * 1000 as ms) as clock
    $f$;
  end if;
end
$$;

create or replace function claims() returns jsonb language plpgsql stable as $$
declare
  v_claims text := nullif(current_setting('request.jwt.claims', true), '');
begin
  if v_claims is null then
    raise exception 'no identity is set in this transaction'
      using errcode = '42501', hint = 'set request.jwt.claims with the identity helper first';
  end if;
  return v_claims::jsonb;
end
$$;

create or replace function claim_profile_id() returns uuid language sql stable as $$
  select (claims() ->> 'sub')::uuid
$$;

create or replace function claim_staff_organization() returns uuid language sql stable as $$
  select case when c ->> 'org_role' in ('staff', 'admin', 'owner') then (c ->> 'organization_id')::uuid end
  from (select claims() as c) as one
$$;

create or replace function claim_admin_organization() returns uuid language sql stable as $$
  select case when c ->> 'org_role' in ('admin', 'owner') then (c ->> 'organization_id')::uuid end
  from (select claims() as c) as one
$$;

create or replace function is_service() returns boolean language sql stable as $$
  select session_user = 'handrail_worker'
$$;

-- Raise unless the caller is the service role or works in that organization with at least this role.
create or replace function assert_staff(p_organization uuid, p_admin boolean default false) returns void
language plpgsql stable as $$
begin
  if is_service() then
    return;
  end if;
  if p_organization is distinct from
     (case when p_admin then claim_admin_organization() else claim_staff_organization() end)
     or p_organization is null then
    raise exception 'not allowed in this organization' using errcode = '42501';
  end if;
end
$$;

create or replace function assert_service() returns void language plpgsql stable as $$
begin
  if not is_service() then
    raise exception 'only the service role may do this' using errcode = '42501';
  end if;
end
$$;

-- The signed-in person, or nobody when the service role works on its own.
create or replace function actor_id() returns uuid language sql stable as $$
  select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;

-- Give a tenant table its walls: row security also for the owner, everything for the service role
-- and the machine (whose functions check their caller), the organization's rows for its staff.
create or replace procedure protect_tenant_table(p_table regclass) language plpgsql as $$
begin
  execute format('alter table %s enable row level security', p_table);
  execute format('alter table %s force row level security', p_table);
  execute format('create policy service_manages_all on %s to handrail_worker using (true) with check (true)', p_table);
  execute format('create policy machine_writes on %s to handrail_machine using (true) with check (true)', p_table);
  execute format('create policy staff_see_their_organization on %s for select to handrail_web, handrail_readonly '
                 'using (organization_id = (select claim_staff_organization()))', p_table);
  execute format('grant select on %s to handrail_worker, handrail_web, handrail_readonly, handrail_machine', p_table);
end
$$;

-- Hand a function to the machine role: it runs with the machine's rights, for those named.
create or replace procedure grant_machine_function(p_function regprocedure, variadic p_roles text[] default array[]::text[])
language plpgsql as $$
declare
  v_role text;
begin
  execute format('alter function %s security definer', p_function);
  execute format('alter function %s set search_path = pg_catalog, public, pg_temp', p_function);
  execute format('alter function %s owner to handrail_machine', p_function);
  execute format('revoke all on function %s from public', p_function);
  foreach v_role in array p_roles loop
    execute format('grant execute on function %s to %I', p_function, v_role);
  end loop;
end
$$;

revoke all on procedure protect_tenant_table(regclass) from public;
revoke all on procedure grant_machine_function(regprocedure, text[]) from public;
