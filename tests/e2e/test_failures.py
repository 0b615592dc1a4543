"""What goes wrong at smart hosts: what `status` and `why` say, that nothing is lost and nothing hammered."""

import re
import subprocess
import threading
import time

from harness import BUILD, Agent, Sink, free_port, key_of, message, parse, smarthost, until

FAST = """
retry { first = 1s factor = 2 max = 4s }
reconnect { first = 1s factor = 2 max = 2s }
timeouts { connect = 2s greeting = 2s command = 3s data = 5s }
"""


def messages(agent):
    return [m for m in agent.json("list") if m.get("type") == "message"]


def only(agent):
    listed = messages(agent)
    assert len(listed) == 1, listed
    return listed[0]["id"]


def why(agent, ident=None):
    return agent.ctl("why", ident or only(agent)).stdout


def status(agent):
    return agent.ctl("status", check=False).stdout


def says(agent, *words):
    """Waits until `why` of the only message holds all words."""
    def holds():
        text = why(agent).lower()
        return text if all(w.lower() in text for w in words) else None
    return until(holds, lambda: f"{words} in:\n{why(agent)}\n{agent.log()[-2000:]}")


def delivered(sink, count=1):
    until(lambda: len(sink.messages()) >= count,
          lambda: f"{count} messages at the sink, {len(sink.messages())} are there\n{sink.process.text()[-2000:]}")
    return sink.messages()


def test_a_smart_host_that_is_down_backs_off_and_comes_back(scratch):
    sink = Sink(scratch)
    sink.stop()
    agent = Agent(scratch, sink.smarthost() + FAST).start()
    sent = [agent.send() for _ in range(50)]
    until(lambda: "refused" in status(agent).lower(), lambda: status(agent))
    text = status(agent)
    assert "No mail is flowing" in text and "50" in text and "sink" in text
    shown = why(agent, messages(agent)[0]["id"])
    assert "Connection refused" in shown and "sink" in shown
    # Not hammered: the host is asked by its own backoff, however many messages wait for it.
    until(lambda: agent.log().count("Connection refused") >= 3 or failures(agent) >= 3, lambda: status(agent))
    began = time.monotonic()
    first = failures(agent)
    until(lambda: failures(agent) >= first + 2, lambda: status(agent))
    assert failures(agent) - first <= (time.monotonic() - began) / 0.8 + 1
    sink.start()
    assert sorted(map(key_of, delivered(sink, 50))) == sorted(map(key_of, sent))
    until(lambda: not messages(agent), "an empty queue")
    assert "All is well" in status(agent)


def failures(agent):
    return agent.json("status")[0]["lanes"][0]["failures"]


def test_a_refused_password_parks_the_account_and_nothing_bounces(scratch):
    sink = Sink(scratch)
    agent = Agent(scratch, sink.smarthost() + FAST)
    secret = sink.dir / "secret"
    secret.write_text("wrong\n")
    agent.start()
    sent = [agent.send() for _ in range(5)]
    until(lambda: "535" in status(agent) or "password" in status(agent).lower(), lambda: status(agent) + agent.log())
    shown = why(agent, messages(agent)[0]["id"])
    assert "account" in shown.lower() or "password" in shown.lower(), shown
    assert "resume" in shown or "resume" in status(agent)
    threading.Event().wait(3)  # time itself is what is tested: nobody tries the password again meanwhile
    assert sink.process.text().lower().count("auth") <= 3, sink.process.text()
    assert len(messages(agent)) == 5 and not sink.messages()
    assert "bounced" not in agent.log()
    secret.write_text("secret\n")
    agent.ctl("resume", "sink", "--yes")
    assert sorted(map(key_of, delivered(sink, 5))) == sorted(map(key_of, sent))


def test_a_changed_secret_releases_the_account_by_itself(scratch):
    sink = Sink(scratch)
    agent = Agent(scratch, sink.smarthost() + FAST)
    secret = sink.dir / "secret"
    secret.write_text("wrong\n")
    agent.start()
    sent = agent.send()
    until(lambda: "535" in status(agent) or "password" in status(agent).lower(), lambda: status(agent) + agent.log())
    secret.write_text("secret\n")
    until(lambda: sink.messages(), lambda: status(agent) + agent.log(), deadline=60)
    assert key_of(sink.messages()[0]) == key_of(sent)


