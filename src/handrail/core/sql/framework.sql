-- Rights on the tables that Django and allauth bring; run as the owner after each migration.
do $$
declare
  v_table text;
begin
  foreach v_table in array array[
    'django_session', 'django_cache', 'account_emailaddress', 'account_emailconfirmation', 'mfa_authenticator'
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
  grant select on django_migrations to handrail_web, handrail_worker, handrail_ingress, handrail_readonly;
end
$$;
