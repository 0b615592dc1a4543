"""Delivery straight to the recipients' servers: MX of every kind, SRV, weights, source addresses, real receivers."""

import collections
import os
import re
import socket
import subprocess

import pytest
from certificates import Authority
from harness import Agent, Sink, free_port, key_of, message, parse, smarthost, until
from postfix import Postfix
from receivers import Exim, OpenSMTPD
from zones import Faults, Reply, Zones, rdata, zones  # noqa: F401

DIRECT = 'route "direct" { via = {"mx"} }\n'
QUICK = "reconnect { first = 1s  factor = 2  max = 2s }\n"
A, B, C, HOME = "127.0.0.11", "127.0.0.12", "127.0.0.13", "127.0.0.19"


class World:
    """Zones, receivers on addresses of their own and one port, and an agent that delivers to MX."""

    def __init__(self, scratch, zones):  # noqa: F811
        self.scratch, self.zones, self.port = scratch, zones, free_port()
        self.agent = None
        # Where reports go.
        zones.add("home.test", f"@ MX 10 mx\nmx A {HOME}", signed=False)
        self.home = self.sink(HOME)

    def sink(self, address, *options, name=None, tls="none", **more):
        return Sink(self.scratch, *options, name=name or f"sink-{address.replace(':', '-')}", port=self.port, tls=tls,
                    auth=None, address=f"[{address}]" if ":" in address else address, **more)

    def start(self, config="", route=DIRECT, mx="", dns=None, **more):
        if not dns:
            self.zones.start()
        self.agent = Agent(self.scratch, f"{(dns or self.zones).config()}{QUICK}mx {{ port = {self.port} {mx} }}\n{config}",
                           route=route, **more).start()
        return self.agent

    def send(self, *to, mail=None, sender="alice@home.test"):
        return key_of(self.agent.send(mail, sender, to))

    def arrived(self, sink, key, count=1):
        until(lambda: [key_of(m) for m in sink.messages()].count(key) >= count,
              lambda: f"{key} at {sink.address}\n{self.agent.ctl('list').stdout}\n{self.agent.log()[-3000:]}")

    def report(self):
        """The one that arrives at home: (text, status, diagnostic words)."""
        raw = until(self.home.messages, lambda: "a report\n" + self.agent.log()[-3000:])[0]
        parts = list(parse(raw).walk())
        fields = next(p for p in parts if p.get_content_type() == "message/delivery-status").as_string()
        return parts[1].get_content(), re.search(r"^Status: (\S+)", fields, re.M).group(1), fields

    def why(self):
        rows = [r for r in self.agent.json("list") if r.get("type") == "message"]
        assert len(rows) == 1, rows
        return self.agent.ctl("why", rows[0]["id"]).stdout

    def says(self, *words):
        until(lambda: all(w in self.why() for w in words), lambda: f"{words}\n{self.why()}\n{self.agent.log()[-2000:]}")


@pytest.fixture
def world(scratch, zones):  # noqa: F811
    return World(scratch, zones)


# ---------------------------------------------------------------- which host

def test_the_best_mx_takes_the_mail(world):
    world.zones.add("a.test", f"@ MX 20 mx2\n@ MX 10 mx1\nmx1 A {A}\nmx2 A {B}")
    best, other = world.sink(A), world.sink(B)
    world.start()
    for _ in range(5):
        world.arrived(best, world.send("bob@a.test"))
    assert other.messages() == []
    assert f'lane=mx:a.test host="mx1.a.test [{A}]"' in world.agent.log()


def test_equal_mx_share_the_mail(world):
    world.zones.add("pool.test", f"mx1 A {A}\nmx2 A {B}\n" + "".join(
        f"d{i} MX 10 mx1\nd{i} MX 10 mx2\n" for i in range(30)))
    both = world.sink(A), world.sink(B)
    world.start()
    keys = [world.send(f"bob@d{i}.pool.test") for i in range(30)]
    until(lambda: sum(len(s.messages()) for s in both) == 30, lambda: world.agent.ctl("list").stdout)
    assert sorted(key_of(m) for s in both for m in s.messages()) == sorted(keys)
    assert all(len(s.messages()) >= 3 for s in both)


@pytest.mark.parametrize("trouble", [None, ("--reply", "greeting=421 not today"), ("--reply", "greeting=554 no"),
                                     ("--reply", "ehlo=502 what"), ("--drop-after", "greeting")])
