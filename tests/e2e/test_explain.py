"""`sendoff explain` says what becomes of a message: the same as what then becomes of it."""

import os
import smtplib
import subprocess

import pytest

from harness import BUILD, Agent, Sink, message, until

IS_ROOT = os.getuid() == 0

RULES = '''
submitter "shop" { networks = {"127.0.0.0/8"} senders = {"*@shop.example.com", "root*", "joe@*", "www-data@*"} }
identity "cron" { senders = {"root@*"} from = "alerts@example.com" name = "Alerts" to = "me@example.com" route = "second" }
identity "php" { senders = {"www-data@*"} from = "shop@example.com" envelope = "bounces@example.com" }
'''
ROUTES = '''
route "lab" { to = {"*@lab.internal"} via = {"two"} }
route "rest" { via = {"one", "two"} }
route "second" { to = {"nobody@nowhere"} via = {"two"} }
'''


@pytest.fixture
def agent(scratch):
    sinks = {"one": Sink(scratch, name="one"), "two": Sink(scratch, name="two")}
    agent = Agent(scratch, RULES + sinks["one"].smarthost("one") + sinks["two"].smarthost("two"), route=ROUTES)
    aliases = agent.dir / "aliases"
    aliases.write_text("# who reads what\nstaff: ann@example.org, root\nroot: me@example.org\nlost: |/bin/sh\n")
    agent.file.write_text(agent.file.read_text() + f'aliases = "{aliases}"\n')
    agent.sinks = sinks
    return agent.start()


def explain(agent, sender, recipient, *more):
    rows = agent.json("explain", "--from", sender, "--to", recipient, *more)
    return ([r for r in rows if r.get("type") == "rule"], [r for r in rows if r.get("type") == "recipient"], rows[-1])


@pytest.mark.parametrize("sender, recipient", [
    ("joe@example.org", "bob@example.net"),
    ("joe@example.org", "bob@lab.internal"),
    ("joe", "staff"),
    ("root", "whoever"),
    ("root", "root@localhost"),
    ("www-data", "order@example.net"),
    ("<>", "staff@agent.example.org"),
    ("joe@example.org", "lost"),
    ("mallory@example.org", "bob@example.net"),
])
def test_what_is_explained_is_what_happens(agent, sender, recipient):
    _, recipients, end = explain(agent, sender, recipient, "--listener", "loopback")
    with agent.smtp() as smtp:
        try:
            smtp.sendmail(sender if sender != "<>" else "", [recipient], message())
            is_taken = True
        except (smtplib.SMTPSenderRefused, smtplib.SMTPRecipientsRefused):
            is_taken = False
    assert end["accepted"] == is_taken
    if not is_taken:
        return

    def arrived():
        return [(name, e["sender"], r) for name, sink in agent.sinks.items() for e in sink.envelopes()
                for r in e["recipients"]]

    until(lambda: len(arrived()) == len(recipients), lambda: f"{recipients}\n{arrived()}")
    assert sorted((name, r) for name, _, r in arrived()) == sorted((r["via"][0], r["address"]) for r in recipients)
    expected = {"root": "alerts@example.com", "www-data": "bounces@example.com", "joe": "joe@agent.example.org",
                "<>": ""}.get(sender, sender)
    assert {s for _, s, _ in arrived()} == {expected}


def test_each_rule_is_told_with_its_line(agent):
    lines = agent.file.read_text().splitlines()
    rules, recipients, _ = explain(agent, "root", "staff", "--listener", "loopback")

    def line_of(row, file="file", line="line"):
        assert row[file] == str(agent.file)
        return lines[row[line] - 1]

    steps = {r["step"]: r for r in rules}
    assert line_of(steps["trust"]).startswith("trust {")
    assert line_of(steps["submitter"]).startswith('submitter "shop"')
    assert line_of(steps["identity"]).startswith('identity "cron"')
    by_address = {r["address"]: r for r in recipients}
    assert by_address["ann@example.org"]["file"] == str(agent.dir / "aliases")
    assert by_address["ann@example.org"]["line"] == 2 and by_address["me@example.org"]["line"] == 3
    assert line_of(by_address["ann@example.org"], "route_file", "route_line").startswith('route "second"')
    said = agent.ctl("explain", "--from", "root", "--to", "staff").stdout
    assert f'({agent.dir / "aliases"}:2)' in said and "This mail would be accepted." in said


def test_new_rules_are_explained_after_a_reload(agent):
    agent.file.write_text(agent.file.read_text() + 'identity "joe" { senders = {"joe@*"} from = "j@example.com" }\n')
    assert "the sender stays <joe@example.org>" in agent.ctl("explain", "--from", "joe@example.org", "--to", "a@b.c").stdout
    agent.ctl("reload")
    assert "the sender is <j@example.com>" in agent.ctl("explain", "--from", "joe@example.org", "--to", "a@b.c").stdout


@pytest.mark.skipif(not IS_ROOT, reason="only root may ask for another and become another")
def test_others_ask_for_themselves_only(agent):
    ask = ["explain", "--from", "a@b.c", "--to", "c@d.e"]
    assert "uid 65534" in agent.ctl(*ask, "--uid", "65534").stdout
    agent.dir.chmod(0o755)
    agent.scratch.path.chmod(0o755)
    as_nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    tool = [str(BUILD / "sendoff"), "--socket", str(agent.control)]

    def run(*more):
        return subprocess.run(tool + ask + list(more), capture_output=True, text=True, timeout=60, **as_nobody)

    assert "uid 65534" in run().stdout
    assert run("--uid", "65534").returncode == 0
    assert [run("--uid", "0").returncode, run("--user", "joe").returncode, run("--host", "192.0.2.1").returncode] == [77] * 3


def test_without_an_agent_it_says_so(agent):
    agent.stop()
    done = agent.ctl("explain", "--from", "a@b.c", "--to", "c@d.e", check=False)
    assert done.returncode == 69 and done.stderr
