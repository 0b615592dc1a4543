"""Servers that refuse us for where we come from: the mail goes by the other family of addresses, once."""

import json
import re
import socket

import pytest
from harness import until
from test_mx import A, World
from zones import zones  # noqa: F401


@pytest.fixture
def world(scratch, zones):  # noqa: F811
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6, not even loopback")
    zones.add("dual.test", f"@ MX 10 mx\nmx A {A}\nmx AAAA ::1", signed=False)
    return World(scratch, zones)


REFUSALS = {
    "greeting": ("greeting=554 5.7.1 we do not talk to you", []),
    "mail": ("mail=550 5.7.25 no reverse DNS for your address", ["other-family"]),
    "rcpt": ("rcpt=550 5.7.23 SPF says no", ["other-family"]),
    "dot": ("dot=550 5.7.1 [::1] this message does not meet IPv6 sending guidelines", ["other-family"]),
    "words": ("rcpt=550 your address has no PTR record", ["other-family"]),
}


@pytest.mark.parametrize("where", sorted(REFUSALS))
def test_mail_goes_at_once_by_the_other_family(world, where):
    rule, events = REFUSALS[where]
    world.sink("::1", "--reply", rule)
    v4 = world.sink(A)
    world.start()
    first = world.send("bob@dual.test")
    world.arrived(v4, first)
    for event in events:
        assert event in world.agent.log()
    # The family that was refused is not tried again for a while.
    before = world.agent.log().count("[::1]")
    second = world.send("bob@dual.test")
    world.arrived(v4, second)
    world.agent.drain()
    delivered = [line for line in world.agent.log().splitlines() if " delivered " in line]
    assert len(delivered) == 2 and all(f"mx.dual.test [{A}]" in line for line in delivered)
    assert world.agent.log().count("[::1]") == before
    assert not world.home.messages()


def test_where_both_families_are_refused_the_mail_comes_back(world):
    v6 = world.sink("::1", "--reply", "rcpt=550 5.7.25 no reverse DNS over IPv6")
    v4 = world.sink(A, "--reply", "rcpt=550 5.7.25 no reverse DNS at all")
    world.start()
    world.send("bob@dual.test")
    text, status, fields = world.report()
    assert status == "5.7.25" and "no reverse DNS at all" in re.sub(r"\s+", " ", fields)
    assert not v6.messages() and not v4.messages()
    assert world.agent.log().count("other-family") == 1


def test_a_refusal_that_is_not_about_the_address_counts_at_once(world):
    world.sink("::1", "--reply", "rcpt=550 5.1.1 no such user")
    v4 = world.sink(A)
    world.start()
    world.send("bob@dual.test")
    assert world.report()[1] == "5.1.1"
    assert not v4.messages() and "other-family" not in world.agent.log()


def test_other_recipients_of_the_message_are_not_sent_twice(world):
    v6 = world.sink("::1", "--reply", "rcpt=550 5.7.25 no reverse DNS", "--for", "two*")
    v4 = world.sink(A)
    world.start()
    key = world.send("one@dual.test", "two@dual.test")
    world.arrived(v4, key)
    world.arrived(v6, key)
    world.agent.drain()
    assert len(v6.messages()) == 1 and len(v4.messages()) == 1
    assert {"one@dual.test"} == set(re.findall(r"\w+@dual\.test", json.dumps(v6.envelopes())))
    assert {"two@dual.test"} == set(re.findall(r"\w+@dual\.test", json.dumps(v4.envelopes())))


def test_the_way_is_found_again_when_only_the_avoided_family_is_left(world):
    v6 = world.sink("::1", "--reply", "rcpt=550 5.7.25 no reverse DNS")
    v4 = world.sink(A)
    world.start()
    world.arrived(v4, world.send("bob@dual.test"))
    world.agent.drain()
    v4.stop()
    v6.stop()
    v6.options = []
    v6.start()
    key = world.send("bob@dual.test")
    world.arrived(v6, key)
    until(lambda: "delivered" in world.agent.log(), "delivered")
