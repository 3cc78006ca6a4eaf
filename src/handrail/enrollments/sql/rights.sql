-- Who may call the machine. Everything else in it runs only inside these functions.
do $$
declare
  v_function text;
begin
  foreach v_function in array array[
      'settle(uuid[], change_cause)', 'settle_under_way(uuid[], change_cause)', 'lock_enrollments(uuid[])', 'step_just_completed(uuid)', 'steps_of_run(uuid)',
      'place_steps(uuid[], uuid[], boolean)', 'make_runs(step_places, boolean)',
      'assign_runs(uuid[], uuid[], boolean)', 'start_steps(uuid[], uuid[], change_cause, boolean)', 'cause_after(uuid, change_cause)',
      'skip_not_chosen(uuid[], change_cause)', 'complete_enrollments(uuid[], change_cause)',
      'request_waiting_runs(uuid[])', 'enrollments_wanting(uuid)', 'run_is_held(uuid)', 'run_is_wanted(uuid)',
      'is_followed_by_attempt(partner_lms_enrollments)',
      'account_is_held(uuid)', 'release_runs(uuid[])', 'forgo_account(uuid)', 'release_hold(uuid[])', 'ask_for_untold_runs(uuid[])',
      'leave_partner(uuid, boolean, boolean)', 'hold_calls(uuid)',
      'find_run(partner_event)', 'lock_enrollments_of_learner(uuid, uuid)', 'take_back_calls(uuid, text, boolean, text)', 'fold_events(run_event[])',
      'raise_reports(run_event[])', 'show_progress(run_event[])',
      'keep_papers(run_event[])', 'lock_enrollments_of_runs(uuid[])', 'take_over_events(run_event[])',
      'record_accounts(call_result[])', 'record_enrollments(call_result[])', 'record_departures(call_result[])',
      'forget_account(uuid)', 'hand_to_person(uuid, text, text, boolean)',
      'cause_of_person(text)', 'require_reason(text)', 'refuse(text)', 'lock_enrollment(uuid, boolean)',
      'lock_step(uuid, boolean, boolean)', 'record_step_change(enrollment_steps, text, change_cause)',
      'change_enrollment(enrollments, text, change_cause)', 'refuse_second_live(enrollments)',
      'activate_enrollment(uuid, change_cause)', 'mark_run(enrollment_steps, text, timestamptz, text)', 'end_of_day(uuid, date)',
      'close_enrollment(enrollments, text, text)', 'reattempt_left_runs(uuid, change_cause)', 'carry_waivers(uuid, uuid)',
      'is_of_provider(text)', 'repeat_as_configured(uuid, text, boolean)', 'attend_provider(intents)',
      'release_provider(uuid, text)', 'close_call(intents, text, text)', 'record_id_change(uuid, uuid, text, text)',
      'check_correction(uuid, text, text, boolean)', 'refuse_account_id(uuid, text)', 'reopen_around(enrollment_steps, text)',
      'refuse_choice_when_over(uuid)', 'count_taken(enrollment_steps)', 'lock_call(uuid)', 'enrollment_limit_allows(uuid)'] loop
    execute format('revoke all on function %s from public', v_function);
    execute format('grant execute on function %s to handrail_machine', v_function);
  end loop;
end
$$;

-- The service role's own.
call grant_machine_function('apply_partner_events(jsonb)', 'handrail_worker');
call grant_machine_function('claim_intents(integer, double precision, integer, uuid[], integer[])', 'handrail_worker');
call grant_machine_function('expire_leases()', 'handrail_worker');
call grant_machine_function('save_call_facts(uuid, bigint, jsonb)', 'handrail_worker');
call grant_machine_function('record_call_results(jsonb, integer)', 'handrail_worker');
call grant_machine_function('start_due_enrollments(integer)', 'handrail_worker');
call grant_machine_function('release_providers()', 'handrail_worker');

-- People's (each checks its caller) and the service role's.
do $$
declare
  v_function text;
begin
  foreach v_function in array array[
      'generate_enrollment_steps(uuid)', 'create_enrollment(uuid, uuid, text, date)', 'meet_requirement(uuid, text, text)',
      'start_enrollment(uuid)', 'choose_elective(uuid)', 'unchoose_elective(uuid)',
      'complete_step(uuid, date, text)', 'fail_step(uuid, date, text)', 'retry_step(uuid, text)', 'skip_step(uuid, text, text)',
      'reopen_step(uuid, text)', 'suspend_enrollment(uuid, text)', 'resume_enrollment(uuid, text)',
      'withdraw_enrollment(uuid, text)', 'undo_withdrawal(uuid, text)', 'transfer_enrollment(uuid, uuid, text)',
      'retry_call(uuid, boolean, text)', 'enter_partner_id(uuid, text, text)', 'correct_partner_id(uuid, text, text)',
      'correct_account_id(uuid, text, text)', 'continue_old_run(uuid, text)',
      'retry_provider_calls(uuid, text)', 'dismiss_attention(uuid, text)'] loop
    call grant_machine_function(v_function::regprocedure, 'handrail_web', 'handrail_worker');
  end loop;
end
$$;

-- Nobody deletes history or states, not even their owner by mistake.
do $$
declare
  v_table text;
begin
  foreach v_table in array array['enrollments', 'enrollment_requirements', 'enrollment_steps', 'step_events', 'partner_accounts',
      'partner_lms_enrollments', 'partner_certificates', 'sensitive_results', 'intents', 'credentials'] loop
    execute format('revoke delete, truncate on %I from handrail_owner', v_table);
  end loop;
end
$$;

-- The tables grow while a cached plan lives on, and planning costs more than running: one plan for all, by key.
-- A row looked at costs a hundred times what the planner thinks by default, so that a plan made on a small table
-- does not read a whole index for a few rows: that is cheap today and ruins tomorrow.
do $$
declare
  v_function regprocedure;
begin
  for v_function in
    select p.oid from pg_proc p
    where p.proowner = 'handrail_machine'::regrole and p.prosecdef and p.pronamespace = 'public'::regnamespace
      and p.prolang = (select oid from pg_language where lanname = 'plpgsql')
      and p.provolatile = 'v'  -- what only reads, reads pages and searches
  loop
    execute format('alter function %s set plan_cache_mode = force_generic_plan', v_function);
    execute format('alter function %s set enable_seqscan = off', v_function);
    execute format('alter function %s set enable_hashjoin = off', v_function);
    execute format('alter function %s set enable_mergejoin = off', v_function);
    execute format('alter function %s set enable_bitmapscan = off', v_function);
    execute format('alter function %s set enable_material = off', v_function);
    execute format('alter function %s set cpu_tuple_cost = 1', v_function);
    execute format('alter function %s set cpu_index_tuple_cost = 1', v_function);
    execute format('alter function %s set jit = off', v_function);
  end loop;
end
$$;
