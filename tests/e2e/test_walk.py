"""`sendoff test` and `sendoff explain` walk towards a next hop and say what they find, in the words of people."""

import json
import subprocess

import pytest

from harness import BUILD, Agent, Sink, free_port, smarthost, until
from zones import Zones

IN_CLEAR = "does not offer STARTTLS, and TLS is required"


def walk(agent, what, *more):
    """The steps as (what, end) pairs, all of their text, and the exit status."""
    done = subprocess.run([str(BUILD / "sendoff"), "--config", str(agent.file), "--json", "test", what, *more],
                          capture_output=True, text=True, timeout=60)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    steps = [r for r in rows if r.get("type") == "step"]
    return [(s["what"], s["end"]) for s in steps], done.stdout + done.stderr, done.returncode


@pytest.mark.parametrize("options, more, failing, says", [
    ([], {}, None, None),
    (["--reply", "rcpt=550 5.1.1 nobody here"], {}, "RCPT", "nobody of that name is known there"),
    (["--reply", "mail=451 4.3.0 later"], {}, "MAIL", "a message would wait"),
    (["--reply", "greeting=554 5.7.1 go away"], {}, "greeting", "its words say why"),
    (["--no-starttls"], {}, "EHLO", IN_CLEAR),
    ([], {"user": "somebody"}, "AUTH", "check `user` and the secret"),
    ([], {"tls_ca": None}, "TLS", "certificate"),
    ([], {"tls_name": "other.example"}, "TLS", "other.example"),
])
def test_a_walk_to_a_smart_host_stops_where_mail_would(scratch, options, more, failing, says):
    sink = Sink(scratch, *options)
    agent = Agent(scratch, sink.smarthost("work", **more)).start()
    steps, text, status = walk(agent, "work", "--from", "me@example.org", "--to", "bob@example.net")
    bad = [what for what, end in steps if end == "failed" and what != "result"]
    assert status == (75 if failing else 0), text
    assert bad == ([failing] if failing else []), text
    assert steps[-1] == ("result", "failed" if failing else "well")
    if failing:
        assert says in text
        assert (failing, "well") not in steps[steps.index((failing, "failed")):], text
    else:
        done = [what for what, _ in steps]
        assert done == sorted(done, key=["secret", "DNS", "policy", "TCP", "greeting", "EHLO", "STARTTLS", "TLS", "AUTH",
                                         "MAIL", "RCPT", "result"].index) or done.count("EHLO") == 2
        assert {"secret", "DNS", "TCP", "greeting", "EHLO", "STARTTLS", "TLS", "AUTH", "MAIL", "RCPT"} <= set(done)
    assert not sink.messages() and not sink.envelopes()
    assert "secret\\n" not in text and '"secret"' not in text.replace('"what":"secret"', "").replace('"what": "secret"', "")


def test_a_walk_changes_nothing_for_the_mail(scratch):
    agent = Agent(scratch, f'smarthost "down" {{ host = "127.0.0.1" port = {free_port()} tls = none }}').start()
    steps, text, status = walk(agent, "down")
    assert status == 75 and ("TCP", "failed") in steps, text
    lane = agent.json("status")[0]["lanes"][0]
    assert lane["trouble"] == "well" and lane["failures"] == 0


def test_what_is_neither_a_smart_host_nor_a_domain_is_refused(scratch):
    sink = Sink(scratch)
    agent = Agent(scratch, sink.smarthost("work")).start()
    done = agent.ctl("test", "wrok", check=False)
    assert done.returncode == 64 and 'no smarthost "wrok"' in done.stderr
    assert agent.ctl("test", check=False).returncode == 64
    assert agent.ctl("test", "work", "--id", "x", check=False).returncode == 64


