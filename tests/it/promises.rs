//! The names by which the design speaks of what is promised, and the test that holds each promise.
//!
//! A test that is renamed or taken away is missed here. Each line: the promise, the file, the test's name.

use std::fs;

/// The invariants of the design.
const INVARIANTS: &[(&str, &str, &str)] = &[
    ("I1", "tests/it/crash.rs", "sled_survives_kills"),
    ("I1", "tests/it/crash.rs", "redb_survives_kills"),
    ("I1", "tests/it/crash.rs", "a_power_cut_loses_nothing_that_was_synced"),
    ("I2", "tests/it/sync.rs", "every_store_commit_of_a_cycle_may_fail"),
    ("I2", "src/calendar/tests/model.rs", "calendars_do_as_the_model_says"),
    ("I3", "tests/it/sync.rs", "a_lost_answer_doubles_nothing"),
    ("I3", "tests/it/sync.rs", "every_call_of_a_cycle_may_fail"),
    ("I4", "conformance/suites/test_scenarios.py", "test_retry_does_not_remail_attendees"),
    ("I5", "tests/it/sync.rs", "deleted_on_both_sides_stays_deleted"),
    ("I6", "tests/it/sync.rs", "source_feed_temporarily_empty"),
    ("I6", "tests/it/sync.rs", "full_list_has_no_tombstones"),
    ("I6", "tests/it/sync.rs", "a_listing_that_a_second_one_contradicts_deletes_nothing"),
    ("I7", "tests/it/sync.rs", "a_mass_deletion_is_held_until_it_is_confirmed"),
    ("I8", "tests/it/sync.rs", "changes_to_different_properties_both_survive_and_the_same_one_is_recorded"),
    ("I9", "tests/it/sync.rs", "servers_that_cut_scramble_and_repeat_are_read_whole"),
    ("I10", "tests/it/simulation/mod.rs", "laws_hold_in_even_lives"),
    ("I11", "src/calendar/tests/rules.rs", "octets_are_served_as_they_were_put"),
    ("I11", "tests/it/sync.rs", "a_quiet_poll_costs_one_request"),
    ("I12", "src/calendar/tests/model.rs", "calendars_do_as_the_model_says"),
    ("I12", "tests/it/longevity.rs", "client_offline_90_days"),
    ("I13", "src/calendar/tests/rules.rs", "the_etag_changes_exactly_when_the_octets_do"),
    ("I14", "src/jobs/tests.rs", "a_lease_that_ran_out_is_taken_over_and_its_old_holder_is_fenced_off"),
    ("I15", "tests/it/cli.rs", "what_people_write_and_their_secrets_stay_out_of_logs_and_figures"),
    ("I15", "conformance/suites/test_secrets.py", "test_no_secret_is_where_it_has_no_business"),
    ("I16", "tests/it/isolation.rs", "no_answer_depends_on_what_others_keep"),
    ("I17", "tests/it/edge.rs", "connections_that_rest_give_way_and_those_at_work_do_not"),
    ("I17", "tests/it/attacks.rs", "whatever_one_peer_does_on_http_2_others_are_served"),
    ("I18", "tests/it/sync.rs", "a_poisonous_event_is_set_aside_and_the_others_go_on"),
    ("I19", "src/jobs/tests.rs", "retry_after_keeps_the_whole_lane_away"),
    ("I19", "conformance/suites/test_microsoft.py", "test_fault_77_78_throttling_is_obeyed_also_inside_a_batch"),
    ("I20", "tests/it/longevity.rs", "restore_old_backup"),
    ("I20", "src/app/version.rs", "an_older_program_refuses_what_a_newer_one_wrote"),
    ("I21", "tests/it/sync.rs", "a_read_only_calendar_is_never_written"),
    ("I22", "tests/it/store_damage.rs", "wrong_folders_are_told_in_words"),
];

