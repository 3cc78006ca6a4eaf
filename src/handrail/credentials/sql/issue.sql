-- The credential is issued in the transaction that completes the enrollment; its PDF by a job afterwards.
create or replace function issue_credentials(p_enrollments uuid[]) returns void language sql as $$
  with issued as (
    insert into credentials (organization_id, enrollment_id, learner_id, number, organization_name, holder_name,
                             program_title, steps, supersedes)
    select e.organization_id, e.id, e.learner_id,
           -- Not a running number: nobody learns from it how many were issued, and nothing waits for a counter.
           to_char(now(), 'YYYY') || '-' || upper(substr(replace(gen_random_uuid()::text, '-', ''), 1, 10)),
           o.name, btrim(l.first_name || ' ' || l.last_name), p.title,
           (select jsonb_agg(jsonb_build_object(
                     'title', c.title, 'partner', pr.name,
                     'completed_on', (s.completed_at at time zone o.time_zone)::date,
                     'waived', s.status = 'skipped') order by s.sequence_order, s.id)
            from enrollment_steps s
            join partner_lms_courses c on c.id = s.course_id
            join partner_lms_providers pr on pr.id = s.provider_id
            where s.enrollment_id = e.id
              and (s.status = 'completed' or s.status = 'skipped' and s.skip_reason <> 'not_chosen')),
           (select id from credentials old where old.enrollment_id = e.id order by issued_at desc limit 1)
    from enrollments e
    join organizations o on o.id = e.organization_id
    join learners l on l.id = e.learner_id
    join programs p on p.id = e.program_id
    where e.id = any (p_enrollments) and e.status = 'completed'
    on conflict (enrollment_id) where revoked_at is null do nothing
    returning id
  )
  select enqueue_jobs('render_certificate', array_agg(id)) from issued having count(*) > 0
$$;

create or replace function revoke_credential(p_enrollment uuid, p_reason text) returns void language sql as $$
  select close_attention('certificate', id, 'revoked: ' || p_reason) from credentials
  where enrollment_id = p_enrollment and revoked_at is null;
  update credentials set revoked_at = now(), revoke_reason = p_reason
  where enrollment_id = p_enrollment and revoked_at is null
$$;

-- Store a rendered certificate, or say why there is none; the credential itself stands either way.
create or replace function store_certificate(p_credential uuid, p_pdf bytea, p_problem text) returns void
language plpgsql as $$
declare
  v_credential credentials;
begin
  perform assert_service();
  select * into v_credential from credentials where id = p_credential;
  if v_credential.id is null then
    raise exception 'no such credential' using errcode = 'P0002';
  end if;
  if p_pdf is null then
    update credentials set pdf_status = 'needs_attention' where id = p_credential;
    if v_credential.revoked_at is not null then
      return;
    end if;
    perform open_attention(v_credential.organization_id, 'certificate', p_credential, p_problem, '{}', v_credential.enrollment_id);
    return;
  end if;
  insert into credential_documents (credential_id, organization_id, learner_id, pdf)
  values (p_credential, v_credential.organization_id, v_credential.learner_id, p_pdf)
  on conflict (credential_id) do nothing;
  update credentials set pdf_status = 'rendered' where id = p_credential;
  perform close_attention('certificate', p_credential, 'the certificate was rendered');
end
$$;

-- Staff have the PDF made once more that could not be made; a failure comes back to the attention list.
create or replace function render_certificate_again(p_credential uuid) returns void language plpgsql as $$
declare
  v_credential credentials;
begin
  select * into v_credential from credentials where id = p_credential for no key update;
  if v_credential.id is null then
    raise exception 'no such credential' using errcode = 'P0002';
  end if;
  perform assert_staff(v_credential.organization_id);
  if v_credential.pdf_status <> 'needs_attention' then
    return;
  end if;
  update credentials set pdf_status = 'pending' where id = p_credential;
  perform close_attention('certificate', p_credential, 'to be made again');
  perform enqueue_jobs('render_certificate', array[p_credential]);
end
$$;

