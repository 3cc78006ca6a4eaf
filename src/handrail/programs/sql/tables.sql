create table programs (
  id uuid primary key default uuidv7(),
  organization_id uuid not null references organizations,
  slug text not null check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  title text not null check (btrim(title) <> ''),
  tuition_cents bigint not null default 0 check (tuition_cents >= 0),
  archived_at timestamptz,
  created_at timestamptz not null default now(),
  unique (organization_id, slug),
  unique (organization_id, id)
);
call protect_tenant_table('programs');
grant insert, update on programs to handrail_worker;

create table program_versions (
  id uuid primary key default uuidv7(),
  organization_id uuid not null,
  program_id uuid not null,
  number integer not null check (number > 0),
  published_at timestamptz,
  created_at timestamptz not null default now(),
  unique (organization_id, program_id, number),
  unique (organization_id, id),
  unique (organization_id, program_id, id),
  foreign key (organization_id, program_id) references programs (organization_id, id)
);
call protect_tenant_table('program_versions');
grant insert (organization_id, program_id, number) on program_versions to handrail_worker;

-- Blueprint of a step. elective_choose is N of "N of M" and stands, the same, on each elective of a stage.
create table program_partner_lms (
  id uuid primary key default uuidv7(),
  organization_id uuid not null,
  program_version_id uuid not null,
  provider_id uuid not null,
  course_id uuid not null,
  sequence_order integer not null check (sequence_order > 0),
  required boolean not null default true,
  elective_choose integer check (elective_choose > 0),
  demands_new_run boolean not null default false,
  created_at timestamptz not null default now(),
  unique (organization_id, program_version_id, course_id),
  unique (organization_id, id),
  foreign key (organization_id, program_version_id) references program_versions (organization_id, id),
  foreign key (organization_id, provider_id, course_id) references partner_lms_courses (organization_id, provider_id, id),
  check (required = (elective_choose is null))
);
create index program_partner_lms_course on program_partner_lms (organization_id, provider_id, course_id);
call protect_tenant_table('program_partner_lms');
grant insert, update, delete on program_partner_lms to handrail_worker;

create policy learners_read on programs for select to handrail_web
  using (organization_id = any ((select own_organization_ids())::uuid[]));
create policy learners_read on program_versions for select to handrail_web
  using (organization_id = any ((select own_organization_ids())::uuid[]));
create policy learners_read on program_partner_lms for select to handrail_web
  using (organization_id = any ((select own_organization_ids())::uuid[]));

-- A published version never changes.
create or replace function refuse_change_of_published_version() returns trigger language plpgsql as $$
begin
  if old.published_at is not null then
    raise exception 'a published program version never changes; make a new version' using errcode = '23514';
  end if;
  return coalesce(new, old);
end
$$;
create trigger published_version_is_final before update or delete on program_versions
  for each row execute function refuse_change_of_published_version();

create or replace function refuse_change_of_published_step() returns trigger language plpgsql as $$
declare
  v_version uuid;
begin
  -- Of both, where a step is moved to another version.
  foreach v_version in array array_remove(array[old.program_version_id, new.program_version_id], null) loop
    -- The lock keeps the version from being published while a step is being added.
    perform 1 from program_versions where id = v_version and published_at is null for key share;
    if not found then
      raise exception 'a published program version never changes; make a new version' using errcode = '23514';
    end if;
  end loop;
  return coalesce(new, old);
end
$$;
call grant_machine_function('refuse_change_of_published_step()');
create trigger published_version_is_final before insert or update or delete on program_partner_lms
  for each row execute function refuse_change_of_published_step();

-- Publish a version: afterwards it cannot change. Raises when a stage of electives cannot be satisfied.
create or replace function publish_program_version(p_version uuid) returns void language plpgsql as $$
declare
  v_version program_versions;
  v_stage integer;
begin
  select * into v_version from program_versions where id = p_version for update;
  if v_version.id is null then
    raise exception 'no such program version' using errcode = 'P0002';
  end if;
  perform assert_staff(v_version.organization_id, p_admin => true);
  if v_version.published_at is not null then
    return;
  end if;
  if not exists (select from program_partner_lms where program_version_id = p_version) then
    raise exception 'a program needs at least one step' using errcode = '23514';
  end if;
  select sequence_order into v_stage from program_partner_lms
  where program_version_id = p_version and not required
  group by sequence_order
  having count(*) < max(elective_choose) or min(elective_choose) <> max(elective_choose)
  limit 1;
  if found then
    raise exception 'stage % asks for more electives than it has, or for different numbers', v_stage
      using errcode = '23514';
  end if;
  update program_versions set published_at = now() where id = p_version;
end
$$;
grant update (published_at) on program_versions to handrail_machine;
call grant_machine_function('publish_program_version(uuid)', 'handrail_web', 'handrail_worker');