/// What must hold of signing in, of tokens and of notifications.
const SIGNING_IN: &[(&str, &str, &str)] = &[
    ("O1", "src/account/oauth/tests.rs", "a_link_has_pkce_and_a_state_that_works_once_in_one_browser"),
    ("O1", "src/account/oauth/tests.rs", "an_answer_at_another_address_or_for_another_person_is_refused"),
    ("O2", "src/account/oauth/tests.rs", "an_answer_at_another_address_or_for_another_person_is_refused"),
    ("O2", "conformance/suites/test_google_sign_in.py", "test_another_double_is_signed_in_to_asked_again_and_left"),
    ("O3", "src/account/oauth/tests.rs", "an_answer_at_another_address_or_for_another_person_is_refused"),
    ("O4", "src/account/oauth/tests.rs", "an_answer_at_another_address_or_for_another_person_is_refused"),
    ("O5", "src/account/oauth/tests.rs", "what_a_provider_says_of_a_refusal_is_told_and_no_token_is_asked_for"),
    ("O5", "src/oauth/mod.rs", "the_cookie_is_found_among_others"),
    ("O6", "src/account/oauth/tests.rs", "a_box_that_was_not_ticked_is_named"),
    (
        "O7",
        "src/account/oauth/tests.rs",
        "access_for_an_hour_only_connects_nothing_and_a_refresh_may_keep_the_old_token",
    ),
    ("O8", "src/account/oauth/tests.rs", "one_refresh_for_all_and_the_rotated_token_is_stored_first"),
    ("O9", "conformance/suites/test_failpoints.py", "test_a_refresh_that_does_not_come_to_its_end"),
    ("O10", "src/account/oauth/tests.rs", "a_refusal_of_a_token_that_was_replaced_meanwhile_says_nothing"),
    (
        "O11",
        "src/account/oauth/tests.rs",
        "tokens_of_a_removed_account_are_given_back_for_a_day_whatever_the_provider_does",
    ),
    ("O12", "src/vault/seal.rs", "no_changed_bit_and_no_cut_opens"),
    ("O12", "src/vault/seal.rs", "opens_with_the_same_record_only"),
    ("O12", "src/account/tests.rs", "the_password_is_sealed_and_bound_to_its_record"),
    ("O13", "src/vault/seal.rs", "of_a_million_nonces_no_two_are_alike"),
    ("O14", "conformance/suites/test_failpoints.py", "test_a_key_half_way_replaced"),
    ("O15", "conformance/suites/test_secrets.py", "test_no_secret_is_where_it_has_no_business"),
    ("O16", "src/vault/secret.rs", "debug_shows_nothing_not_even_the_length"),
    ("O16", "src/vault/keyring.rs", "debug_shows_no_key"),
    (
        "W1",
        "conformance/suites/test_google.py",
        "test_a_forged_notification_does_nothing_and_a_lost_one_costs_the_poll",
    ),
    ("W2", "conformance/suites/test_microsoft.py", "test_a_handshake_gets_its_token_back_as_plain_text"),
    ("W2", "conformance/suites/test_microsoft.py", "test_only_a_handshake_is_echoed"),
    ("W3", "tests/it/webhooks.rs", "only_what_knows_the_token_counts"),
    ("W4", "tests/it/webhooks.rs", "ten_thousand_messages_in_ten_seconds_lead_to_few_readings_and_the_last_is_heard"),
    ("W4", "conformance/suites/test_scenarios.py", "test_webhook_flood_coalesced"),
    ("W5", "tests/it/webhooks.rs", "a_notification_before_the_answer_to_our_own_write_is_no_conflict"),
    ("W6", "conformance/suites/test_fault_catalogue.py", "test_fault_90_a_lost_message_costs_the_poll"),
    ("W7", "tests/it/webhooks.rs", "a_renewal_that_fails_leaves_the_channel_and_is_tried_again"),
    ("W7", "tests/it/webhooks.rs", "a_channel_that_has_ended_is_opened_anew_and_what_was_missed_is_read"),
];