-- Issue the credential of a completed enrollment anew, of what is known now. A credential is a snapshot and is
-- never changed: the old one is revoked with the reason, and the new one supersedes it.
create or replace function reissue_credential(p_enrollment uuid, p_reason text) returns void language plpgsql as $$
declare
  v_enrollment enrollments;
begin
  v_enrollment := lock_enrollment(p_enrollment);
  perform require_reason(p_reason);
  if v_enrollment.status <> 'completed' then
    perform refuse('Only the certificate of a completed enrollment can be issued anew; this one is '
                   || v_enrollment.status || '.');
  end if;
  perform revoke_credential(p_enrollment, p_reason);
  perform issue_credentials(array[p_enrollment]);
  insert into step_events (organization_id, enrollment_id, from_status, to_status, cause_kind, actor_id, reason)
  values (v_enrollment.organization_id, p_enrollment, 'completed', 'completed', 'person', actor_id(),
          'certificate issued anew: ' || p_reason);
end
$$;

-- Correct a person's name as the organization knows it; the certificate of this enrollment is issued anew where
-- it says another. Certificates of other enrollments stay as they are.
create or replace function correct_learner_name(p_enrollment uuid, p_first_name text, p_last_name text, p_reason text)
returns void language plpgsql as $$
declare
  v_enrollment enrollments;
  v_learner learners;
  v_first text := btrim(coalesce(p_first_name, ''));
  v_last text := btrim(coalesce(p_last_name, ''));
  v_old text;
  v_new text := btrim(v_first || ' ' || v_last);
begin
  v_enrollment := lock_enrollment(p_enrollment);
  perform require_reason(p_reason);
  if v_first = '' then
    perform refuse('Enter the name.');
  end if;
  select * into v_learner from learners where id = v_enrollment.learner_id for no key update;
  v_old := btrim(v_learner.first_name || ' ' || v_learner.last_name);
  if (v_learner.first_name, v_learner.last_name) = (v_first, v_last) and not exists (
       select from credentials where enrollment_id = p_enrollment and revoked_at is null and holder_name <> v_new) then
    perform refuse('That is the name already.');
  end if;
  update learners set first_name = v_first, last_name = v_last where id = v_learner.id;
  insert into step_events (organization_id, enrollment_id, from_status, to_status, cause_kind, actor_id, reason)
  values (v_enrollment.organization_id, p_enrollment, v_enrollment.status, v_enrollment.status, 'person', actor_id(),
          'name corrected from ' || v_old || ' to ' || v_new || ': ' || p_reason);
  if exists (select from credentials where enrollment_id = p_enrollment and revoked_at is null and holder_name <> v_new) then
    perform reissue_credential(p_enrollment, 'the name was corrected: ' || p_reason);
  end if;
end
$$;

-- What anybody may see who has the certificate's address: nothing else of the person.
create or replace function verify_credential(p_credential uuid)
returns table (number text, organization_name text, holder_name text, program_title text, steps jsonb,
               issued_at timestamptz, time_zone text, revoked_at timestamptz, superseded_by uuid)
language sql stable as $$
  select c.number, c.organization_name, c.holder_name, c.program_title, c.steps, c.issued_at, o.time_zone, c.revoked_at,
         (select n.id from credentials n where n.organization_id = c.organization_id and n.supersedes = c.id
          order by n.issued_at limit 1)
  from credentials c join organizations o on o.id = c.organization_id
  where c.id = p_credential
$$;

call grant_machine_function('store_certificate(uuid, bytea, text)', 'handrail_worker');
call grant_machine_function('render_certificate_again(uuid)', 'handrail_web', 'handrail_worker');
call grant_machine_function('reissue_credential(uuid, text)', 'handrail_web', 'handrail_worker');
call grant_machine_function('correct_learner_name(uuid, text, text, text)', 'handrail_web', 'handrail_worker');
call grant_machine_function('verify_credential(uuid)', 'handrail_web');
do $$
declare
  v_function regprocedure;
begin
  -- Parts of the machine: run only inside its functions.
  foreach v_function in array array['issue_credentials(uuid[])', 'revoke_credential(uuid, text)']::regprocedure[] loop
    execute format('revoke all on function %s from public', v_function);
    execute format('grant execute on function %s to handrail_machine', v_function);
  end loop;
end
$$;
