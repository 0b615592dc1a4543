"""The sink offers what the agent's listeners offer, less what it is told to leave away, and writes down what was asked."""

import json
import signal
import smtplib
import ssl
import time

import pytest

from harness import Sink, until

KEYWORDS = ["PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES", "STARTTLS", "AUTH", "SMTPUTF8", "DSN", "CHUNKING",
            "BINARYMIME", "REQUIRETLS", "MT-PRIORITY", "FUTURERELEASE", "DELIVERBY", "LIMITS"]
NEEDS = {"BINARYMIME": "CHUNKING", "SMTPUTF8": "8BITMIME"}


def connect(sink):
    context = ssl.create_default_context(cafile=sink.ca)
    client = smtplib.SMTP("localhost", sink.port, timeout=30)
    client.ehlo("client.example")
    if client.has_extn("STARTTLS"):
        client.starttls(context=context)
        client.ehlo("client.example")
    return client


def test_it_offers_everything(scratch):
    sink = Sink(scratch)
    with smtplib.SMTP("localhost", sink.port, timeout=30) as clear:
        clear.ehlo("client.example")
        assert {k.upper() for k in clear.esmtp_features} == set(KEYWORDS) - {"AUTH", "REQUIRETLS"}
    with connect(sink) as client:
        assert {k.upper() for k in client.esmtp_features} == set(KEYWORDS) - {"STARTTLS"}


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_it_leaves_away_what_it_is_told(scratch, keyword):
    sink = Sink(scratch, "--without", keyword)
    gone = {keyword} | {k for k, needed in NEEDS.items() if needed == keyword}
    with connect(sink) as client:
        offered = {k.upper() for k in client.esmtp_features}
    if keyword == "STARTTLS":
        assert "STARTTLS" not in offered
    else:
        assert offered == set(KEYWORDS) - {"STARTTLS"} - gone


def test_it_writes_down_what_was_asked(scratch):
    sink = Sink(scratch)
    with connect(sink) as client:
        client.login("me", "secret")
        code, text = client.mail("me@example.org", [
            "SMTPUTF8", "BODY=BINARYMIME", "RET=HDRS", "ENVID=a+20b", "MT-PRIORITY=-2", "HOLDFOR=60", "BY=120;RT",
            "REQUIRETLS"])
        assert (code, text) == (250, b"2.1.0 Ok, priority -2")
        assert client.rcpt("you@example.net", ["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;a+2Bb@example.net"])[0] == 250
        client.send(b"BDAT 7 LAST\r\n\0QUIT\r\n")
        assert client.getreply()[0] == 250
    envelope, = sink.envelopes()
    assert envelope["rcpts"] == [{"address": "you@example.net", "notify": "SUCCESS,DELAY",
                                  "orcpt": "rfc822;a+b@example.net"}]
    want = {"smtputf8": True, "body": "binarymime", "chunked": True, "requiretls": True, "ret": "HDRS", "envid": "a b",
            "priority": -2, "hold_for": 60, "hold_until": "", "by": "120;RT", "protocol": "UTF8SMTPSA"}
    assert {key: envelope[key] for key in want} == want
    assert sink.messages() == [b"\0QUIT\r\n"]


def test_a_rule_about_data_is_also_about_chunks(scratch):
    sink = Sink(scratch, "--reply", "data=451 4.3.0 later", "--times", "1", auth=None)
    with connect(sink) as client:
        for want in (451, 250):
            client.mail("me@example.org")
            client.rcpt("you@example.net")
            client.send(b"BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nRSET\r\n")
            assert [client.getreply()[0], client.getreply()[0]] == [want, want]
    assert sink.messages() == [b"QUIT\r\nRSET\r\n"]


def test_it_tells_its_counts_when_asked_and_goes_on(scratch):
    sink = Sink(scratch, "--json", tls="none", auth=None)

    def counts():
        return [json.loads(line) for line in sink.process.text().splitlines() if line.startswith("{")]

    def send():
        with smtplib.SMTP("127.0.0.1", sink.port, timeout=30) as client:
            client.sendmail("a@example.org", ["b@example.net", "c@example.net"], b"Subject: x\r\n\r\nhello\r\n")

    sink.process.send_signal(signal.SIGUSR1)
    first, = until(counts, "the counts")
    assert (first["messages"], first["first_at_ms"], first["last_at_ms"]) == (0, 0, 0)
    begin = int(time.time() * 1000)
    send()
    send()
    sink.process.send_signal(signal.SIGUSR1)
    _, second = until(lambda: len(counts()) == 2 and counts(), "the counts again")
    assert (second["messages"], second["recipients"]) == (2, 4)
    assert begin <= second["first_at_ms"] <= second["last_at_ms"] <= time.time() * 1000
