"""bench.report: medians, ratios and the last block."""

from __future__ import annotations

import json
from pathlib import Path

from bench.report import OURS, Sample, last_block, ratios, rows, write


def sample(side: str, number: int, cpu_us: float) -> Sample:
    return Sample(
        scenario="h1_c32",
        side=side,
        round=number,
        cpu_us=cpu_us,
        behind_us=1.0,
        requests_per_s=10.0,
        p50_us=5.0,
        p99_us=9.0,
    )


SAMPLES = [
    sample("nginx", 1, 20.0),
    sample(OURS, 1, 10.0),
    # A disturbed round: both sides cost the double, so the ratio stays.
    sample("nginx", 2, 40.0),
    sample(OURS, 2, 20.0),
    sample("nginx", 3, 20.0),
    sample(OURS, 3, 12.0),
]


def test_row_holds_median_and_range() -> None:
    nginx, ours = rows(SAMPLES)
    assert (nginx.cpu_us, nginx.cpu_us_min, nginx.cpu_us_max) == (20.0, 20.0, 40.0)
    assert (ours.cpu_us, ours.cpu_us_min, ours.cpu_us_max) == (12.0, 10.0, 20.0)


def test_ratio_is_the_median_of_the_rounds_ratios() -> None:
    assert ratios(SAMPLES) == {"ratio_vs_nginx_h1_c32": 0.5}


def test_ratio_needs_both_sides() -> None:
    assert ratios([one for one in SAMPLES if one.side != OURS]) == {}


def test_last_block_has_a_line_for_each_figure() -> None:
    assert last_block(SAMPLES) == [
        "cpu_us_nginx_h1_c32=20.00",
        "cpu_us_dpu_app_h1_c32=12.00",
        "ratio_vs_nginx_h1_c32=0.50",
    ]


def test_files_hold_header_rows_and_samples(tmp_path: Path) -> None:
    markdown, raw = write(SAMPLES, {"sides": "nginx/1.22.1"}, tmp_path / "results", "now")
    document = json.loads(raw.read_text())
    assert document["header"] == {"sides": "nginx/1.22.1"}
    assert len(document["samples"]) == len(SAMPLES)
    assert "| h1_c32 | nginx | 20.0 | 20.0 to 40.0 |" in markdown.read_text()
