-- The promises as queries (docs/architecture.md): each selects what breaks one, a text a row; a healthy
-- installation has none. Read by handrail.enrollments.promises; a header is the promise's number and what is wrong.
-- Parameters: waiting_hours (how long an event may wait), key_ids (of the configured secret keys).

-- 1: a message that is due is not applied
select 'event ' || id from webhook_events
where status = 'received' and next_attempt_at < now() - interval '10 minutes';

-- 1: a message waits longer than it may
select 'event ' || id from webhook_events
where status = 'waiting' and received_at < now() - make_interval(hours => %(waiting_hours)s::integer + 1);

-- 1: a message needs a person, and nobody was told
select 'event ' || e.id from webhook_events e
where e.status = 'needs_attention'
  and not exists (select from attention_items a where a.kind = 'webhook_event' and a.subject_id = e.id);

-- 1: a message lost its body before it was dealt with
select 'event ' || id from webhook_events where body is null and status in ('received', 'waiting');

-- 2: the same event id is stored twice
select 'endpoint ' || endpoint_id || ', event ' || event_id from webhook_events
group by endpoint_id, event_id having count(*) > 1;

-- 2: a step was completed twice in one attempt
select 'step ' || step_id from step_events
where to_status = 'completed' and step_id is not null
group by enrollment_id, step_id, attempt having count(*) > 1;

-- 2: two runs of one course are open at once
select 'account ' || partner_account_id from partner_lms_enrollments
where status in ('requested', 'provisioning', 'active', 'needs_attention')
group by partner_account_id, course_id having count(*) > 1;

-- 2: the same call is open twice
select 'run ' || partner_enrollment_id from intents
where partner_enrollment_id is not null and status in ('queued', 'sending', 'failed', 'unknown', 'needs_person')
group by partner_enrollment_id, kind having count(*) > 1
union all
select 'account ' || partner_account_id from intents
where kind = 'create_account' and status in ('queued', 'sending', 'failed', 'unknown', 'needs_person')
group by partner_account_id having count(*) > 1;

-- 2: a partner's id belongs to two
select 'provider ' || provider_id || ', enrollment ' || external_enrollment_id from partner_lms_enrollments
where external_enrollment_id is not null group by provider_id, external_enrollment_id having count(*) > 1
union all
select 'provider ' || provider_id || ', account ' || external_id from partner_accounts
where external_id is not null group by provider_id, external_id having count(*) > 1;

-- 2: a person has two live enrollments in one program
select 'learner ' || learner_id from enrollments where status in ('pending', 'active', 'suspended')
group by learner_id, program_id having count(*) > 1;

-- 3: an enrollment is due and did not start
select 'enrollment ' || id from enrollments
where status = 'active' and started_at is null and start_at < now() - interval '10 minutes';

-- 3: a step is due and did not start
select 'step ' || s.id
from (
  select stage.*, min(sequence_order) filter (where not (required_done and electives_done))
                    over (partition by enrollment_id) as stage_now
  from (
    select s.enrollment_id, s.sequence_order,
           bool_and(not s.required or s.status in ('completed', 'skipped')) as required_done,
           count(*) filter (where not s.required and (s.status = 'completed' or s.skip_reason <> 'not_chosen'))
             >= coalesce(max(s.elective_choose), 0) as electives_done
    from enrollment_steps s join enrollments e on e.id = s.enrollment_id
    where e.status = 'active' and e.started_at is not null
    group by s.enrollment_id, s.sequence_order) as stage) as place
join enrollment_steps s on s.enrollment_id = place.enrollment_id and s.sequence_order = place.sequence_order
where place.sequence_order = place.stage_now and s.status = 'pending'
  and (s.required or s.chosen_at is not null and not place.electives_done);

-- 3: a step in progress has no run, or one that ended
select 'step ' || s.id
from enrollment_steps s join enrollments e on e.id = s.enrollment_id
left join partner_lms_enrollments r on r.id = s.partner_enrollment_id
where s.status = 'in_progress' and e.status = 'active'
  and (r.id is null or r.status in ('failed', 'cancelling', 'cancelled') or r.status = 'completed' and r.revoked_at is null);