/// What went wrong elsewhere, by the names that the design gives it.
const SCENARIOS: &[(&str, &str)] = &[
    ("killed_mid_sync_does_not_delete_both_sides", "tests/it/sync.rs"),
    ("source_feed_temporarily_empty", "tests/it/sync.rs"),
    ("test_ics_fetch_error_keeps_events", "conformance/suites/test_scenarios.py"),
    ("test_410_swallowed_as_empty", "conformance/suites/test_scenarios.py"),
    ("full_list_has_no_tombstones", "tests/it/sync.rs"),
    ("deleted_in_a_modified_in_b", "tests/it/sync.rs"),
    ("etag_only_change_is_noop", "tests/it/sync.rs"),
    ("null_etag_on_upload", "tests/it/sync.rs"),
    ("two_hrefs_one_uid", "tests/it/sync.rs"),
    ("reconnect_does_not_duplicate_calendar", "tests/it/sync.rs"),
    ("rotated_refresh_token_write_fails", "src/account/oauth/tests.rs"),
    ("test_window_slides_no_mass_delete", "conformance/suites/test_scenarios.py"),
    ("delete_uses_listed_href", "tests/it/sync.rs"),
    ("timeout_is_not_bad_credentials", "tests/it/sync.rs"),
    ("test_retry_does_not_remail_attendees", "conformance/suites/test_scenarios.py"),
    ("test_recurrence_split_this_and_following", "conformance/suites/test_scenarios.py"),
    ("override_without_master", "tests/it/sync.rs"),
    ("test_exdate_vs_deleted_override", "conformance/suites/test_scenarios.py"),
    ("test_all_day_tz_shift_roundtrip", "conformance/suites/test_scenarios.py"),
    ("move_between_calendars_is_not_delete_plus_create_loss", "tests/it/sync.rs"),
    ("test_webhook_flood_coalesced", "conformance/suites/test_scenarios.py"),
    ("two_devices_same_event_412", "tests/it/sync.rs"),
    ("rename_calendar_upstream", "tests/it/sync.rs"),
    ("account_removed_while_sync_running", "tests/it/sync.rs"),
    ("restore_old_backup", "tests/it/longevity.rs"),
    ("client_offline_90_days", "tests/it/longevity.rs"),
    ("kek_rotated_half_way", "tests/it/cli.rs"),
];

/// Panics unless the file, of Rust or of the suites, has a test of this name that is run.
fn assert_is_test(promise: &str, file: &str, test: &str) {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{promise}: {file}: {error}"));
    if file.ends_with(".py") {
        assert!(test.starts_with("test_"), "{promise}: `{test}` in {file} is no test");
        assert!(text.contains(&format!("\ndef {test}(")), "{promise}: there is no test `{test}` in {file}");
        return;
    }
    let at = text.find(&format!("fn {test}("));
    let at = at.unwrap_or_else(|| panic!("{promise}: there is no test `{test}` in {file}"));
    let before: String = text[..at].chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
    assert!(before.contains("test]"), "{promise}: `{test}` in {file} is no test");
    assert!(!before.rsplit('}').next().unwrap().contains("#[ignore"), "{promise}: `{test}` is ignored");
}

#[test]
fn every_promise_has_its_test() {
    let invariants = INVARIANTS.iter().copied();
    let scenarios = SCENARIOS.iter().map(|(test, file)| (*test, *file, *test));
    for (promise, file, test) in invariants.chain(scenarios).chain(SIGNING_IN.iter().copied()) {
        assert_is_test(promise, file, test);
    }
    let named = |list: &[(&str, &str, &str)], sort: &str, last: usize| {
        let lack = (1..=last).map(|n| format!("{sort}{n}")).find(|name| list.iter().all(|(one, ..)| one != name));
        assert_eq!(lack, None, "nothing is said of it");
    };
    named(INVARIANTS, "I", 22);
    named(SIGNING_IN, "O", 16);
    named(SIGNING_IN, "W", 7);
}

#[test]
fn every_line_of_the_fault_catalogue_has_its_test() {
    let text = fs::read_to_string("docs/fault-catalogue.md").unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let mut shown = 0;
    for row in rows.filter(|row| !row.starts_with("| no. ") && !row.starts_with("| name ")) {
        let tests: Vec<_> = row.split('`').filter_map(|part| part.split_once("::")).collect();
        assert!(!tests.is_empty(), "nothing shows this line: {row}");
        for (file, test) in tests {
            assert_is_test(row, file, test);
        }
        shown += 1;
    }
    assert!(shown > 80, "the table is read: {shown}");
}