def test_the_second_mx_takes_what_the_first_does_not(world, trouble):
    world.zones.add("a.test", f"@ MX 10 mx1\n@ MX 20 mx2\nmx1 A {A}\nmx2 A {B}")
    if trouble:
        world.sink(A, *trouble, "--reply", "helo=502 what")
    second = world.sink(B)
    world.start()
    world.arrived(second, world.send("bob@a.test"))
    assert world.home.messages() == []


def test_the_second_address_of_a_host_is_tried(world):
    world.zones.add("a.test", f"@ MX 10 mx\nmx A {A}\nmx A {B}\nmx AAAA ::1")
    sink = world.sink(B)
    world.start()
    world.arrived(sink, world.send("bob@a.test"))


def test_a_domain_without_mx_is_its_own(world):
    world.zones.add("a.test", f"@ A {A}\nwww CNAME a.test.")
    sink = world.sink(A)
    world.start()
    world.arrived(sink, world.send("bob@a.test"))
    world.arrived(sink, world.send("bob@www.a.test"))


def test_aliases_lead_to_the_mx_of_another_domain(world):
    world.zones.add("a.test", "alias CNAME b.test.\n@ MX 10 host", signed=False)
    world.zones.add("b.test", f"@ MX 10 mx\nmx CNAME real\nreal A {A}")
    sink = world.sink(A)
    world.start()
    world.arrived(sink, world.send("bob@alias.a.test"))
    assert sink.envelopes()[0]["recipients"] == ["bob@alias.a.test"]


def test_an_mx_without_address_gives_way_to_the_next(world):
    world.zones.add("a.test", f"@ MX 10 nowhere\n@ MX 15 mx.b.test.\n@ MX 20 mx2\nmx2 A {B}")
    world.zones.add("b.test", f"mx A {A}", broken=True)
    sink = world.sink(B)
    world.start()
    world.arrived(sink, world.send("bob@a.test"))


def test_names_that_no_host_can_have_are_passed_over(world):
    world.zones.add("a.test", f"@ MX 5 a\\032b\n@ MX 6 192.0.2.1.\n@ MX 10 mx\nmx A {A}")
    sink = world.sink(A)
    world.start()
    world.arrived(sink, world.send("bob@a.test"))


def test_address_literals_are_addresses(world):
    v4 = world.sink(A)
    world.start()
    world.arrived(v4, world.send(f"bob@[{A}]"))


def test_address_literals_of_version_6_are_addresses(world):
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 on loopback here")
    v6 = world.sink("::1")
    world.start()
    world.arrived(v6, world.send("bob@[IPv6:::1]"))


def test_domains_beyond_ascii_are_looked_up_by_their_a_labels(world):
    world.zones.add("xn--bcher-kva.test", f"@ MX 10 mx\nmx A {A}")
    sink = world.sink(A)
    world.start()
    key = world.send("bob@xn--bcher-kva.test")
    world.arrived(sink, key)
    mail = message()
    with world.agent.smtp() as smtp:
        smtp.ehlo()
        smtp.sendmail("alice@home.test", ["bob@bücher.test"], mail, mail_options=["SMTPUTF8"])
    world.arrived(sink, key_of(mail))
    lanes = world.agent.ctl("status").stdout
    assert "bücher" not in lanes


def test_a_name_of_the_hosts_file_needs_no_dns(world, tmp_path):
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        pytest.skip("needs a mount namespace for a hosts file of its own")
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{A} lab.example\n{B} mx.known.test\n")
    world.zones.add("known.test", "@ MX 10 mx", signed=False)
    lab, known = world.sink(A), world.sink(B)
    world.zones.start()
    world.agent = agent = Agent(world.scratch, f"{world.zones.config()}mx {{ port = {world.port} }}", route=DIRECT)
    real = agent.file.parent / "start"
    real.write_text(f"#!/bin/sh\nmount --bind {hosts} /etc/hosts && exec \"$@\"\n")
    start_in_namespace(agent, real)
    world.arrived(lab, world.send("bob@lab.example"))
    world.arrived(known, world.send("bob@known.test"))


def start_in_namespace(agent, script):
    from harness import BUILD, Process
    agent.runs += 1
    agent.process = Process(["unshare", "-m", "--propagation", "private", "sh", script, BUILD / "sendoffd", "--config",
                             agent.file], agent.dir / f"log.{agent.runs}")
    agent.wait_ready()


# ---------------------------------------------------------------- what fails for good

def test_a_null_mx_bounces_and_the_report_says_so(world):
    world.zones.add("null.test", f"@ MX 0 .\n@ A {A}")
    world.sink(A)
    world.start()
    world.send("bob@null.test")
    text, status, fields = world.report()
    assert status == "5.1.10"
    assert "null MX" in text and "null.test" in text and "bob@null.test" in fields