@pytest.fixture
def domains(scratch):
    port = free_port()
    zones = Zones(scratch)
    zones.add("two.test", "@ MX 10 first\n@ MX 20 second\nfirst A 127.0.0.31\nsecond A 127.0.0.32")
    zones.add("null.test", "@ MX 0 .")
    zones.start()
    sink = Sink(scratch, name="second", address="127.0.0.32", port=port, auth=None)
    agent = Agent(scratch, zones.config() + f"mx {{ port = {port} mta_sts = no }}",
                  route='route "rest" { via = {"mx"} }').start()
    return agent, sink


def test_a_walk_to_a_domain_goes_from_mx_to_mx(domains):
    agent, _ = domains
    steps, text, status = walk(agent, "two.test", "--to", "bob@two.test")
    assert status == 0, text
    assert steps.index(("TCP", "failed")) < steps.index(("TCP", "well")) < steps.index(("RCPT", "well"))
    assert "first.two.test" in text and "second.two.test" in text
    steps, text, status = walk(agent, "null.test")
    assert status == 75 and "would come back at once: 5.1.10" in text and "takes no mail at all" in text
    steps, text, status = walk(agent, "mx:nowhere.test")
    assert status == 75 and "5.1.2" in text


def test_opportunistic_mail_between_strangers_is_no_alarm(domains):
    agent, sink = domains
    agent.send(to=("bob@two.test",))
    until(sink.messages, agent.log)
    lane, = agent.json("status")[0]["lanes"]
    assert lane["name"] == "mx:two.test" and not lane["insecure"]


def test_explain_looks_into_dns_and_connects_nowhere(domains):
    agent, sink = domains
    sink.stop()
    rows = agent.json("explain", "--from", "me@example.org", "--to", "bob@two.test")
    looks = [r for r in rows if r.get("type") == "look"]
    steps = [r for r in rows if r.get("type") == "step"]
    assert [r["lane"] for r in looks] == ["mx:two.test"]
    assert any(s["what"] == "DNS" and "first.two.test" in s["text"] for s in steps), steps
    assert any(s["what"] == "policy" for s in steps), steps
    assert not [s for s in steps if s["what"] in ("TCP", "EHLO")]
    plain = agent.ctl("explain", "--from", "me@example.org", "--to", "bob@two.test").stdout
    assert "10 first.two.test" in plain and "would be accepted" in plain
    assert "would come back at once: 5.1.10" in agent.ctl("explain", "--from", "me@example.org", "--to", "bob@null.test").stdout


@pytest.mark.parametrize("keys, says, do", [
    ({"source": "192.0.2.77"}, "the source address is not one of this machine's", "source"),
    ({"proxy": "socks5://127.0.0.1:{port}"}, "proxy 127.0.0.1:{port}: Connection refused", "proxy"),
    ({"host": "/nowhere/lmtp", "protocol": "lmtp", "port": None}, "/nowhere/lmtp: No such file", "start the program"),
])
def test_what_lies_before_the_server_is_not_called_the_server(scratch, keys, says, do):
    port = free_port()
    keys = {k: v.format(port=port) if isinstance(v, str) else v for k, v in keys.items()}
    agent = Agent(scratch, smarthost("work", **{"host": "127.0.0.1", "port": port, "tls": "none", **keys})).start()
    agent.send()
    lane = until(lambda: [one for one in agent.json("status")[0]["lanes"] if one["error"]], agent.log)[0]
    assert says.format(port=port) in lane["error"] and do in lane["advice"] and "check host, port" not in lane["advice"]
    _, text, _ = walk(agent, "work")
    assert says.format(port=port) in text and do in text and "check `host` and `port`" not in text


def test_a_resolver_that_does_not_answer_is_not_called_the_network(scratch):
    agent = Agent(scratch, f'dns {{ servers = {{"127.0.0.1:{free_port()}"}} }}', route='route "rest" { via = {"mx"} }').start()
    agent.send(to=("bob@two.test",))
    until(lambda: agent.json("status")[0]["offline"], agent.log)
    said = agent.ctl("why", agent.json("list")[0]["id"]).stdout
    assert "no resolver of this machine answers" in said and "dns.servers" in said, said
