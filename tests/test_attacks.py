"""The table of attacks: each that was ever tried has a test that tries it again, and that test is there.

Numbers and doors are those of the security review of 0.2. A row names the test that would fail if the attack worked.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

_TESTS = Path(__file__).parent
_BUCKETS = "korean_llm_assets/landing/test_buckets.py"
_FOLDERS = "korean_llm_assets/landing/test_folders.py"
_WALK = "trainers/contract/test_walk.py"
_GUARD = "korean_llm_assets/commands/test_webserver.py"
_ALERTS = "korean_llm_assets/test_alerts.py"
_OUTBOX = "korean_llm_assets/triggers/test_outbox.py"
_INTAKE = "korean_llm_assets/triggers/test_intake.py"
_ARTIFACTS = "trainers/contract/test_artifacts.py"
_ARCHIVES = "trainers/text/test_archives.py"
_HOSTILE = "trainers/text/test_hostile_bytes.py"
_STAGE = "trainers/runner/test_stage.py"
_CLUSTER = "korean_llm_assets/commands/test_on_a_cluster.py"

ATTACKS: list[tuple[int, str, str, str]] = [
    (1, "a bucket's key with //", _BUCKETS, "a_key_writes_and_removes_nothing_but_its_own_release"),
    (2, "a release of a bucket without a name", _BUCKETS, "a_key_writes_and_removes_nothing_but_its_own_release"),
    (3, "a bucket's release named as a local one", _BUCKETS, "a_key_writes_and_removes_nothing_but_its_own_release"),
    (4, "a key with .. for corpus --input", "trainers/corpus/test_command.py", "a_key_of_a_bucket_leads_nowhere_else"),
    (5, "a bucket's key with ..", _BUCKETS, "a_key_writes_and_removes_nothing_but_its_own_release"),
    (6, "names in CP949", _FOLDERS, "a_release_that_cannot_be_read_has_a_run_that_says_why_and_stops_no_other"),
    (6, "names of any bytes", _WALK, "files_of_any_names_are_walked_by_names_that_can_be_written"),
    (
        7,
        "files without permission",
        _FOLDERS,
        "a_release_that_cannot_be_read_has_a_run_that_says_why_and_stops_no_other",
    ),
    (8, "long keys, keys below keys", _BUCKETS, "a_key_writes_and_removes_nothing_but_its_own_release"),
    (9, "Markdown images in rows", "korean_llm_assets/assets/test_presentation.py", "hostile_samples_stay_text"),
    (10, "GET mutations, foreign Origins", _GUARD, "what_another_page_could_make_a_browser_send_is_refused"),
    (10, "a foreign page's socket", _GUARD, "a_foreign_page_opens_no_socket"),
    (11, "pictures from elsewhere", "trainers/contract/test_markdown.py", "hostile_text_makes_no_html_link_or_picture"),
    (12, "scripts in reports", "trainers/contract/test_page.py", "hostile_text_in_every_field_stays_text"),
    (12, "scripts in the corpus report", "trainers/corpus/test_report.py", "hostile_text_in_every_field_stays_text"),
    (
        13,
        "take-down by every kind of name",
        "joined/commands/test_takedown.py",
        "by_whatever_name_a_document_is_excluded_it_and_its_copies_are_gone_from_the_next_build",
    ),
    (
        14,
        "take-down and previous_release",
        "korean_llm_assets/assets/test_continuation.py",
        "no_release_goes_on_from_a_checkpoint_that_holds_what_was_taken_down_nor_is_trained_on_such_data",
    ),
    (
        15,
        "PostgreSQL by the lock's driver",
        "korean_llm_assets/test_postgres.py",
        "of_two_daemons_that_see_a_drop_at_once_one_starts_its_run",
    ),
    (16, "commands on a cluster", _CLUSTER, "status_and_releases_are_the_deployments"),
    (16, "take-down on a cluster", _CLUSTER, "a_takedown_reaches_the_list_that_runs_read"),
    (16, "clean on a cluster", _CLUSTER, "reports_and_cleaning_look_at_the_store"),
    (17, "a landed file overwritten during the run", _STAGE, "what_is_committed_was_made_of_what_was_hashed"),
    (18, "code in lm_eval tasks", "trainers/benchmarks/test_stage.py", "code_in_a_drops_tasks_is_refused"),
    (
        18,
        "code in their templates",
        "trainers/evaluation/test_harness.py",
        "a_template_of_a_drop_reaches_nothing_of_pythons",
    ),
    (19, "links to elsewhere", _WALK, "links_that_leave_the_root_are_refused_and_those_inside_are_files"),
    (
        20,
        "kill -9 of everything",
        "joined/triggers/test_restart.py",
        "after_five_kills_of_the_whole_tree_an_unattended_release_is_the_champion_with_no_hand",
    ),
    (
        21,
        "kill -9 of a run worker",
        "korean_llm_assets/compute/test_local.py",
        "a_stage_does_not_survive_the_end_of_its_launcher",
    ),
    (
        22,
        "two runs of one request",
        "korean_llm_assets/compute/test_local.py",
        "two_runs_of_one_request_make_one_artifact",
    ),
    (23, "a revoked webhook", _OUTBOX, "a_deaf_channel_keeps_no_other_from_hearing_and_catches_up_when_it_hears_again"),
    (24, "garbage for an answer", _ALERTS, "every_trouble_of_a_receiver_is_not_delivered_within_its_time"),
    (24, "whatever a channel raises", _ALERTS, "whatever_a_channel_raises_is_not_delivered"),
    (
        25,
        "mentions and links for Slack",
        "korean_llm_assets/triggers/test_incidents.py",
        "the_words_of_a_drop_begin_no_line_steer_no_terminal_and_call_nobody",
    ),
    (26, "control characters in a mail's subject", _OUTBOX, "no_word_of_an_alert_becomes_a_head_of_a_mail"),
    (
        27,
        "a drop slower to hash than a tick",
        _INTAKE,
        "a_drop_that_no_tick_can_read_becomes_a_release_and_is_read_once",
    ),
    (28, "two who copy at once", _BUCKETS, "two_who_copy_a_release_at_once_leave_it_whole"),
    (
        29,
        "a verdict changed by hand",
        "trainers/contract/test_manifest.py",
        "a_verdict_that_was_changed_by_hand_is_refused_in_words",
    ),
    (30, "flipped bytes, cut manifests", _ARTIFACTS, "damaged_artifacts_are_refused_and_named"),
    (
        31,
        "reuse between look and removal",
        "korean_llm_assets/triggers/test_housekeeping.py",
        "what_became_live_after_the_look_is_kept",
    ),
    (32, "bombs", _ARCHIVES, "a_bomb_is_told_after_a_bounded_number_of_bytes"),
    (
        33,
        "a README of nothing but keys",
        "trainers/text/test_read.py",
        "a_readme_that_describes_a_data_set_is_no_text_of_it",
    ),
    (33, "any text for any pattern", "test_patterns.py", "the_steps_of_each_grow_as_the_text_does"),
    (34, "a pipe as a published suite", _WALK, "pipes_and_sockets_are_never_opened"),
    (
        34,
        "a stage of data that hangs",
        "korean_llm_assets/compute/test_local.py",
        "a_stage_of_data_that_hangs_is_ended_and_begun_again",
    ),
    (
        35,
        "passwords in addresses",
        "trainers/contract/test_redaction.py",
        "what_an_address_of_the_environment_hides_is_in_no_error",
    ),
    (
        36,
        "too many tokens, a large body",
        "korean_llm_assets/serving/test_front.py",
        "what_is_too_much_is_refused_and_reaches_nobody",
    ),
    (
        37,
        "another name, another model",
        "korean_llm_assets/serving/test_front.py",
        "under_another_name_it_answers_nothing",
    ),
    (
        38,
        "vLLM where pods are restricted",
        "korean_llm_assets/serving/test_vllm_manifests.py",
        "the_namespace_of_the_models_admits_their_pods",
    ),
    (
        39,
        "odd data for any parser",
        "trainers/contract/test_foreign.py",
        "a_parsers_trouble_is_bad_data_with_its_place_on_one_line",
    ),
    (
        39,
        "odd base models",
        "trainers/training/test_model_folder.py",
        "whatever_lies_in_a_models_files_is_bad_data_in_words",
    ),
    (40, "a volume that goes away", _STAGE, "a_volume_that_goes_away_under_a_stage_is_disk_trouble"),
    (
        41,
        "a metrics port that is taken",
        "trainers/runner/test_metrics_server.py",
        "a_port_that_is_taken_ends_no_stage",
    ),
    (42, "line breaks in a file's name", _STAGE, "a_line_of_a_drop_is_no_line_of_the_log"),
    (
        43,
        "code of a base model",
        "trainers/training/test_model_folder.py",
        "a_base_that_needs_code_of_its_own_is_refused",
    ),
    (44, "a source of a megabyte", _HOSTILE, "what_a_row_says_of_itself_is_bounded"),
    (45, "four trackers, one SQLite", _STAGE, "four_who_track_into_one_sqlite_at_once_lose_nothing"),
]


@cache
def _tests_of(path: str) -> frozenset[str]:
    tree = ast.parse((_TESTS / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize(("number", "attack", "path", "test"), ATTACKS, ids=lambda value: str(value)[:40])
def test_an_attack_has_a_test(number: int, attack: str, path: str, test: str) -> None:
    assert f"test_{test}" in _tests_of(path), f"attack {number}, {attack}"


def test_none_is_left_out() -> None:
    assert {number for number, *_ in ATTACKS} == set(range(1, 46))