-- 3: a step failed though its run is completed
select 'step ' || s.id
from enrollment_steps s join enrollments e on e.id = s.enrollment_id
join partner_lms_enrollments r on r.id = s.partner_enrollment_id
where s.status = 'failed' and e.status = 'active' and r.status = 'completed' and r.revoked_at is null;

-- 3: a run waits for a call that is not recorded
select 'run ' || r.id
from partner_lms_enrollments r
join partner_accounts a on a.id = r.partner_account_id
join partner_lms_providers p on p.id = r.provider_id
where r.status in ('requested', 'provisioning', 'cancelling') and p.mode <> 'link'
  and not exists (
    select from intents i
    where i.partner_enrollment_id = r.id and i.status in ('queued', 'sending', 'failed', 'unknown', 'needs_person'))
  and not (r.status = 'requested' and a.external_id is null and exists (
    select from intents i
    where i.partner_account_id = a.id and i.kind = 'create_account'
      and i.status in ('queued', 'sending', 'failed', 'unknown', 'needs_person')))
  and not (r.status = 'requested' and exists (
    select from partner_lms_enrollments old
    where old.partner_account_id = r.partner_account_id and old.course_id = r.course_id and old.status = 'cancelling'));

-- 3: a run needs a person, and nobody was told
select 'run ' || r.id
from partner_lms_enrollments r
where r.status = 'needs_attention'
  and not exists (select from attention_items a where a.kind = 'run' and a.subject_id = r.id)
  and not exists (
    select from intents i
    where i.partner_enrollment_id = r.id and i.status = 'needs_person'
      and (exists (select from attention_items a where a.kind = 'call' and a.subject_id = i.id)
           or i.awaits_provider and exists (
             select from attention_items a where a.kind = 'provider_calls' and a.subject_id = i.provider_id)));

-- 4: a run ended, and nobody said so
select 'run ' || id from partner_lms_enrollments
where status in ('completed', 'failed') and fact_kind is null;

-- 4: a run has progress, and nobody said so
select 'run ' || id from partner_lms_enrollments where progress is not null and fact_kind is null and not continued;

-- 4: a partner's id is known, and neither a call nor a report brought it
select 'run ' || r.id
from partner_lms_enrollments r
where r.external_enrollment_id is not null and r.fact_kind is null and not r.continued
  and not exists (select from intents i where i.partner_enrollment_id = r.id and i.kind = 'enroll' and i.status = 'done')
union all
select 'account ' || a.id
from partner_accounts a
where a.external_id is not null
  and not exists (select from intents i where i.partner_account_id = a.id and i.kind = 'create_account' and i.status = 'done');

-- 4: a step is completed by a run that is not
select 'step ' || s.id
from enrollment_steps s left join partner_lms_enrollments r on r.id = s.partner_enrollment_id
where s.status = 'completed' and (r.id is null or r.status <> 'completed' and not r.continued and r.revoked_at is null);

-- 4: a person completed a step without saying why
select 'step ' || step_id from step_events
where cause_kind = 'person' and to_status = 'completed' and step_id is not null and btrim(reason) = '';

-- 5: a call is being made long after its lease
select 'call ' || id from intents where status = 'sending' and lease_until < now() - interval '10 minutes';

-- 5: a call is due and nobody makes it
select 'call ' || i.id from intents i cross join installation n
where i.status in ('queued', 'failed', 'unknown') and not i.held and i.next_attempt_at < now() - interval '1 hour'
  and not n.outbound_held
  -- A partner that asked to wait for longer is left alone as a whole.
  and not exists (
    select from intents w
    where w.provider_id = i.provider_id and w.status = 'failed' and w.next_attempt_at > now()
      and w.next_attempt_at > w.updated_at + interval '1 hour');

-- 5: a backup was restored, and a call that may have been made since would be made without looking
select 'call ' || i.id from intents i cross join installation n
where i.status = 'queued' and not i.uncertain and i.calls = 0 and n.calls_doubted_until > now();

-- 5: a call needs a person, and nobody was told
select 'call ' || i.id from intents i
where i.status = 'needs_person'
  and not exists (select from attention_items a where a.kind = 'call' and a.subject_id = i.id and a.resolved_at is null)
  and not (i.awaits_provider and exists (
    select from attention_items a where a.kind = 'provider_calls' and a.subject_id = i.provider_id and a.resolved_at is null));

