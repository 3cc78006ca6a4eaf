-- Enroll many approved learners at once: for each what create_enrollment() and meet_requirement('approved')
-- do for one, by the same settle(), with the cause "import". tests/enrollments/test_enroll_learners.py holds the
-- two ways to the same rows. Raises, and does nothing, when a learner or a published version is missing,
-- or a program is archived.
create or replace function enroll_learners(
  p_learners uuid[], p_programs uuid[], p_funding_sources text[], p_start_dates date[]
) returns void language plpgsql as $$
declare
  v_new uuid[];
  v_active uuid[];
begin
  perform assert_service();
  with given as (
    select * from unnest(p_learners, p_programs, p_funding_sources, p_start_dates)
      as g (learner_id, program_id, funding_source, start_date)
  ), made as (
    insert into enrollments (organization_id, learner_id, program_id, program_version_id, funding_source, start_date, start_at)
    select l.organization_id, l.id, g.program_id, v.id, g.funding_source, g.start_date,
           g.start_date::timestamp at time zone o.time_zone
    from given g
    join learners l on l.id = g.learner_id
    join organizations o on o.id = l.organization_id
    join programs p on p.id = g.program_id and p.archived_at is null
    join lateral (
      select id from program_versions
      where organization_id = l.organization_id and program_id = g.program_id and published_at is not null
      order by number desc limit 1) v on true
    returning id
  )
  select array_agg(id order by id) into v_new from made;
  if coalesce(cardinality(v_new), 0) <> coalesce(cardinality(p_learners), 0) then
    raise exception 'no such learner, or a program that is archived or has no published version' using errcode = 'P0002';
  end if;
  if v_new is null then
    return;
  end if;

  insert into enrollment_requirements (organization_id, enrollment_id, kind, met_at, cause)
  select organization_id, id, 'approved', now(), 'import' from enrollments where id = any (v_new);
  insert into enrollment_steps (organization_id, enrollment_id, learner_id, program_step_id, provider_id, course_id,
                                sequence_order, required, elective_choose, demands_new_run)
  select e.organization_id, e.id, e.learner_id, p.id, p.provider_id, p.course_id, p.sequence_order, p.required,
         p.elective_choose, p.demands_new_run
  from enrollments e
  join program_partner_lms p on p.organization_id = e.organization_id and p.program_version_id = e.program_version_id
  where e.id = any (v_new)
  order by e.id, p.sequence_order, p.id;

  with activated as (
    update enrollments set status = 'active', activated_at = now(), updated_at = now()
    where id = any (v_new) and enrollment_limit_allows(id)
    returning id, organization_id
  ), history as (
    insert into step_events (organization_id, enrollment_id, from_status, to_status, cause_kind, actor_id)
    select organization_id, id, 'pending', 'active', 'import', actor_id() from activated
  )
  select array_agg(id) into v_active from activated;
  perform settle(v_active, row('import', null, actor_id(), '')::change_cause);
end
$$;
call grant_machine_function('enroll_learners(uuid[], uuid[], text[], date[])', 'handrail_worker');
