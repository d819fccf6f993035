"""From desired state to plan: absolute files, defaults, epochs, and buckets that follow the previous plan."""

from __future__ import annotations

from dpu_app.compile.plan import compile_plan
from dpu_app.compile.summary import tables
from dpu_app.model.plan import EMPTY_PLAN, plan_from_json, plan_to_json
from tests.unit.dpu_app.samples import desired, edited, plan

MORE_CANARY = edited(("weight_percent: 90", "weight_percent: 80"), ("weight_percent: 10", "weight_percent: 20"))


def test_files_become_absolute_from_the_folder_of_the_file() -> None:
    certificate = plan().listeners[0].certificates[0]
    assert certificate.certificate_file == "/etc/dpu/server.pem"
    assert certificate.private_key_file == "/etc/dpu/keys/server.key"
    elsewhere = plan(text=edited(("worker.key", "../../run/worker.key")))
    assert elsewhere.worker_key_file == "/run/worker.key"
    assert plan(text=edited(("worker.key", "/abs/worker.key"))).worker_key_file == "/abs/worker.key"


def test_same_input_compiles_to_the_same_plan() -> None:
    assert plan() == plan()


def test_first_plan_has_epoch_1() -> None:
    assert plan().epoch == 1


def test_same_content_keeps_the_epoch_and_takes_the_revision() -> None:
    again = plan(revision=2, previous=plan(revision=1))
    assert (again.revision, again.epoch) == (2, 1)
    assert again.same_content(plan(revision=1))


def test_other_content_raises_the_epoch_by_one() -> None:
    assert plan(revision=2, previous=plan(), text=MORE_CANARY).epoch == 2


def test_epoch_goes_above_what_a_target_has_seen() -> None:
    assert compile_plan(desired(), "/", 1, EMPTY_PLAN, epoch_floor=17).epoch == 18


def test_buckets_move_from_those_of_the_previous_plan() -> None:
    before, after = plan(), plan(revision=2, previous=plan(), text=MORE_CANARY)
    moved = [(a, b) for a, b in zip(before.models[0].buckets, after.models[0].buckets, strict=True) if a != b]
    assert moved == [(0, 1)] * 1000


def test_order_of_arms_in_the_file_moves_no_conversation() -> None:
    arms = "      - { name: stable, weight_percent: 90 }\n"
    canary = "      - { name: canary, weight_percent: 10, worker_labels: { zone: a } }\n"
    swapped = plan(revision=2, previous=plan(), text=edited((arms + canary, canary + arms)))
    names = [[model.arms[index].name for index in model.buckets] for model in (plan().models[0], swapped.models[0])]
    assert names[0] == names[1]


def test_defaults_are_filled_in() -> None:
    arm = plan().models[0].arms[0]
    assert (arm.engine_model, arm.max_tokens_default, arm.max_tokens_max) == ("chat", 256, 4096)
    rate = plan().tenants[0].request_rate
    assert rate is not None and (rate.requests, rate.interval_ms, rate.burst) == (60, 60_000, 60)


def test_plan_round_trips_through_json() -> None:
    assert plan_from_json(plan_to_json(plan())) == plan()


def test_summary_shows_every_part() -> None:
    shown = {table.title: table.rows for table in tables(plan())}
    assert shown["listeners"] == (("public", "127.0.0.1:8443", "localhost"),)
    assert shown["tenants"] == (("alpha", "chat", "60 per 60 s, burst 60", "4", "1"),)
    assert shown["models"] == (
        ("chat", "gpt-4o-mini", "stable", "90 %", "9000", "chat", "w0, w1"),
        ("chat", "gpt-4o-mini", "canary", "10 %", "1000", "chat", "w0"),
    )
    assert shown["workers"] == (("w0", "127.0.0.1:7101", "zone=a"), ("w1", "127.0.0.1:7102", "-"))
