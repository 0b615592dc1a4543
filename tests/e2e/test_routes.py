"""Where mail goes: what `explain` says of it, and that queued mail follows the configuration to the MX and back."""

from harness import Agent, Sink, message, smarthost, until, free_port

import pytest

MX = '''
mx { port = 2525 source = {"127.0.0.1"} proxy = "socks5://127.0.0.1:9" }
domain "*.bank.example" { tls = dane }
domain "[192.0.2.*]" { tls = none }
'''


def explain(agent, recipient):
    rows = agent.json("explain", "--from", "me@example.org", "--to", recipient)
    return [r for r in rows if r.get("type") == "way"]


@pytest.fixture
def agent(scratch):
    # Nobody answers there: names cannot be looked up, and mail to MX waits.
    dns = f'dns {{ servers = {{"127.0.0.1:{free_port()}"}} }}\n'
    route = 'route "direct" { to = {"*.example", "*]"} via = {"mx"} }\nroute "rest" { via = {"work=3", "mx=1"} }\n'
    return Agent(scratch, dns + MX + smarthost("work", host="127.0.0.1", port=free_port(), tls="none"), route=route).start()


def test_the_ways_of_a_recipient_are_explained_with_their_lines(agent):
    lines = agent.file.read_text().splitlines()

    def line_of(way):
        assert way["file"] == str(agent.file)
        return lines[way["line"] - 1]

    (way,) = explain(agent, "you@Some.Example")
    assert (way["lane"], way["tls"], way["weight"]) == ("mx:some.example", "opportunistic", 0)
    assert way["to"] == "to the MX of some.example, port 2525"
    assert way["source"] == ["127.0.0.1"] and way["proxy"] == "127.0.0.1:9"
    assert line_of(way).startswith("mx {")
    (way,) = explain(agent, "you@my.bank.example")
    assert way["tls"] == "dane" and line_of(way).startswith('domain "*.bank.example"')
    (way,) = explain(agent, "you@[192.0.2.7]")
    assert (way["lane"], way["tls"]) == ("mx:[192.0.2.7]", "none") and line_of(way).startswith('domain "[192.0.2.*]"')
    ways = explain(agent, "you@münchen.test")
    assert [(w["lane"], w["weight"]) for w in ways] == [("work", 3), ("mx:xn--mnchen-3ya.test", 1)]
    said = agent.ctl("explain", "--from", "me@example.org", "--to", "you@my.bank.example").stdout
    assert "to the MX of my.bank.example, port 2525  from 127.0.0.1  through the proxy 127.0.0.1:9" in said
    assert "dane: encrypted, and proven by TLSA records; without them the mail waits" in said


def targets(agent):
    rows = agent.json("show", agent.json("list")[0]["id"])
    return {r["address"]: r["target"] for r in rows if r.get("type") == "recipient"}


def test_queued_mail_follows_its_route_to_the_mx_and_back(agent):
    agent.send(message(), to=["a@one.example", "b@ONE.example", "c@two.test", "d@[192.0.2.1]"])
    assert targets(agent) == {"a@one.example": "mx:one.example", "b@ONE.example": "mx:one.example",
                              "c@two.test": "work=3,mx:two.test=1", "d@[192.0.2.1]": "mx:[192.0.2.1]"}
    text = agent.file.read_text()
    agent.file.write_text(text.replace('via = {"mx"}', 'via = {"work"}').replace('"mx=1"', '"mx=2"'))
    assert "1 message" in agent.ctl("reload").stdout
    until(lambda: set(targets(agent).values()) == {"work", "work=3,mx:two.test=2"}, lambda: str(targets(agent)))
    agent.file.write_text(text)
    agent.ctl("reload")
    until(lambda: targets(agent)["d@[192.0.2.1]"] == "mx:[192.0.2.1]", lambda: str(targets(agent)))


def test_a_weight_that_is_none_stops_a_reload_with_its_line(agent):
    agent.file.write_text(agent.file.read_text().replace("work=3", "work=x"))
    done = agent.ctl("check", check=False)
    assert done.returncode == 78 and 'has no weight from 1 to 1000 - write "work=3"' in done.stdout + done.stderr
    assert agent.ctl("reload", check=False).returncode == 78


def test_mail_is_shared_by_weight(scratch):
    sinks = [Sink(scratch, name=name) for name in ("one", "two")]
    config = "".join(s.smarthost(n, connections=1) for s, n in zip(sinks, ("one", "two")))
    agent = Agent(scratch, config, route='route "rest" { via = {"one=3", "two=1"} }\n').start()
    for _ in range(40):
        agent.send(message())
    until(lambda: sum(len(s.envelopes()) for s in sinks) == 40, lambda: str([len(s.envelopes()) for s in sinks]))
    assert [len(s.envelopes()) for s in sinks] == [30, 10]