def test_greylisting_delays_that_recipient_only(scratch):
    sink = Sink(scratch, "--reply", "rcpt=450 4.2.0 Greylisted, come back later", "--times", "1")
    agent = Agent(scratch, sink.smarthost() + FAST).start()
    first = agent.send()
    text = says(agent, "greylisted")
    assert "450" in text
    second = agent.send()
    got = delivered(sink, 2)
    assert sorted(map(key_of, got)) == sorted([key_of(first), key_of(second)])
    assert agent.log().count(" deferred ") == 1


def test_a_lost_final_reply_is_doubtful_and_retried_after_a_pause(scratch):
    sink = Sink(scratch, "--drop-after", "dot", "--times", "1")
    agent = Agent(scratch, sink.smarthost() + FAST).start()
    sent = agent.send()
    until(lambda: " doubtful " in agent.log(), lambda: agent.log())
    text = why(agent)
    assert "doubt" in text.lower() or "may have" in text.lower() or "perhaps" in text.lower(), text
    assert "doubtful" in status(agent).lower() or "perhaps" in status(agent).lower(), status(agent)
    threading.Event().wait(3)  # time itself is what is tested: the pause is longer than any other backoff here
    assert len(sink.messages()) <= 1
    agent.ctl("flush", "--all", "--yes")
    until(lambda: not messages(agent), lambda: agent.log())
    assert {key_of(m) for m in sink.messages()} == {key_of(sent)}


def test_each_recipient_has_its_own_outcome(scratch):
    sink = Sink(scratch, "--reply", "rcpt=450 4.2.2 Mailbox full", "--for", "full*",
                "--reply", "rcpt=550 5.1.1 No such user", "--for", "nobody*")
    agent = Agent(scratch, sink.smarthost() + FAST).start()
    sent = agent.send(to=["good@example.net", "full@example.net", "nobody@example.net"])
    got = delivered(sink, 2)  # the message, and the report to its sender
    original = [m for m in got if key_of(m) == key_of(sent) and b"multipart/report" not in m]
    report = [m for m in got if b"multipart/report" in m]
    assert len(original) == 1 and len(report) == 1
    envelopes = {e["sender"]: e["recipients"] for e in sink.envelopes()}
    assert envelopes["alice@example.org"] == ["good@example.net"]
    assert envelopes[""] == ["alice@example.org"]
    text = parse(report[0])
    assert text.get_content_type() == "multipart/report" and text["Auto-Submitted"] == "auto-replied"
    status_part = [p for p in text.walk() if p.get_content_type() == "message/delivery-status"][0].as_string()
    assert "nobody@example.net" in status_part and "5.1.1" in status_part and "failed" in status_part
    assert "full@example.net" not in status_part and "good@example.net" not in status_part
    words = [p for p in text.walk() if p.get_content_type() == "text/plain"][0].get_content()
    assert "No such user" in words and "nobody@example.net" in words
    left = messages(agent)
    assert len(left) == 1
    shown = agent.ctl("show", left[0]["id"]).stdout
    assert "full@example.net" in shown and "Mailbox full" in shown
    history = agent.ctl("history").stdout
    assert "good@example.net" in history and "nobody@example.net" in history


def test_a_bounce_about_a_bounce_is_never_made(scratch):
    sink = Sink(scratch, "--reply", "rcpt=550 5.1.1 No such user")
    agent = Agent(scratch, sink.smarthost() + FAST).start()
    agent.send()
    until(lambda: " kept " in agent.log(), lambda: agent.log())
    assert agent.log().count(" bounced ") == 1  # the message; the report about it is kept
    assert not sink.messages()
    report, = messages(agent)
    assert "nobody could be given" in agent.ctl("why", report["id"]).stdout
    assert "1 report that nobody could be given" in agent.ctl("status").stdout
    agent.ctl("remove", "--yes", report["id"])
    assert not messages(agent)