-- 5: a call asks for an enrollment that was left
select 'call ' || i.id from intents i join partner_lms_enrollments r on r.id = i.partner_enrollment_id
where i.kind = 'enroll' and i.status in ('queued', 'failed', 'unknown', 'needs_person') and r.status = 'cancelled';

-- 5: an enrollment call is done without the partner's id
select 'call ' || i.id from intents i join partner_lms_enrollments r on r.id = i.partner_enrollment_id
where i.kind = 'enroll' and i.status = 'done' and r.external_enrollment_id is null;

-- 6: an enrollment is completed though its steps are not, or the other way round
select 'enrollment ' || e.id
from enrollments e
cross join lateral (
  select coalesce(bool_and(required_done and electives_done), false) as all_done
  from (
    select bool_and(not s.required or s.status in ('completed', 'skipped')) as required_done,
           count(*) filter (where not s.required and (s.status = 'completed' or s.skip_reason <> 'not_chosen'))
             >= coalesce(max(s.elective_choose), 0) as electives_done
    from enrollment_steps s where s.enrollment_id = e.id group by s.sequence_order) as stage) as steps
where e.status = 'completed' and not steps.all_done
   or e.status = 'active' and e.started_at is not null and steps.all_done;

-- 6: an enrollment lacks a step of its program version
select 'enrollment ' || e.id
from enrollments e
join program_partner_lms p on p.program_version_id = e.program_version_id
left join enrollment_steps s on s.enrollment_id = e.id and s.program_step_id = p.id
where s.id is null;

-- 6: a completed enrollment has no valid credential, or several
select 'enrollment ' || e.id
from enrollments e left join credentials c on c.enrollment_id = e.id and c.revoked_at is null
where e.status = 'completed' group by e.id having count(c.id) <> 1;

-- 6: a credential is valid though its enrollment is not completed
select 'credential ' || c.id from credentials c join enrollments e on e.id = c.enrollment_id
where c.revoked_at is null and e.status <> 'completed';

-- 7: a status differs from the last change on record
select 'step ' || s.id
from enrollment_steps s
left join lateral (
  select to_status from step_events h where h.enrollment_id = s.enrollment_id and h.step_id = s.id
  order by h.id desc limit 1) as last on true
where s.status <> coalesce(last.to_status, 'pending')
union all
select 'enrollment ' || e.id
from enrollments e
left join lateral (
  select to_status from step_events h where h.enrollment_id = e.id and h.step_id is null
  order by h.id desc limit 1) as last on true
where e.status <> coalesce(last.to_status, 'pending');

-- 7: a change does not begin where the one before ended
select 'change ' || id
from (select id, from_status, lag(to_status, 1, 'pending') over (partition by enrollment_id, step_id order by id) as before
      from step_events) as history
where from_status is distinct from before;

-- 7: a change names no cause
select 'change ' || id from step_events
where cause_id is null and cause_kind in ('webhook', 'step', 'equivalent') or coalesce(cause_kind, '') = '';

-- 8: a row belongs to another organization or person than what it is part of
select 'change ' || h.id from step_events h left join enrollments e on e.id = h.enrollment_id
where e.organization_id is distinct from h.organization_id
union all
select 'change ' || h.id from step_events h left join enrollment_steps s on s.id = h.step_id
where h.step_id is not null and (s.organization_id, s.enrollment_id) is distinct from (h.organization_id, h.enrollment_id)
union all
select 'call ' || i.id from intents i left join partner_accounts a on a.id = i.partner_account_id
where (a.organization_id, a.provider_id) is distinct from (i.organization_id, i.provider_id)
union all
select 'call ' || i.id from intents i left join partner_lms_enrollments r on r.id = i.partner_enrollment_id
where i.partner_enrollment_id is not null
  and (r.organization_id, r.partner_account_id) is distinct from (i.organization_id, i.partner_account_id)
union all
select 'run ' || r.id from partner_lms_enrollments r join partner_accounts a on a.id = r.partner_account_id
where (a.organization_id, a.provider_id, a.learner_id) is distinct from (r.organization_id, r.provider_id, r.learner_id)
union all
select 'step ' || s.id
from enrollment_steps s join enrollments e on e.id = s.enrollment_id left join program_partner_lms p on p.id = s.program_step_id
where (e.organization_id, e.learner_id, e.program_version_id, p.organization_id, p.provider_id, p.course_id)
  is distinct from (s.organization_id, s.learner_id, p.program_version_id, s.organization_id, s.provider_id, s.course_id)
