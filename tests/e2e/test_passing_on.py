"""What a client demands of a message reaches the next hop, or what becomes of it where the hop cannot: DSN, SMTPUTF8,
binary mail, REQUIRETLS, priorities, times; against our own sink and against Debian's Postfix."""

import base64
import email
import os
import quopri
import re
import smtplib

import pytest
from harness import Agent, Sink, free_port, message, until, without_trace
from postfix import Postfix
from test_smarthosts import postfix_host
from test_submission import certificate, context, listener, tls_keys  # noqa: F401


def secured(agent):
    smtp = smtplib.SMTP("localhost", agent.secure_port, timeout=30)
    smtp.starttls(context=context(agent.certificate))
    return smtp


def submit(agent, mail, *parameters, sender="alice@example.org", to=("bob@example.net",), bdat=False):
    """One transaction with parameters of MAIL; `to` may hold (address, parameters)."""
    with secured(agent) if "REQUIRETLS" in parameters else agent.smtp() as smtp:
        smtp.ehlo("client.example.org")
        smtp.command_encoding = "utf-8"
        for line in [f"MAIL FROM:<{sender}> " + " ".join(parameters),
                     *("RCPT TO:<%s> %s" % (t if isinstance(t, tuple) else (t, "")) for t in to)]:
            code, text = smtp.docmd(line.rstrip())
            assert code == 250, (line, code, text)
        if bdat:
            smtp.send(b"BDAT %d LAST\r\n" % len(mail) + mail)
            code, text = smtp.getreply()
        else:
            code, text = smtp.data(mail)
        assert code == 250, (code, text)
        return re.search(rb"queued as ([0-9a-z]{13})", text).group(1).decode()


def world(scratch, *options, tls="starttls", certificate=None, **keys):  # noqa: F811
    sink = Sink(scratch, *options, tls=tls)
    agent = Agent(scratch, sink.smarthost(**keys))
    if certificate:  # only under TLS is REQUIRETLS offered
        agent.secure_port = listener(agent, "secure", tls_keys(certificate, "starttls"))
        agent.certificate = certificate
    return sink, agent.start()


def history(agent, queue_id):
    return [h for h in agent.json("history") if h.get("type") == "history" and h["id"] == queue_id]


def arrived(sink, count):
    until(lambda: len(sink.envelopes()) >= count, lambda: sink.process.text())
    return sink.envelopes()


def report_to(sink, address):
    """The reports that arrived for somebody, parsed."""
    got = []
    for envelope in sink.envelopes():
        if envelope["sender"] == "" and envelope["recipients"] == [address]:
            got.append(email.message_from_bytes((sink.maildir / "new" / envelope["file"].split("/")[-1]).read_bytes()))
    return got


def status_of(report):
    """The per-recipient fields of its message/delivery-status."""
    part = [p for p in report.walk() if p.get_content_type().endswith("delivery-status")][0]
    return part.get_payload()[1]


def test_everything_that_is_offered_is_passed_on(scratch, certificate):  # noqa: F811
    sink, agent = world(scratch, certificate=certificate)
    submit(agent, message(), "RET=HDRS", "ENVID=QQ+2B314159", "MT-PRIORITY=3", "BY=3600;NT", "REQUIRETLS",
           to=[("bob@example.net", "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;first+2Bone@example.net"),
               ("carol@example.net", "NOTIFY=NEVER"), "dave@example.net"])
    agent.drain()
    got = [e for e in arrived(sink, 1) if e["sender"]][0]
    assert got["ret"] == "HDRS" and got["envid"] == "QQ+314159" and got["requiretls"] is True
    assert int(got["priority"]) == 3
    seconds, mode = got["by"].split(";")
    assert 3500 < int(seconds) <= 3600 and mode == "NT"
    rcpts = {r["address"]: (r["notify"], r["orcpt"]) for r in got["rcpts"]}
    assert rcpts == {"bob@example.net": ("SUCCESS,DELAY", "rfc822;first+one@example.net"),
                     "carol@example.net": ("NEVER", ""), "dave@example.net": ("", "")}


def test_without_dsn_we_say_that_it_was_relayed(scratch):
    sink, agent = world(scratch, "--without", "DSN")
    submit(agent, message(), "ENVID=abc", to=[("bob@example.net", "NOTIFY=SUCCESS ORCPT=rfc822;old@example.net"),
                                              "carol@example.net"])
    agent.drain()
    arrived(sink, 2)
    report, = report_to(sink, "alice@example.org")
    status = status_of(report)
    assert status["Action"] == "relayed" and status["Status"].startswith("2.")
    assert status["Original-Recipient"] == "rfc822; old@example.net"
    assert "Original-Envelope-Id: abc" in report.as_string()
    assert "carol" not in report.as_string().split("rfc822-headers")[0].split("delivery-status")[-1]