def test_a_report_that_fails_goes_to_the_postmaster(scratch):
    no = ("--reply", "rcpt=550 5.1.1 No such user", "--for")
    sink = Sink(scratch, *no, "bob@*", *no, "alice@*")
    agent = Agent(scratch, sink.smarthost() + FAST + 'postmaster = "pm@example.org"\n').start()
    agent.send()
    report = delivered(sink)[0]
    assert b"To: <pm@example.org>" in report and b"alice@example.org" in report
    assert sink.envelopes()[0]["recipients"] == ["pm@example.org"]
    until(lambda: not messages(agent), lambda: agent.log())


def test_a_wrong_certificate_is_named_and_nothing_is_sent(scratch):
    sink, other = Sink(scratch), Sink(scratch, name="other")
    agent = Agent(scratch, sink.smarthost(tls_ca=str(other.ca)) + FAST).start()
    sent = agent.send()
    text = says(agent, "certificate")
    assert "sink" in text
    assert "certificate" in status(agent).lower()
    assert not sink.messages()
    agent.configure(sink.smarthost() + FAST)
    agent.ctl("reload")
    assert key_of(delivered(sink)[0]) == key_of(sent)


def test_a_certificate_for_another_name_is_named(scratch):
    sink = Sink(scratch)
    agent = Agent(scratch, sink.smarthost(tls_name="smtp.example.com") + FAST).start()
    agent.send()
    text = says(agent, "certificate", "smtp.example.com")
    assert "localhost" in text, text  # the name it has
    assert not sink.messages()


def test_missing_starttls_never_leads_to_clear_text(scratch):
    sink = Sink(scratch, "--no-starttls")
    agent = Agent(scratch, sink.smarthost() + FAST).start()
    agent.send()
    says(agent, "starttls")
    assert not sink.messages() and "bounced" not in agent.log()


def test_a_silent_smart_host_holds_up_nobody_else(scratch):
    silent = Sink(scratch, "--silent", name="silent", tls="none", auth=None)
    sink = Sink(scratch, tls="none", auth=None)
    config = silent.smarthost("silent") + sink.smarthost("sink") + FAST
    route = 'route "s" { to = {"*@silent.example"} via = {"silent"} }\nroute "rest" { via = {"sink"} }'
    agent = Agent(scratch, config, route=route).start()
    for n in range(10):
        agent.send(to=[f"user{n}@silent.example"])
    sent = [agent.send() for _ in range(20)]
    assert sorted(map(key_of, delivered(sink, 20))) == sorted(map(key_of, sent))
    until(lambda: "greeting" in status(agent).lower() or "silent" in status(agent), lambda: status(agent))
    until(lambda: re.search(r"answer|greeting|timed out|in time", why(agent, messages(agent)[0]["id"])),
          lambda: why(agent, messages(agent)[0]["id"]))
    assert len(messages(agent)) == 10


def test_a_failing_smart_host_is_passed_over_for_the_next(scratch):
    sink = Sink(scratch)
    config = smarthost("first", host="127.0.0.1", port=free_port(), tls="none") + sink.smarthost("second") + FAST
    agent = Agent(scratch, config, route='route "rest" { via = {"first", "second"} }').start()
    sent = [agent.send() for _ in range(10)]
    assert sorted(map(key_of, delivered(sink, 10))) == sorted(map(key_of, sent))


def test_mail_without_a_route_waits_and_follows_a_reload(scratch):
    sink = Sink(scratch)
    agent = Agent(scratch, sink.smarthost() + FAST, route='route "x" { to = {"*@elsewhere.example"} via = {"sink"} }')
    agent.start()
    sent = agent.send()
    says(agent, "route")
    assert "route" in status(agent).lower()
    agent.configure(sink.smarthost() + FAST)
    answer = agent.ctl("reload").stdout
    assert "1" in answer, answer
    assert key_of(delivered(sink)[0]) == key_of(sent)


def test_a_421_at_the_greeting_is_the_hosts_trouble(scratch):
    sink = Sink(scratch, "--reply", "greeting=421 4.3.2 Too busy", "--times", "2")
    agent = Agent(scratch, sink.smarthost() + FAST).start()
    sent = agent.send()
    assert key_of(delivered(sink)[0]) == key_of(sent)
    assert "bounced" not in agent.log()


