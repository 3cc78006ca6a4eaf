-- The roles of Handrail. Run by `handrail setup-database` as somebody who may create roles; a repeat
-- changes nothing. Passwords are set by handrail.config.database, as scram verifiers.
--   handrail_owner     runs migrations and owns the tables
--   handrail_machine   owns the definer functions; nobody can sign in as it
--   handrail_web       pages and API; sees what the claims of the transaction allow
--   handrail_worker    the service role: applier, worker, commands
--   handrail_ingress   stores webhook events, nothing else
--   handrail_readonly  reports
do $$
declare
  v_role text;
begin
  foreach v_role in array array['owner', 'web', 'worker', 'ingress', 'readonly', 'machine'] loop
    v_role := 'handrail_' || v_role;
    if to_regrole(v_role) is null then
      execute format('create role %I nologin', v_role);
    end if;
    if v_role <> 'handrail_machine' and not (select rolcanlogin from pg_roles where rolname = v_role) then
      execute format('alter role %I login', v_role);
    end if;
  end loop;

  -- An administrator who is no superuser (a hosted server) must be the owner to make its database.
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant handrail_owner to %I with inherit true, set true', current_user);
  end if;
end
$$;

-- Migrations hand definer functions to the machine and replace them later.
grant handrail_machine to handrail_owner with inherit true, set true;