union all
select 'run ' || r.id from partner_lms_enrollments r left join partner_lms_courses c on c.id = r.course_id
where (c.organization_id, c.provider_id) is distinct from (r.organization_id, r.provider_id)
union all
select 'step ' || s.id from enrollment_steps s left join partner_lms_enrollments r on r.id = s.partner_enrollment_id
where s.partner_enrollment_id is not null
  and (r.organization_id, r.learner_id, r.course_id) is distinct from (s.organization_id, s.learner_id, s.course_id)
union all
select 'credential ' || c.id from credentials c join enrollments e on e.id = c.enrollment_id
where (e.organization_id, e.learner_id) is distinct from (c.organization_id, c.learner_id)
union all
select 'document ' || d.credential_id from credential_documents d join credentials c on c.id = d.credential_id
where (c.organization_id, c.learner_id) is distinct from (d.organization_id, d.learner_id)
union all
select 'certificate ' || c.id from partner_certificates c join partner_lms_enrollments r on r.id = c.partner_enrollment_id
where (r.organization_id, r.learner_id) is distinct from (c.organization_id, c.learner_id)
union all
select 'result ' || x.id from sensitive_results x join partner_lms_enrollments r on r.id = x.partner_enrollment_id
where r.organization_id <> x.organization_id
union all
select 'event ' || w.id from webhook_events w left join webhook_endpoints p on p.id = w.endpoint_id
where p.kind is distinct from 'stripe'
  and (p.organization_id, p.provider_id) is distinct from (w.organization_id, w.provider_id)
union all
select 'conflict ' || c.id from webhook_event_conflicts c join webhook_events w on w.id = c.webhook_event_id
where w.organization_id <> c.organization_id
union all
select 'decision ' || d.id from webhook_event_decisions d join webhook_events w on w.id = d.webhook_event_id
where w.organization_id <> d.organization_id
union all
select 'entry ' || a.id
from attention_items a
cross join lateral (
  select organization_id from enrollments where id = a.enrollment_id
  union all select organization_id from partner_lms_providers where id = a.provider_id
  union all select organization_id from partner_lms_enrollments where id = a.subject_id
  union all select organization_id from intents where id = a.subject_id) as its
where its.organization_id is distinct from a.organization_id;

-- 8: a table of an organization has no walls
select 'table ' || c.relname
from pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
  and (c.relname in ('organizations', 'profiles', 'mfa_authenticator', 'account_emailaddress', 'outgoing_mails')
       or exists (select from pg_attribute a
                  where a.attrelid = c.oid and a.attname = 'organization_id' and not a.attisdropped))
  and not (c.relrowsecurity and c.relforcerowsecurity);

-- 8: a policy lets everybody through
select 'policy ' || policyname || ' on ' || tablename
from pg_policies
where schemaname = 'public' and roles && array['public', 'handrail_web', 'handrail_readonly', 'handrail_ingress']::name[]
  and (qual is null or qual = 'true') and coalesce(with_check, 'true') = 'true';

-- 8: a role passes by the walls
select 'role ' || rolname from pg_roles
where rolname in ('handrail_owner', 'handrail_machine', 'handrail_web', 'handrail_worker', 'handrail_ingress', 'handrail_readonly')
  and (rolsuper or rolbypassrls or rolcreaterole or rolreplication);

-- 9: somebody but the machine may write states
select grants.grantee || ' may ' || lower(grants.privilege) || ' ' || grants.relname
from (
  select c.relname, coalesce(g.rolname, 'everybody') as grantee, acl.privilege_type as privilege
  from pg_class c cross join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) as acl
  left join pg_roles g on g.oid = acl.grantee
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
  union all
  select c.relname, coalesce(g.rolname, 'everybody'), acl.privilege_type
  from pg_class c join pg_attribute a on a.attrelid = c.oid cross join lateral aclexplode(a.attacl) as acl
  left join pg_roles g on g.oid = acl.grantee
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')) as grants
where grants.relname in ('enrollments', 'enrollment_requirements', 'enrollment_steps', 'step_events', 'partner_accounts',
                         'partner_lms_enrollments', 'partner_certificates', 'sensitive_results', 'intents', 'credentials')
  and (grants.privilege in ('DELETE', 'TRUNCATE')
       or grants.privilege in ('INSERT', 'UPDATE') and grants.grantee not in ('handrail_machine', 'handrail_owner'));