def test_a_domain_that_does_not_exist_bounces(world):
    world.zones.add("a.test", f"@ MX 10 mx\nmx A {A}")
    sink = world.sink(A)
    world.start()
    key = world.send("bob@nowhere.test", "carol@a.test")
    text, status, fields = world.report()
    assert status == "5.1.2"
    assert "nowhere.test" in text and "carol" not in fields
    world.arrived(sink, key)
    assert world.agent.drain().returncode == 0


def test_a_domain_without_mx_and_address_bounces(world):
    world.zones.add("a.test", "@ TXT nothing")
    world.start()
    world.send("bob@a.test")
    assert world.report()[1] == "5.1.2"


def test_mail_does_not_loop_through_ourselves(world):
    world.zones.add("loop.test", "@ MX 10 mx\nmx A 127.0.0.1")
    world.zones.add("backup.test", f"@ MX 10 best\n@ MX 20 mx.loop.test.\n@ MX 30 worse\nbest A {A}\nworse A {B}")
    worse = world.sink(B)
    world.start(f'listener "own" {{ address = {{"127.0.0.1:{world.port}"}} }}\n')
    world.send("bob@loop.test")
    text, status, _ = world.report()
    assert status == "5.4.6" and "loop" in text
    # We are a backup: only what is better than we are is tried, and mail waits for it.
    key = world.send("bob@backup.test")
    world.says(A, "refused")
    assert worse.messages() == []
    best = world.sink(A)
    world.agent.ctl("flush")
    world.arrived(best, key)
    assert worse.messages() == [] and len(world.home.messages()) == 1


# ---------------------------------------------------------------- what waits

def test_a_failing_resolver_makes_mail_wait_and_why_says_so(world):
    world.zones.add("a.test", f"@ MX 10 mx\nmx A {A}", broken=True)
    sink = world.sink(A)
    world.start()
    key = world.send("bob@a.test")
    world.says("a.test", "SERVFAIL")
    assert sink.messages() == [] and world.home.messages() == []
    world.zones.add("a.test", f"@ MX 10 mx\nmx A {A}")
    world.zones.reload()
    world.agent.ctl("flush")
    world.arrived(sink, key)


def test_one_broken_domain_holds_up_no_other(world):
    world.zones.add("broken.test", f"@ MX 10 mx\nmx A {A}", broken=True)
    world.zones.dead("dead.test")
    world.zones.add("a.test", f"@ MX 10 mx\nmx A {A}")
    sink = world.sink(A)
    world.start()
    key = world.send("bob@broken.test", "carol@dead.test", "dora@a.test")
    world.arrived(sink, key)
    assert sink.envelopes()[0]["recipients"] == ["dora@a.test"]
    assert world.home.messages() == []


def test_a_silent_resolver_is_the_networks_trouble(world):
    world.zones.add("a.test", f"@ MX 10 mx\nmx A {A}")
    sink = world.sink(A)
    world.start()
    world.zones.stop()
    key = world.send("bob@a.test")
    world.says("resolver")
    world.zones.start()
    world.agent.ctl("flush")
    world.arrived(sink, key)
    assert world.home.messages() == []


FORGERIES = {
    "wrong id": Reply(("a.test", "MX", rdata("MX", 1, "evil.test")), wrong_id=True),
    "wrong question": Reply(("a.test", "MX", rdata("MX", 1, "evil.test")), question="b.test"),
    "refused": Reply(rcode="REFUSED"),
    "server failure": Reply(rcode="SERVFAIL"),
    "not implemented": Reply(rcode="NOTIMP"),
    "another name's records": Reply(("evil.test", "MX", rdata("MX", 1, "evil.test")), rcode="SERVFAIL"),
    "half an exchange": Reply(("a.test", "MX", b"\0")),
    "a pointer at itself": Reply(("a.test", "MX", b"\0\1\xc0\x2c")),
    "a name that no host has": Reply(("a.test", "MX", rdata("MX", 1, b"\5ev/il\0"))),
    "cut short": Reply(("a.test", "MX", rdata("MX", 1, "evil.test")), cut=30),
    "in a circle": Reply(("a.test", "CNAME", rdata("CNAME", "a.test"))),
    "truncated over TCP, too": Reply(("a.test", "MX", rdata("MX", 1, "evil.test")), truncated=True),
    "noise": b"\x80" * 600,
}


