"""Limits as servers tell them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from broker.gateway.bucket import Bucket
from broker.gateway.limits import NOTHING_SEEN, Seen, duration_s, read_headers


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20ms", 0.02), ("1s", 1.0), ("6m0s", 360.0), ("1h2m3s", 3723.0), ("1.5", 1.5), ("0", 0.0), ("1d", 86400.0),
        ("soon", None), ("", None), ("1x", None), ("-1", None), ("s1", None), ("inf", None),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float | None) -> None:
    assert duration_s(text) == seconds


def test_headers_of_an_answer() -> None:
    headers = {
        "x-ratelimit-limit-requests": "3000", "x-ratelimit-remaining-requests": "2999",
        "x-ratelimit-limit-tokens": "200000", "x-ratelimit-remaining-tokens": "199000",
    }  # fmt: skip
    assert read_headers(headers) == Seen(requests=3000, requests_left=2999, tokens=200000, tokens_left=199000)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "later"}, None),
        ({"retry-after": "-5"}, None),
        ({}, None),
    ],
)
def test_retry_after_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert read_headers(headers, now=now).retry_after_s == seconds


def test_nonsense_is_left_out() -> None:
    odd = {"x-ratelimit-limit-requests": "many", "x-ratelimit-remaining-requests": "-1", "retry-after-ms": "nan"}
    assert read_headers(odd) == NOTHING_SEEN


def test_a_bucket_lets_its_rate_through() -> None:
    bucket, now = Bucket(rate=10, size=2), 0.0
    sent = 0
    while now < 10:
        wait = bucket.wait_s(now)
        if wait <= 0:
            bucket.take(now)
            sent += 1
        else:
            now += wait
    assert 100 <= sent <= 103


def test_a_request_larger_than_the_bucket_passes_when_it_is_full() -> None:
    bucket = Bucket(rate=1, size=10)
    assert bucket.wait_s(0, 50) == 0
    bucket.take(0, 50)
    assert bucket.wait_s(0, 1) == pytest.approx(41)


def test_a_bucket_without_a_rate_never_waits() -> None:
    bucket = Bucket()
    for _ in range(100):
        assert bucket.wait_s(0) == 0
        bucket.take(0)
