"""What one connection and one address may ask for, on a simulated clock."""

from __future__ import annotations

import pytest
from streamcodec_call.ratelimit import (
    REQUEST_BURST,
    REQUEST_RATE,
    WRONG_TOKEN_COST,
    AddressLimits,
    TokenBucket,
    site_of,
)


def test_token_bucket():
    bucket = TokenBucket(2.0, 3.0, 0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(0.5), bucket.take(0.5)] == [True, False]
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]


def test_a_bucket_can_be_spent_and_fills_again():
    bucket = TokenBucket(1.0, 10.0, 0.0)
    bucket.spend(25.0)
    assert not bucket.take(0.0)
    assert not bucket.full(9.0)
    assert bucket.full(10.0)


def test_connections_of_an_address_are_limited_and_those_of_others_are_not():
    limits = AddressLimits(3)
    assert [limits.open("10.0.0.1", 0.0) for _ in range(4)] == [True, True, True, False]
    assert limits.open("10.0.0.2", 0.0)
    limits.close("10.0.0.1")
    limits.close("10.0.0.1")
    assert limits.open("10.0.0.1", 0.0)


def test_how_fast_an_address_connects_is_limited():
    limits = AddressLimits(3)

    def come_and_go(now):
        admitted = limits.open("10.0.0.1", now)
        limits.close("10.0.0.1")
        return admitted

    assert sum(come_and_go(0.0) for _ in range(1000)) == REQUEST_BURST
    assert sum(come_and_go(1.0) for _ in range(1000)) == REQUEST_RATE


def test_wrong_tokens_use_an_address_up():
    limits = AddressLimits(3)
    for _ in range(int(REQUEST_BURST / WRONG_TOKEN_COST)):
        limits.wrong_token("10.0.0.1", 0.0)
    assert not limits.open("10.0.0.1", 0.0)
    assert limits.open("10.0.0.2", 0.0)


def test_no_limit_is_no_limit():
    limits = AddressLimits(0)
    assert all(limits.open("10.0.0.1", 0.0) for _ in range(5000))


def test_nothing_is_remembered_for_ever():
    limits = AddressLimits(2)
    for n in range(1000):
        limits.open(f"10.0.{n // 250}.{n % 250}", 0.0)
    limits.tick(1e6)
    assert len(limits) == 1000
    for n in range(1000):
        limits.close(f"10.0.{n // 250}.{n % 250}")
    limits.tick(1e6)
    assert len(limits) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "", True),
    ],
)
def test_what_counts_as_one_address(one, other, same):
    assert (site_of(one) == site_of(other)) is same