@pytest.mark.parametrize("forgery", sorted(FORGERIES))
def test_what_no_honest_server_says_delivers_nothing_and_bounces_nothing(world, forgery):
    said = []

    def say(name, kind, over_tcp):
        if name == "a.test" and kind == "MX" and not said:
            return FORGERIES[forgery]
        if kind == "MX":
            return Reply((name, "MX", rdata("MX", 1, f"mx.{name}")))
        return Reply((name, "A", rdata("A", B if "evil" in name else A))) if kind == "A" else Reply()

    faults = Faults(world.scratch, say)
    good, evil = world.sink(A), world.sink(B)
    world.start(dns=faults)
    key = world.send("bob@a.test")
    until(lambda: any(name == "a.test" and kind == "MX" for name, kind, _ in faults.asked), "the question")
    if forgery not in ("wrong id", "wrong question", "noise"):
        world.says("a.test")
    assert good.messages() == [] and evil.messages() == [] and world.home.messages() == []
    said.append("the truth")
    until(lambda: world.agent.ctl("flush") and good.messages(), lambda: world.agent.log()[-3000:], 60)
    assert [key_of(m) for m in good.messages()] == [key] and evil.messages() == []


def test_a_domain_whose_name_servers_are_silent_holds_up_no_other(world):
    def say(name, kind, over_tcp):
        if name.endswith("dead.test"):
            return None
        if kind == "MX":
            return Reply((name, "MX", rdata("MX", 1, f"mx.{name}")))
        return Reply((name, "A", rdata("A", A))) if kind == "A" else Reply()

    sink = world.sink(A)
    world.start(dns=Faults(world.scratch, say))
    world.send("bob@dead.test")
    until(lambda: re.search(r"(failing|offline) lane=mx:dead.test .*no answer in time", world.agent.log()),
          lambda: world.agent.log()[-3000:])
    assert "offline" not in world.agent.log(), world.agent.log()[-3000:]
    world.arrived(sink, world.send("bob@a.test"))


def test_a_domain_with_more_mx_than_fit_a_datagram(world):
    world.zones.add("a.test", f"mx A {A}\n" + "".join(f"@ MX {100 + i} m{i}.{'x' * 60}\n" for i in range(60))
                    + "@ MX 1 mx")
    sink = world.sink(A)
    world.start()
    world.arrived(sink, world.send("bob@a.test"))


# ---------------------------------------------------------------- SRV

def srv_host(world, ca, **more):
    return smarthost("mine", host="srv:srv.test", auth="none", tls_ca=str(ca.file), **more)


def test_srv_finds_the_servers_for_submission(world):
    ca = Authority(world.scratch.path / "ca")
    port, spare = free_port(), free_port()
    world.zones.add("srv.test", f"_submissions._tcp SRV 10 0 {port} smtp\n_submissions._tcp SRV 20 0 {spare} spare\n"
                                f"_submission._tcp SRV 1 0 {free_port()} never\nsmtp A {A}\nspare A {B}\n"
                                f"never A {C}")
    first, second = ca.issue("smtp.srv.test"), ca.issue("spare.srv.test")

    def server(name, address, at, certificate):
        return Sink(world.scratch, "--certificate", certificate.chain, "--key", certificate.key, name=name, port=at,
                    tls="implicit", auth=None, address=address)

    other = server("spare", B, spare, second)
    world.start(srv_host(world, ca), route='route "rest" { via = {"mine"} }')
    world.arrived(other, world.send("bob@a.test"))  # the first is not there
    best = server("smtp", A, port, first)
    other.stop()
    world.arrived(best, world.send("bob@a.test"))
    assert best.envelopes()[0]["tls"].startswith("TLS")


def test_srv_without_a_server_waits_and_says_why(world):
    ca = Authority(world.scratch.path / "ca")
    world.zones.add("srv.test", "_submissions._tcp SRV 0 0 0 .\n_submission._tcp SRV 0 0 0 .")
    world.start(srv_host(world, ca), route='route "rest" { via = {"mine"} }')
    world.send("bob@a.test")
    world.says("SRV", "srv.test")
    assert world.home.messages() == []


# ---------------------------------------------------------------- via

