"""What /metrics says: names that Prometheus' own linter accepts, OpenTelemetry's GenAI names, bounded series."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from ruamel.yaml import YAML

from tests.integration.clients import script, sync_client, trust, user
from tests.integration.processes import Process, Samples, Stack, build, running, total

SERIES_MAX = 16
TENANTS = SERIES_MAX + 5
# OpenTelemetry semantic conventions, GenAI metrics: the bucket boundaries that it advises.
BOUNDS: dict[str, list[float]] = {
    "gen_ai_server_request_duration_seconds": [0.01 * 2**power for power in range(14)],
    "gen_ai_server_time_to_first_token_seconds": [
        *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
    ],
    "gen_ai_server_time_per_output_token_seconds": [
        *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
    ],
    "gen_ai_client_token_usage": [4.0**power for power in range(14)],
}


@pytest.fixture(scope="module")
def samples(stack: Stack) -> Samples:
    """The fast path's, after one request of each kind that works and some that do not."""
    with sync_client(stack) as client:
        client.chat.completions.create(model="chat", messages=user("one two three"))
        list(client.chat.completions.create(model="chat", messages=script(tokens=4, delay_ms=12), stream=True))
        client.completions.create(model="chat", prompt="a b")
        client.embeddings.create(model="chat", input="a b c d")
        with pytest.raises(openai.APIError):
            client.chat.completions.create(model="chat", messages=user("!echo fail_after=0"))
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="nobody", messages=user("x"))
    return stack.fastpath.metrics()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here (Debian package prometheus)")
@pytest.mark.parametrize("name", ["fastpath", "agent", "worker"])
def test_promtool_has_nothing_to_say(stack: Stack, samples: Samples, name: str) -> None:
    process: Process = stack.workers[0] if name == "worker" else getattr(stack, name)
    with urllib.request.urlopen(f"http://127.0.0.1:{process.http}/metrics", timeout=5) as answer:
        text = answer.read()
    said = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (said.returncode, said.stdout.decode() + said.stderr.decode()) == (0, "")


@pytest.mark.parametrize("name", BOUNDS)
def test_gen_ai_histograms_have_the_bounds_and_labels_of_the_convention(samples: Samples, name: str) -> None:
    series = [dict(labels) for found, labels in samples if found == f"{name}_bucket"]
    assert series, f"{name} is not there"
    found = {float(labels["le"]) for labels in series if labels["le"] != "+Inf"}
    assert sorted(found) == pytest.approx(BOUNDS[name])
    for labels in series:
        assert {"gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "tenant", "arm"} <= set(labels)
    assert {labels["gen_ai_request_model"] for labels in series} == {"chat"}


def test_operations_and_token_types_have_the_words_of_the_convention(samples: Samples) -> None:
    def values(name: str, label: str) -> set[str]:
        return {dict(labels).get(label, "") for found, labels in samples if found == name}

    operations = values("gen_ai_server_request_duration_seconds_count", "gen_ai_operation_name")
    assert operations == {"chat", "text_completion", "embeddings"}
    assert values("gen_ai_client_token_usage_count", "gen_ai_token_type") == {"input", "output"}
    assert {"", "worker_failed"} <= values("gen_ai_server_request_duration_seconds_count", "error_type")
    embedded = total(samples, "gen_ai_client_token_usage_sum", gen_ai_operation_name="embeddings")
    assert embedded == total(samples, "dpu_tokens_total", endpoint="embeddings", kind="prompt") > 0


def test_tokens_and_times_are_those_of_the_requests(samples: Samples) -> None:
    output = total(samples, "gen_ai_client_token_usage_sum", gen_ai_token_type="output")
    assert output == total(samples, "dpu_tokens_total", kind="completion") > 0
    each = total(samples, "gen_ai_server_time_per_output_token_seconds_sum")
    assert each > 0.01  # the stream above waits 12 ms before each token
    stages = {stage: total(samples, "dpu_stage_seconds_total", stage=stage) for stage in ("receive", "generate")}
    assert all(seconds > 0 for seconds in stages.values())
    assert total(samples, "dpu_staged_requests_total") > 0


@pytest.fixture
def many_tenants(tmp_path: Path, certs: Path) -> Iterator[Stack]:
    """A stack with more tenants than it may keep series."""
    stack = build(tmp_path, certs)
    yaml = YAML()
    desired = yaml.load(stack.config.read_text())
    desired["telemetry"]["series_max"] = SERIES_MAX
    for number in range(TENANTS):
        key = hashlib.sha256(f"sk-{number}".encode()).hexdigest()
        desired["tenants"].append({"name": f"t{number:02}", "keys": [f"sha256:{key}"], "models": ["chat"]})
    with stack.config.open("w") as file:
        yaml.dump(desired, file)
    yield from running(stack)


def test_series_beyond_the_maximum_are_counted_under_other(many_tenants: Stack) -> None:
    body = {"model": "chat", "messages": user("a b")}
    with httpx.Client(verify=trust(many_tenants)) as one_connection:  # so one core
        for number in range(TENANTS):
            headers = {"authorization": f"Bearer sk-{number}"}
            url = f"{many_tenants.url}/v1/chat/completions"
            assert one_connection.post(url, json=body, headers=headers).status_code == 200
    samples = many_tenants.fastpath.metrics()
    assert total(samples, "dpu_requests_total") == total(samples, "dpu_requests_received_total") == TENANTS
    assert total(samples, "dpu_requests_total", tenant="_other") == TENANTS - SERIES_MAX
    assert total(samples, "dpu_tokens_total", kind="completion") == 2 * TENANTS
    capped = {metric: total(samples, "dpu_series_capped_total", metric=metric) for metric in ("dpu_requests", "gen_ai")}
    assert capped == {"dpu_requests": TENANTS - SERIES_MAX, "gen_ai": TENANTS - SERIES_MAX}