def test_with_dsn_the_next_hop_tells_and_we_do_not(scratch):
    sink, agent = world(scratch)
    submit(agent, message(), to=[("bob@example.net", "NOTIFY=SUCCESS")])
    agent.drain()
    assert len(sink.envelopes()) == 1


def test_notify_never_and_success_only_hear_of_no_failure(scratch):
    sink, agent = world(scratch, "--reply", "rcpt=550 5.1.1 no such user", "--for", "bob@*")
    for notify in ("NEVER", "SUCCESS", "DELAY"):
        submit(agent, message(), to=[("bob@example.net", "NOTIFY=" + notify)])
    submit(agent, message(), "RET=FULL", to=[("bob@example.net", "NOTIFY=FAILURE")])
    agent.drain()
    arrived(sink, 1)
    assert len(sink.envelopes()) == 1
    report, = report_to(sink, "alice@example.org")
    assert status_of(report)["Action"] == "failed"
    assert "hello" in report.get_payload()[2].as_string()  # RET=FULL


def test_requiretls_goes_nowhere_else(scratch, certificate):  # noqa: F811
    sink, agent = world(scratch, "--without", "REQUIRETLS", certificate=certificate)
    queue_id = submit(agent, message(), "REQUIRETLS")
    plain = submit(agent, message())
    # Its report requires TLS as well, and so it goes nowhere either: it is kept.
    assert agent.ctl("drain", "--timeout", "30s", check=False).returncode == 75
    record, = history(agent, queue_id)
    assert record["outcome"] == "bounced" and record["reply"].startswith("5.7.30"), record
    assert history(agent, plain)[0]["outcome"] == "delivered"
    assert len(sink.envelopes()) == 1


def test_requiretls_needs_a_proven_server(scratch, certificate):  # noqa: F811
    sink, agent = world(scratch, certificate=certificate, tls_verify="no", tls_ca=None, tls_name=None)
    queue_id = submit(agent, message(), "REQUIRETLS")
    assert agent.ctl("drain", "--timeout", "30s", check=False).returncode == 75  # the report is kept
    assert history(agent, queue_id)[0]["reply"].startswith("5.7.30")
    assert not sink.envelopes()


UMLAUTS = ("Grüße aus Köln, " * 8 + "\r\n") * 40
TEXT8 = {"MIME-Version": "1.0", "Content-Type": "text/plain; charset=utf-8", "Content-Transfer-Encoding": "8bit"}


def test_8bit_text_is_converted_where_it_must_be(scratch):
    sink, agent = world(scratch, "--without", "8BITMIME")
    sent = message(body=UMLAUTS, **TEXT8)
    submit(agent, sent, "BODY=8BITMIME")
    agent.drain()
    assert arrived(sink, 1)[0]["body"] == "7bit"
    got = without_trace(sink.messages()[0])
    assert got.isascii()
    head, body = got.split(b"\r\n\r\n", 1)
    assert b"Content-Transfer-Encoding: quoted-printable\r\n" in head + b"\r\n"
    assert quopri.decodestring(body).replace(b"\n", b"\r\n").replace(b"\r\r", b"\r") == UMLAUTS.encode()


def test_8bit_text_goes_as_it_is_where_it_may(scratch):
    sink, agent = world(scratch)
    sent = message(body=UMLAUTS, **TEXT8)
    submit(agent, sent, "BODY=8BITMIME")
    agent.drain()
    envelope = arrived(sink, 1)[0]
    assert envelope["body"] == "8bitmime" and envelope["chunked"] is False
    assert without_trace(sink.messages()[0]) == sent


BINARY = {"MIME-Version": "1.0", "Content-Type": "application/octet-stream", "Content-Transfer-Encoding": "binary"}


@pytest.mark.parametrize("size", [0, 1, 5000, 3_000_000])
def test_binary_mail_arrives_byte_for_byte_by_bdat(scratch, size):
    sink, agent = world(scratch)
    sent = message(body=b"\r\n.\r\n\n\0\r" + os.urandom(size), **BINARY)
    submit(agent, sent, "BODY=BINARYMIME", bdat=True)
    agent.send()
    agent.drain("60s")
    envelopes = arrived(sink, 2)
    binary, = [e for e in envelopes if e["body"] == "binarymime"]
    assert binary["chunked"] is True
    assert any(without_trace(m) == sent for m in sink.messages())