def test_weights_share_the_mail_and_the_rest_takes_over(world):
    one, two, last = world.sink(A), world.sink(B), world.sink(C)
    config = "".join(smarthost(n, host=h, port=world.port, tls="none", auth="none", connections=1)
                     for n, h in (("one", A), ("two", B), ("last", C)))
    world.start(config, route='route "rest" { via = {"one=3", "two=1", "last"} }')
    for i in range(80):
        world.send(f"bob{i}@a.test", sender=f"alice{i}@home.test")
    until(lambda: len(one.messages()) + len(two.messages()) == 80, lambda: world.agent.ctl("list").stdout)
    assert last.messages() == []
    assert 45 <= len(one.messages()) <= 75, (len(one.messages()), len(two.messages()))
    one.stop()
    two.stop()
    key = world.send("carol@a.test")
    world.arrived(last, key)


def test_mx_first_and_a_smart_host_behind_it(world):
    world.zones.add("up.test", f"@ MX 10 mx\nmx A {A}")
    world.zones.add("down.test", f"@ MX 10 mx\nmx A {C}")
    direct, relay = world.sink(A), world.sink(B)
    world.start(smarthost("relay", host=B, port=world.port, tls="none", auth="none"),
                route='route "rest" { via = {"mx", "relay"} }')
    key = world.send("bob@up.test", "bob@down.test")
    world.arrived(direct, key)
    world.arrived(relay, key)
    assert direct.envelopes()[0]["recipients"] == ["bob@up.test"]
    assert relay.envelopes()[0]["recipients"] == ["bob@down.test"]


def test_some_domains_go_direct_and_the_rest_by_a_smart_host(world):
    world.zones.add("lab.test", f"@ MX 10 mx\nmx A {A}")
    lab, relay = world.sink(A), world.sink(B)
    world.start(smarthost("relay", host=B, port=world.port, tls="none", auth="none"),
                route='route "lab" { to = {"*@lab.test"} via = {"mx"} }\nroute "rest" { via = {"relay"} }')
    key = world.send("bob@lab.test", "bob@else.test")
    world.arrived(lab, key)
    world.arrived(relay, key)
    assert lab.envelopes()[0]["recipients"] == ["bob@lab.test"]


def test_the_receiver_sees_the_source_address(world):
    world.zones.add("a.test", f"@ MX 10 mx\nmx A {A}")
    sink = world.sink(A)
    world.start(mx='source = {"127.0.0.7"}')
    world.arrived(sink, world.send("bob@a.test"))
    assert sink.envelopes()[0]["peer"].startswith("127.0.0.7:"), sink.envelopes()


def test_a_hundred_domains_at_once(world):
    world.zones.add("pool.test", f"mx A {A}\n" + "".join(f"d{i} MX 10 mx\n" for i in range(100)))
    sink = world.sink(A)
    world.start()
    key = world.send(*(f"bob@d{i}.pool.test" for i in range(100)))
    world.arrived(sink, key, 100)
    assert world.agent.drain().returncode == 0
    got = collections.Counter(r for e in sink.envelopes() for r in e["recipients"])
    assert got == {f"bob@d{i}.pool.test": 1 for i in range(100)}


# ---------------------------------------------------------------- real receivers

def test_postfix_exim_and_opensmtpd_take_the_mail(world):
    ca = Authority(world.scratch.path / "ca")
    world.zones.add("a.test", f"@ MX 10 mx\nmx A {A}")
    world.zones.add("b.test", f"@ MX 10 mx\nmx A {B}")
    world.zones.add("c.test", f"@ MX 10 mx\nmx A {C}")
    postfix = Postfix(world.scratch, world.port, address=A, certificate=ca.issue("mx.a.test"), mx=True)
    exim = Exim(world.scratch, world.port, address=B, certificate=ca.issue("mx.b.test"))
    opensmtpd = OpenSMTPD(world.scratch, world.port, address=C)
    world.start()
    keys = sorted(world.send("bob@a.test", "bob@b.test", "bob@c.test",
                             mail=message(body="line\r\n.dot\r\n..dots\r\n" * n)) for n in range(10))
    for receiver in (postfix, exim, opensmtpd):
        until(lambda: sorted(map(key_of, receiver.messages())) == keys, receiver.log)
    assert b"using TLSv1.3" in postfix.messages()[0]
    assert b"esmtps" in exim.messages()[0]
    assert world.agent.drain().returncode == 0 and world.home.messages() == []


def test_a_receiver_whose_tls_is_broken_gets_the_mail_in_the_clear(world):
    world.zones.add("c.test", f"@ MX 10 mx\nmx A {C}", signed=False)
    opensmtpd = OpenSMTPD(world.scratch, world.port, address=C, tls=True)
    world.start()
    key = world.send("bob@c.test")
    until(lambda: key in map(key_of, opensmtpd.messages()), opensmtpd.log)
