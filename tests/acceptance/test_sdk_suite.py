"""The official SDK's own tests, run against the server."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.run_sdk_suite import NotAvailableError, fetch, plugins, run
from tests.fakes.broker_server import fake_config, fake_settings, running
from tests.fakes.broker_server.seeding import Seeded

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_the_sdks_own_tests_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        source = fetch(tmp_path)
        search = plugins(tmp_path / "plugins")
    except NotAvailableError as error:
        pytest.skip(f"the SDK's source distribution is not here: {error}")
    with running(fake_config(), fake_settings(tmp_path / "data", steps=40), around=Seeded) as served:
        outcome = run(source, served.url, search, tmp_path / "report.xml")
    with capsys.disabled():
        print(f"\n{outcome.summary}")  # noqa: T201
        for name, count in Counter(name.split("::")[0] for name in outcome.outside).items():
            print(f"  outside: {name} ({count} tests)")  # noqa: T201
    assert not outcome.failed, f"{outcome.failed}\n{outcome.said[-6000:]}"
    unsent = [name for name in outcome.skipped if "content[aiohttp]" not in name]
    assert not unsent, "only three are skipped, by the SDK itself: its mock cannot stand before aiohttp"
    assert len(outcome.passed) >= 500