@pytest.mark.parametrize("missing", ["CHUNKING", "BINARYMIME"])
def test_binary_mail_is_converted_where_it_must_be(scratch, missing):
    sink, agent = world(scratch, "--without", missing)
    content = b"\r\n.\r\n\n\0\r" + os.urandom(2_000_000)
    submit(agent, message(body=content, **BINARY), "BODY=BINARYMIME", bdat=True)
    small = agent.send()
    agent.drain("60s")
    arrived(sink, 2)
    got = [m for m in sink.messages() if b"octet-stream" in m]
    head, body = without_trace(got[0]).split(b"\r\n\r\n", 1)
    assert b"Content-Transfer-Encoding: base64" in head
    assert base64.b64decode(body) == content
    assert small in map(without_trace, sink.messages())


def test_a_chunk_that_is_refused_comes_back(scratch):
    sink, agent = world(scratch, "--reply", "data=552 5.3.4 too much of it", "--times", "1")
    queue_id = submit(agent, message(body=os.urandom(2_500_000), **BINARY), "BODY=BINARYMIME", bdat=True)
    agent.drain("60s")
    assert "552 5.3.4 too much of it" in history(agent, queue_id)[0]["reply"]
    report, = report_to(sink, "alice@example.org")
    assert status_of(report)["Status"] == "5.3.4"


def test_internationalized_mail_goes_where_it_can(scratch):
    sink, agent = world(scratch)
    submit(agent, message(Subject="Grüße"), "SMTPUTF8", "BODY=8BITMIME", sender="jürgen@bücher.example",
           to=["ö@example.net"])
    agent.drain()
    got = arrived(sink, 1)[0]
    assert got["smtputf8"] is True and got["sender"] == "jürgen@bücher.example"
    assert got["recipients"] == ["ö@example.net"]


def test_internationalized_mail_does_without_smtputf8_where_ascii_suffices(scratch):
    sink, agent = world(scratch, "--without", "SMTPUTF8")
    submit(agent, message(), "SMTPUTF8", sender="alice@bücher.example", to=["bob@example.net"])
    queue_id = submit(agent, message(), "SMTPUTF8", to=["ö@example.net", "carol@example.net"])
    header = submit(agent, message(subject="Grüße"), "SMTPUTF8", "BODY=8BITMIME")
    agent.drain()
    envelopes = arrived(sink, 4)
    assert "alice@xn--bcher-kva.example" in [e["sender"] for e in envelopes]
    assert ["carol@example.net"] in [e["recipients"] for e in envelopes]
    outcomes = {h["recipient"]: h for h in history(agent, queue_id)}
    assert outcomes["ö@example.net"]["reply"].startswith("5.6.7")
    assert outcomes["carol@example.net"]["outcome"] == "delivered"
    assert history(agent, header)[0]["reply"].startswith("5.6.7")
    assert len(report_to(sink, "alice@example.org")) == 2


def test_mail_with_a_time_goes_only_where_the_time_is_kept(scratch):
    sink, agent = world(scratch, "--without", "DELIVERBY")
    queue_id = submit(agent, message(), "BY=600;R")
    submit(agent, message(), "BY=600;N", to=["carol@example.net"])
    agent.drain()
    assert history(agent, queue_id)[0]["reply"].startswith("5.3.3")
    arrived(sink, 3)
    actions = sorted(status_of(r)["Action"] for r in report_to(sink, "alice@example.org"))
    assert actions == ["failed", "relayed"]


def test_mail_comes_back_when_its_time_has_passed(scratch):
    sink, agent = world(scratch)
    agent.ctl("pause")
    queue_id = submit(agent, message(), "BY=2;R")
    until(lambda: history(agent, queue_id), "the end of its time")
    agent.ctl("resume")
    agent.drain()
    assert history(agent, queue_id)[0]["reply"].startswith("5.4.7")
    report, = report_to(sink, "alice@example.org")
    assert status_of(report)["Status"] == "5.4.7"


