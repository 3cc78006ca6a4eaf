-- Rights on the tables that Django and allauth bring; run as the owner after each migration.
do $$
declare
  v_table text;
begin
  foreach v_table in array array[
    'django_session', 'django_cache', 'mfa_authenticator'
  ] loop
    if to_regclass(v_table) is not null then
      execute format('grant select, insert, update, delete on %I to handrail_web, handrail_worker', v_table);
    end if;
  end loop;
  foreach v_table in array array['django_content_type', 'auth_permission', 'auth_group', 'auth_group_permissions'] loop
    if to_regclass(v_table) is not null then
      execute format('grant select on %I to handrail_web, handrail_worker', v_table);
    end if;
  end loop;
  -- Second factors, and the addresses allauth looks for (we keep them on the profile): one's own only.
  foreach v_table in array array['mfa_authenticator', 'account_emailaddress'] loop
    if to_regclass(v_table) is not null then
      execute format('alter table %I enable row level security', v_table);
      execute format('alter table %I force row level security', v_table);
      execute format('drop policy if exists service_manages_all on %I', v_table);
      execute format('create policy service_manages_all on %I to handrail_worker using (true) with check (true)', v_table);
      execute format('drop policy if exists oneself on %I', v_table);
      execute format('create policy oneself on %I to handrail_web using (user_id = (select claim_profile_id())) '
                     'with check (user_id = (select claim_profile_id()))', v_table);
      execute format('grant select on %I to handrail_web, handrail_worker', v_table);
    end if;
  end loop;
  grant select on django_migrations to handrail_web, handrail_worker, handrail_ingress, handrail_readonly;
end
$$;
