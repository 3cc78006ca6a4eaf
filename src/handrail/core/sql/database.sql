-- The rights and settings of the roles in the database of Handrail. Run there by `handrail
-- setup-database` after roles.sql, as the same administrator; a repeat changes nothing.
do $$
declare
  v_database text := current_database();
  v_role text;
  v_setting text[];
begin
  execute format('revoke all on database %I from public', v_database);
  revoke all on schema public from public;
  grant usage on schema public to handrail_machine;
  foreach v_role in array array['handrail_owner', 'handrail_web', 'handrail_worker', 'handrail_ingress', 'handrail_readonly'] loop
    execute format('grant connect on database %I to %I', v_database, v_role);
    execute format('grant usage on schema public to %I', v_role);
    execute format('alter role %I in database %I set timezone = ''UTC''', v_role, v_database);
    execute format('alter role %I in database %I set search_path = public', v_role, v_database);
  end loop;

  foreach v_setting slice 1 in array array[
    -- A stopped worker or applier frees its rows after this time.
    ['handrail_worker', 'idle_in_transaction_session_timeout', '10s'],
    ['handrail_ingress', 'idle_in_transaction_session_timeout', '10s'],
    ['handrail_ingress', 'statement_timeout', '10s'],
    ['handrail_web', 'idle_in_transaction_session_timeout', '30s'],
    ['handrail_web', 'statement_timeout', '30s'],
    ['handrail_readonly', 'default_transaction_read_only', 'on'],
    ['handrail_readonly', 'idle_in_transaction_session_timeout', '5min'],
    ['handrail_readonly', 'statement_timeout', '5min']
  ] loop
    execute format('alter role %I in database %I set %I = %L', v_setting[1], v_database, v_setting[2], v_setting[3]);
  end loop;
end
$$;
