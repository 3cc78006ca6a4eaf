-- For a service that works for every organization: whose row this is, and nothing else of it. The API asks after
-- the service has shown its token; the rest of the request then runs as staff of that organization.
create or replace function find_organization_of(p_enrollment uuid, p_step uuid, p_learner uuid) returns uuid
language sql stable as $$
  select organization_id from enrollments where id = p_enrollment
  union all
  select organization_id from enrollment_steps where id = p_step
  union all
  select organization_id from learners where id = p_learner
  limit 1
$$;
call grant_machine_function('find_organization_of(uuid, uuid, uuid)', 'handrail_web');
