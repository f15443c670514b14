"""Schemathesis against the server: the published protocol, in which every operation also has our error statuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from broker.jobs.store import open_store
from broker.server import new_token
from broker.server.config import Limits
from tests.fakes.broker_server import MODEL, fake_config, fake_settings, load_wire, running

LINKED = "openai-finetune-subset-links.yaml"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "use_after_free",
    "ensure_resource_availability",
    "ignored_auth",
)
EXAMPLES = 12


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_no_request_breaks_the_server_or_the_protocol(tmp_path: Path) -> None:
    wire = load_wire(LINKED)
    if wire is None:
        pytest.skip("BROKER_TEST_DATA does not lead to the published protocol")
    document = tmp_path / "protocol.yaml"
    document.write_text(yaml.safe_dump(wire.with_errors()), "utf-8")
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    settings = fake_settings(data_dir)
    store = open_store(settings.store_url)
    token = new_token(store, "schemathesis")
    store.close()
    config = fake_config(
        model_map={MODEL: "fake-base", "gpt-*": "fake-base"},
        limits=Limits(requests_per_minute=None, failed_logins_per_minute=1_000_000),
    )
    with running(config, settings) as served:
        command = [str(Path(sys.executable).parent / "schemathesis"), "run", str(document), "--url", served.url]
        options = ["--checks", ",".join(CHECKS), "--max-examples", str(EXAMPLES), "--seed", "713", "--workers", "1"]
        secret = ["--header", f"Authorization: Bearer {token}"]
        done = subprocess.run(
            [*command, *options, *secret], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
        )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-6000:]
    assert "Tested: 25" in said, said[-3000:]
