"""The SDK runs on aiohttp where that is installed, else on httpx2: the same rows, the same requests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# The same tests once more, in a process that has no aiohttp.
WITHOUT = """
import sys
sys.modules["aiohttp"] = None
import pytest
from google.genai import _api_client
assert not _api_client.has_aiohttp
sys.exit(pytest.main(sys.argv[1:]))
"""
CHOSEN = (
    "passing_faults and not late or one_call_is_one_request or own_answer or half_the_price or picked_up or unclear or "
    "bear_faults and not after"
)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_without_aiohttp_all_is_the_same() -> None:
    names = ("test_gemini_completions.py", "test_gemini_batches.py")
    files = [str(Path(__file__).with_name(name)) for name in names]
    words = ["-q", "-n0", "-p", "no:cacheprovider", "-k", CHOSEN, *files]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *words], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