def test_put_off_mail_waits_says_so_and_can_be_sent_or_removed(scratch):
    sink, agent = world(scratch)
    first = submit(agent, message(), "HOLDFOR=3600")
    second = submit(agent, message(), "HOLDFOR=3600")
    why = agent.ctl("why", first).stdout
    assert "later release" in why and "sendoff flush with its id sends it at once" in why
    row = [r for r in agent.json("show", first) if r["type"] == "message"][0]
    assert row["hold_until_ms"] > row["arrival_ms"] + 3_500_000
    assert row["expires_ms"] - row["hold_until_ms"] > 4 * 86_400_000
    agent.ctl("flush")
    assert not sink.envelopes()
    agent.ctl("flush", first)
    arrived(sink, 1)
    agent.ctl("remove", "--yes", second)
    agent.drain()
    assert len(sink.envelopes()) == 1


def test_show_tells_what_was_asked_for(scratch, certificate):  # noqa: F811
    _, agent = world(scratch, certificate=certificate)
    agent.ctl("pause")
    queue_id = submit(agent, message(), "BY=7200;R", "RET=FULL", "REQUIRETLS", "MT-PRIORITY=-2",
                      to=[("bob@example.net", "NOTIFY=FAILURE,DELAY ORCPT=rfc822;b@example.org")])
    shown = agent.ctl("show", queue_id).stdout
    for words in ("by, or back", "only under TLS", "priority -2", "reports with all of it", "failure, delay",
                  "rfc822;b@example.org"):
        assert words in shown, shown
    row = [r for r in agent.json("show", queue_id) if r["type"] == "message"][0]
    assert (row["deliver_by"], row["priority"], row["ret"], row["requiretls"]) == ("return", -2, "full", True)


def test_mail_keeps_its_identitys_route_until_that_is_gone(scratch):
    sink = Sink(scratch)
    home = Sink(scratch, name="home")
    hosts = sink.smarthost() + home.smarthost("home")
    identity = 'identity "mine" { senders = {"me@example.org"} route = "own" }\n'
    rules = 'route "rest" { via = {"sink"} }\n'
    agent = Agent(scratch, hosts + identity, route=rules + 'route "own" { via = {"home"} }').start()
    agent.send(sender="me@example.org")
    agent.drain()
    arrived(home, 1)
    agent.ctl("pause")
    agent.send(sender="me@example.org")
    agent.ctl("reload")
    row = [r for r in agent.json("list") if r["type"] == "message"][0]
    assert row["route_wanted"] == "own"
    agent.configure(hosts, route=rules)
    agent.ctl("reload")
    until(lambda: "route-gone" in agent.log(), agent.log)
    agent.ctl("resume")
    agent.drain()
    assert len(home.envelopes()) == 1 and len(arrived(sink, 1)) == 1


# ---------------------------------------------------------------- Postfix


def test_postfix_tells_the_sender_itself(scratch):
    postfix = Postfix(scratch, free_port())
    agent = Agent(scratch, postfix_host(scratch, postfix)).start()
    submit(agent, message(), "RET=HDRS", "ENVID=from-here", sender="alice@example.net",
           to=[("bob@example.net", "NOTIFY=SUCCESS ORCPT=rfc822;first@example.net")])
    agent.drain()
    got = until(lambda: len(postfix.messages()) >= 2 and postfix.messages(), lambda: postfix.log())
    report, = [m for m in got if b"delivery-status" in m]
    assert b"Original-Envelope-Id: from-here" in report and b"Original-Recipient: rfc822;first@example.net" in report
    assert b"Action: delivered" in report
    agent.drain()
    assert len(postfix.messages()) == 2


def test_postfix_takes_internationalized_and_8bit_mail(scratch):
    postfix = Postfix(scratch, free_port(), smtputf8_enable="yes")
    agent = Agent(scratch, postfix_host(scratch, postfix)).start()
    submit(agent, message(subject="Grüße", body=UMLAUTS, **TEXT8), "SMTPUTF8", "BODY=8BITMIME",
           sender="jürgen@example.net", to=["ö@example.net"])
    agent.drain()
    got = until(lambda: postfix.messages(), lambda: postfix.log())[0]
    assert "Subject: Grüße".encode() in got and UMLAUTS.encode().replace(b"\r\n", b"\n") in got
    assert "to=<ö@example.net>" in postfix.whole_log()


def test_postfix_gets_binary_mail_converted(scratch):
    postfix = Postfix(scratch, free_port())  # it offers CHUNKING, but not BINARYMIME
    agent = Agent(scratch, postfix_host(scratch, postfix)).start()
    content = os.urandom(100_000)
    submit(agent, message(body=content, **BINARY), "BODY=BINARYMIME", bdat=True, sender="alice@example.net")
    agent.drain()
    got = until(lambda: postfix.messages(), lambda: postfix.log())[0]
    assert base64.b64decode(got.split(b"\n\n", 1)[1]) == content