-- 9: somebody can become another role
select 'role ' || m.rolname || ', which is ' || g.rolname || ' too'
from pg_auth_members am join pg_roles m on m.oid = am.member join pg_roles g on g.oid = am.roleid
where (am.inherit_option or am.set_option) and not m.rolsuper
  and (g.rolname, m.rolname) <> ('handrail_machine', 'handrail_owner')
  and (g.rolname = 'handrail_machine'
       or g.rolname like 'handrail\_%%'
          and m.rolname in ('handrail_owner', 'handrail_machine', 'handrail_web', 'handrail_worker', 'handrail_ingress', 'handrail_readonly'))
union all
select 'role handrail_machine can sign in' from pg_roles where rolname = 'handrail_machine' and rolcanlogin;

-- 9: a function of the machine is open to everybody, or finds its tables by the caller's path
select 'function ' || p.oid::regprocedure
from pg_proc p
where p.pronamespace = 'public'::regnamespace and p.prosecdef
  and (not coalesce(p.proconfig, '{}') @> array['search_path=pg_catalog, public, pg_temp']
       or exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as acl where acl.grantee = 0));

-- 10: a secret is stored in clear, or under a key that is not configured
select 'provider ' || id from partner_lms_providers
where credentials is not null and not coalesce(
  octet_length(credentials) > position(':'::bytea in credentials) + 27
  and encode(substring(credentials from 1 for greatest(0, position(':'::bytea in credentials) - 1)), 'escape') = any (%(key_ids)s::text[]), false)
union all
select 'endpoint ' || e.id
from webhook_endpoints e cross join lateral (values (e.secret), (e.previous_secret)) as one (secret)
where one.secret is not null and not coalesce(
  octet_length(one.secret) > position(':'::bytea in one.secret) + 27
  and encode(substring(one.secret from 1 for greatest(0, position(':'::bytea in one.secret) - 1)), 'escape') = any (%(key_ids)s::text[]), false)
union all
select 'second factor of ' || m.user_id
from mfa_authenticator m
cross join lateral (values (m.data ->> 'secret'), (m.data ->> 'seed')) as one (text)
cross join lateral (
  -- Base64; anything else becomes an empty value, which is as wrong.
  select case when one.text ~ '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$'
         then decode(one.text, 'base64') else '' end as secret) as sealed
where one.text is not null and not coalesce(
  octet_length(sealed.secret) > position(':'::bytea in sealed.secret) + 27
  and encode(substring(sealed.secret from 1 for greatest(0, position(':'::bytea in sealed.secret) - 1)), 'escape') = any (%(key_ids)s::text[]), false);

-- 10: a job carries more than an id
select 'job ' || id from pgqueuer
where octet_length(payload) <> 36 or encode(payload, 'escape') !~ '^[0-9a-f-]{36}$';

-- 10: somebody may read a secret, a message's body or a sensitive result who has no use for it
select distinct coalesce(g.rolname, 'everybody') || ' may read ' || kept.relname
from (values ('webhook_endpoints', '{secret,previous_secret}', '{handrail_ingress}'),
             ('webhook_events', '{body}', '{}'),
             ('webhook_event_conflicts', '{body}', '{}'),
             ('partner_lms_providers', '{credentials}', '{handrail_web}'),
             ('sensitive_results', '{result}', '{handrail_web}'),
             ('mfa_authenticator', '{data}', '{handrail_web}')) as kept (relname, columns, readers)
join pg_class c on c.oid = to_regclass('public.' || kept.relname)
cross join lateral (
  select acl.* from aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) as acl
  union all
  select acl.* from pg_attribute a cross join lateral aclexplode(a.attacl) as acl
  where a.attrelid = c.oid and a.attname = any (kept.columns::text[])) as acl
left join pg_roles g on g.oid = acl.grantee
where acl.privilege_type = 'SELECT'
  and not coalesce(g.rolname, '') = any (array['handrail_owner', 'handrail_machine', 'handrail_worker'] || kept.readers::text[]);