def test_a_554_at_the_greeting_never_bounces(scratch):
    sink = Sink(scratch, "--reply", "greeting=554 5.7.1 Go away")
    agent = Agent(scratch, sink.smarthost() + FAST).start()
    agent.send()
    says(agent, "go away")
    assert "bounced" not in agent.log()


def test_a_mail_that_waits_too_long_is_warned_about_and_then_given_up(scratch):
    up = Sink(scratch, name="up", tls="none", auth=None)
    config = smarthost("down", host="127.0.0.1", port=free_port(), tls="none") + up.smarthost("up") + FAST
    route = ('route "d" { to = {"*@down.example"} via = {"down"} lifetime = 6s warn_after = 2s }\n'
             'route "rest" { via = {"up"} }')
    agent = Agent(scratch, config, route=route).start()
    agent.send(to=["bob@down.example"])
    got = delivered(up, 2)
    parts = [parse(m) for m in got]
    actions = [re.search(r"Action: (\w+)", p.as_string()).group(1) for p in parts]
    assert sorted(actions) == ["delayed", "failed"], actions
    assert all(p["To"].find("alice@example.org") >= 0 for p in parts)
    until(lambda: not messages(agent), lambda: agent.ctl("list").stdout)


def test_garbage_in_place_of_the_final_reply_never_counts_as_delivered(scratch):
    sink = Sink(scratch, "--raw", r"dot=not a reply\r\n", "--times", "1", tls="none", auth=None)
    agent = Agent(scratch, sink.smarthost() + FAST).start()
    sent = agent.send()
    until(lambda: " doubtful " in agent.log(), lambda: agent.log())
    assert " delivered " not in agent.log()
    agent.ctl("flush", "--all", "--yes")
    until(lambda: not messages(agent), lambda: agent.log())
    assert {key_of(m) for m in sink.messages()} == {key_of(sent)}


def test_a_poor_server_without_extensions_gets_the_mail(scratch):
    sink = Sink(scratch, "--reply", "ehlo=502 5.5.1 What", tls="none", auth=None)
    agent = Agent(scratch, sink.smarthost() + FAST).start()
    sent = [agent.send() for _ in range(3)]
    assert sorted(map(key_of, delivered(sink, 3))) == sorted(map(key_of, sent))


def test_pause_and_resume_are_kept_across_a_restart(scratch):
    sink = Sink(scratch)
    agent = Agent(scratch, sink.smarthost() + FAST).start()
    agent.ctl("pause", "sink", "--yes")
    sent = agent.send()
    says(agent, "paused")
    agent.stop()
    agent.start()
    says(agent, "paused")
    assert "paused" in status(agent).lower() and not sink.messages()
    agent.ctl("resume", "sink", "--yes")
    assert key_of(delivered(sink)[0]) == key_of(sent)


def test_hold_release_and_remove(scratch):
    sink = Sink(scratch)
    agent = Agent(scratch, sink.smarthost() + FAST).start()
    agent.ctl("pause", "--yes")
    kept, gone = agent.send(), agent.send(sender="carol@example.org")
    agent.ctl("hold", "--all", "--yes")
    agent.ctl("resume", "--yes")
    shown = why(agent, messages(agent)[0]["id"])
    assert "hold" in shown or "held" in shown, shown
    dry = agent.ctl("remove", "--from", "carol@*", "--dry-run")
    assert "1" in dry.stdout and len(messages(agent)) == 2
    agent.ctl("remove", "--from", "carol@*", "--yes")
    assert len(messages(agent)) == 1
    agent.ctl("release", "--all", "--yes")
    assert key_of(delivered(sink)[0]) == key_of(kept)
    assert key_of(gone) not in map(key_of, sink.messages())
    assert "removed" in agent.ctl("history").stdout


def test_cat_gives_the_bytes_as_they_will_be_sent(scratch):
    sink = Sink(scratch)
    agent = Agent(scratch, sink.smarthost() + FAST).start()
    agent.ctl("pause", "--yes")
    agent.send(message(body="über\r\n"))
    raw = subprocess.run([str(BUILD / "sendoff"), "--config", str(agent.file), "cat", only(agent)],
                         capture_output=True, timeout=30).stdout
    agent.ctl("resume", "--yes")
    assert delivered(sink)[0] == raw
