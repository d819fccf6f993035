"""bench.report: medians, ratios, growth, added latency, the last block and the files."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from bench.report import DIRECT, OURS, Sample, added, growth, last_block, ratios, rows, write

SHM, TCP = OURS


def sample(side: str, number: int, cpu_us: float, *, scenario: str = "h1_c32", p50_us: float = 5.0) -> Sample:
    return Sample(
        scenario=scenario,
        side=side,
        round=number,
        unit="request",
        cpu_us=cpu_us,
        behind_us=1.0,
        units_per_s=10.0,
        p50_us=p50_us,
        p99_us=2 * p50_us,
    )


SAMPLES = [
    sample("nginx", 1, 20.0),
    sample(SHM, 1, 10.0),
    # A disturbed round: both sides cost the double, so the ratio stays.
    sample("nginx", 2, 40.0),
    sample(SHM, 2, 20.0),
    sample("nginx", 3, 20.0),
    sample(SHM, 3, 12.0),
]
PACED = [
    sample(side, number, 1.0, scenario="paced", p50_us=base + 10 * number)
    for number in (1, 2, 3)
    for side, base in (("nginx", 200.0), (SHM, 140.0), (DIRECT, 100.0))
]


def test_row_holds_median_and_range() -> None:
    nginx, ours = rows(SAMPLES)
    assert (nginx.cpu_us, nginx.cpu_us_min, nginx.cpu_us_max) == (20.0, 20.0, 40.0)
    assert (ours.cpu_us, ours.cpu_us_min, ours.cpu_us_max) == (12.0, 10.0, 20.0)


def test_ratio_is_the_median_of_the_rounds_ratios() -> None:
    assert ratios(SAMPLES) == {"ratio_vs_nginx_h1_c32": 0.5}


def test_ratio_over_tcp_has_its_own_name_and_ours_are_not_rivals() -> None:
    samples = [*SAMPLES, sample(TCP, 1, 30.0)]
    assert ratios(samples) == {"ratio_vs_nginx_h1_c32": 0.5, "ratio_tcp_vs_nginx_h1_c32": 1.5}


def test_ratio_needs_both_sides() -> None:
    assert ratios([one for one in SAMPLES if one.side not in OURS]) == {}


def test_round_that_one_side_did_not_finish_is_left_out_of_the_ratio() -> None:
    assert ratios([one for one in SAMPLES if (one.side, one.round) != (SHM, 3)]) == {"ratio_vs_nginx_h1_c32": 0.5}


def test_added_latency_is_a_sides_own_without_the_back_ends() -> None:
    lines = added(PACED)
    assert lines["added_p50_us_nginx_paced"] == 100.0
    assert lines["added_p50_us_dpu_app_shm_paced"] == 40.0
    assert lines["ratio_added_p50_vs_nginx_paced"] == 0.4
    assert not [name for name in lines if DIRECT in name]


def test_back_end_alone_is_nobodys_rival() -> None:
    assert not [name for name in ratios(PACED) if DIRECT in name]


def test_growth_is_a_sides_own_cost_with_many_over_few() -> None:
    many = [sample(SHM, 1, 13.2, scenario="h1_c10000"), sample("nginx", 1, 30.0, scenario="h1_c1000")]
    assert {name: round(value, 3) for name, value in growth([*SAMPLES, *many]).items()} == {
        "growth_dpu_app_shm_h1_c10000_over_h1_c32": 1.1,
        "growth_nginx_h1_c1000_over_h1_c32": 1.5,
    }


def test_last_block_has_a_line_for_each_figure() -> None:
    assert last_block(SAMPLES) == [
        "cpu_us_nginx_h1_c32=20.00",
        "cpu_us_dpu_app_shm_h1_c32=12.00",
        "behind_us_nginx_h1_c32=1.00",
        "behind_us_dpu_app_shm_h1_c32=1.00",
        "ratio_vs_nginx_h1_c32=0.50",
    ]


def test_files_hold_header_rows_samples_failures_and_a_picture(tmp_path: Path) -> None:
    about, failures = {"sides": "nginx/1.22.1"}, ["envoy does not start: no\nmore"]
    markdown, picture, raw = write(SAMPLES, about, failures, tmp_path / "results", "now")
    document = json.loads(raw.read_text())
    assert document["header"] == about
    assert document["failures"] == failures
    assert len(document["samples"]) == len(SAMPLES)
    text = markdown.read_text()
    assert "| h1_c32 | nginx | 20.0 | request | 20.0 to 40.0 |" in text
    assert "* failed: envoy does not start: no" in text
    assert f"({picture.name})" in text
    drawn = ElementTree.fromstring(picture.read_text())
    words = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"h1_c32, per request", "nginx", SHM, "20.0", "12.0"} <= set(words)


def test_files_are_written_for_nothing_too(tmp_path: Path) -> None:
    assert [path.exists() for path in write([], {}, ["all"], tmp_path, "now")] == [True, True, True]
