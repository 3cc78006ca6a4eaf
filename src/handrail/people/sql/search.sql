-- Searching learners by the beginnings of words. Row security keeps LIKE and text search away from indexes
-- (their operators are not leakproof), therefore a function that checks its caller and then searches freely.

create or replace function learner_document(p_first_name text, p_last_name text, p_email text) returns tsvector
language sql immutable parallel safe as $$
  select to_tsvector('pg_catalog.simple',
                     translate(p_first_name || ' ' || p_last_name || ' ' || p_email, '@._+-', '     '))
$$;
create index if not exists learners_search on learners using gin (learner_document(first_name, last_name, email_normalized));

-- The learners of an organization that have each of these beginnings in name or address, by name: those after
-- (or before, then backward) a place. p_query is a tsquery such as 'ann':* & 'example':*.
create or replace function search_learners(
  p_organization uuid, p_query text, p_place text[], p_backward boolean, p_limit integer
) returns table (id uuid, first_name text, last_name text, email text, phone text)
language plpgsql stable as $$
#variable_conflict use_column
declare
  v_query tsquery := to_tsquery('pg_catalog.simple', p_query);
begin
  perform assert_staff(p_organization);
  -- Materialized: who matches is asked of the index first. Going through the people by name and asking
  -- each would be slow for a word that nobody has.
  if p_backward then
    return query
    with matching as materialized (
      select * from learners l
      where l.organization_id = p_organization
        and learner_document(l.first_name, l.last_name, l.email_normalized) @@ v_query
    )
    select l.id, l.first_name, l.last_name, l.email, l.phone from matching l
    where (l.last_name, l.first_name, l.id) < (p_place[1], p_place[2], p_place[3]::uuid)
    order by l.last_name desc, l.first_name desc, l.id desc limit p_limit;
  else
    return query
    with matching as materialized (
      select * from learners l
      where l.organization_id = p_organization
        and learner_document(l.first_name, l.last_name, l.email_normalized) @@ v_query
    )
    select l.id, l.first_name, l.last_name, l.email, l.phone from matching l
    where p_place is null or (l.last_name, l.first_name, l.id) > (p_place[1], p_place[2], p_place[3]::uuid)
    order by l.last_name, l.first_name, l.id limit p_limit;
  end if;
end
$$;
call grant_machine_function('search_learners(uuid, text, text[], boolean, integer)', 'handrail_web', 'handrail_worker');
