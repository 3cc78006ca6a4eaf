-- What we issue. A snapshot: it says what was true when it was issued.
create table credentials (
  id uuid primary key default uuidv7(),
  organization_id uuid not null,
  enrollment_id uuid not null,
  learner_id uuid not null,
  number text not null,
  organization_name text not null,
  holder_name text not null,
  program_title text not null,
  steps jsonb not null,                -- [{title, partner, completed_on}], waivers with completed_on null
  issued_at timestamptz not null default now(),
  revoked_at timestamptz,
  revoke_reason text,
  supersedes uuid,
  pdf_status text not null default 'pending' check (pdf_status in ('pending', 'rendered', 'needs_attention')),
  unique (organization_id, id),
  unique (organization_id, number),
  foreign key (enrollment_id, organization_id) references enrollments (id, organization_id),
  foreign key (organization_id, supersedes) references credentials (organization_id, id),
  check ((revoked_at is null) = (revoke_reason is null))
);
create unique index credentials_one_valid on credentials (enrollment_id) where revoked_at is null;
create index credentials_enrollment on credentials (enrollment_id);
create index credentials_learner on credentials (learner_id);
create index credentials_supersedes on credentials (organization_id, supersedes) where supersedes is not null;
create index credentials_pending on credentials (issued_at) where pdf_status = 'pending';

create table credential_documents (
  credential_id uuid primary key,
  organization_id uuid not null,
  learner_id uuid not null,
  pdf bytea not null,
  rendered_at timestamptz not null default now(),
  foreign key (organization_id, credential_id) references credentials (organization_id, id)
);

do $$
declare
  v_table text;
begin
  foreach v_table in array array['credentials', 'credential_documents'] loop
    call protect_tenant_table(v_table::regclass);
    execute format('create policy people_see_their_own on %I for select to handrail_web '
                   'using (learner_id = any ((select own_learner_ids())::uuid[]))', v_table);
  end loop;
end
$$;
grant insert on credentials to handrail_machine;
grant update (revoked_at, revoke_reason, pdf_status) on credentials to handrail_machine;
grant insert, update on credential_documents to handrail_machine;
