"""Clients that want to send what is not theirs, or to keep the agent from serving others. Each has a limit, memory stays
bounded, and a normal client beside them is served as if they were not there.

Nothing here measures speed: a normal client has a generous deadline. `tests/bench/idle.py` has the figures.
"""

import contextlib
import os
import re
import resource
import select
import smtplib
import socket
import threading
import time

import pytest

from harness import Agent, Sink, free_port, message, until
from test_hostile import certificate, converse, memory_kib, queued  # noqa: F401

GENEROUS_S = 10  # for one message of a client that does nothing wrong


def is_sanitized(agent):
    return "libasan" in open(f"/proc/{agent.process.pid}/maps").read()  # it keeps what was freed


def served(agent, port=None):
    """One message of a client that does nothing wrong, within its deadline."""
    begin = time.monotonic()
    with smtplib.SMTP("127.0.0.1", port or agent.port, timeout=GENEROUS_S) as smtp:
        smtp.sendmail("alice@example.org", ["bob@example.net"], message())
    assert time.monotonic() - begin < GENEROUS_S


# ---- the end of a message, and only it

SMUGGLED = (b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n")
ENDS = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\n.\r", b"\r\n.\r", b"\r.\n", b"\r\r\n.\r\r\n",
        b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n. \r\n", b"\r\n.\t\r\n", b"\r\n .\r\n", b"\r\n..\r\n", b"\n\n.\n\n",
        b"\r\n.\r\0\n", b"\x0b.\x0b", b"\x0c.\x0c", b"\xe2\x80\xa8.\xe2\x80\xa8", b"\xc2\x85.\xc2\x85", b"\r\n\x2e\x20\x08\r\n",
        b"\n\r.\n\r", b"\r\n.\x1a\r\n"]


@pytest.mark.parametrize("rule", ["normalize", "refuse"])
def test_only_one_thing_ends_a_message(scratch, rule):
    sink = Sink(scratch)
    agent = Agent(scratch, sink.smarthost())
    agent.file.write_text(agent.file.read_text().replace('"127.0.0.1:0"}', f'"127.0.0.1:0"}} bare_newline = {rule}'))
    agent.start()
    accepted = 0
    for end in ENDS:
        said = converse(agent, b"EHLO x\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n"
                        b"Subject: outer\r\n\r\nbody" + end + SMUGGLED + b"QUIT\r\n")
        # One message, with all of it in its body, or none.
        count = said.count(b" queued as ")
        assert count <= 1 and said.count(b"\r\n354 ") == 1, (end, said)
        assert said.rstrip().split(b"\r\n")[-1].startswith(b"221 "), (end, said)
        accepted += count
    agent.drain()
    assert len(sink.messages()) == accepted
    if rule == "normalize":
        assert accepted >= len(ENDS) - 2
    for envelope in sink.envelopes():
        assert envelope["sender"] == "alice@example.org" and envelope["recipients"] == ["bob@example.net"]
    for raw in sink.messages():
        assert b"Subject: smuggled" in raw
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)", raw), "a bare CR or LF was passed on"


def test_chunks_end_where_they_say(scratch):
    agent = Agent(scratch).start()
    begin = b"EHLO x\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.net>\r\n"
    inside = b"Subject: outer\r\n\r\nbody\r\n.\r\n" + SMUGGLED
    said = converse(agent, begin + b"BDAT %d LAST\r\n" % len(inside) + inside + b"QUIT\r\n")
    assert said.count(b" queued as ") == 1 and b"354" not in said
    # DATA and BDAT do not mix, and what stood in the chunk of a refused one is never run.
    said = converse(agent, begin + b"BDAT 5\r\nA: b\nDATA\r\n" + b"BDAT %d LAST\r\n" % len(SMUGGLED) + SMUGGLED + b"QUIT\r\n")
    assert b"503 " in said and b"354" not in said
    # No transaction is open: the chunk is read to its end all the same.
    said = converse(agent, b"EHLO x\r\nBDAT %d LAST\r\n" % len(SMUGGLED) + SMUGGLED + b"QUIT\r\n")
    assert b"queued" not in said and b"354" not in said
    assert all(row["sender"] == "alice@example.org" for row in queued(agent))


@pytest.mark.parametrize("size", ["18446744073709551616", "18446744073709551615", "9223372036854775808", "4294967296",
                                  "99999999999999999999999999999999", "-1", "+5", "0x10", "1e3", "", " ", "5 LAST x",
                                  "5LAST", "５"])
def test_sizes_of_chunks_that_make_no_sense(scratch, size):
    agent = Agent(scratch).start()
    said = converse(agent, b"EHLO x\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.net>\r\nBDAT " +
                    size.encode() + b"\r\n" + SMUGGLED * 3 + b"QUIT\r\n")
    assert b"queued" not in said and b"354" not in said, said
    # Refused; or it is a number, and all that follows is of that chunk.
    assert re.search(rb"\r\n(5\d\d|421) ", said) or said.endswith(b"\r\n250 2.1.5 Ok\r\n"), said
    assert not queued(agent)
    served(agent)


def test_a_chunk_that_does_not_come_whole_is_no_message(scratch):
    agent = Agent(scratch).start()
    said = converse(agent, b"EHLO x\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.net>\r\n"
                    b"BDAT 7\r\nA: b\r\n\nBDAT 1000000 LAST\r\nonly this")
    assert b"queued" not in said
    until(lambda: agent.json("status")[0]["sessions"] == 0, "the session's end")
    assert not queued(agent)


# ---- names and addresses that are to become header fields

INJECTIONS = [b"x\rInjected: 1", b"x\nInjected: 1", b"x\r\n Injected: 1", b"x\0Injected: 1", b"x)\x0b(y", b'x" (y', b"(((((",
              b"\\", b"x\xc2\x85Injected: 1", b"x\xe2\x80\xa8Injected: 1", b"[127.0.0.1]\x08", b"x" * 600, b"\x1b[2J"]


def test_nothing_a_client_says_becomes_a_header_of_its_own(scratch):
    sink = Sink(scratch)
    agent = Agent(scratch, sink.smarthost() + "privacy = full\n").start()
    for name in INJECTIONS:
        converse(agent, b"EHLO " + name + b"\r\nEHLO fine.example\r\nMAIL FROM:<alice@example.org>\r\n"
                 b"RCPT TO:<bob@example.net>\r\nDATA\r\nSubject: x\r\nX-Mine: y\r\n\r\nx\r\n.\r\nQUIT\r\n")
        converse(agent, b"EHLO " + name + b"\r\nMAIL FROM:<alice@example.org>\r\n"
                 b"RCPT TO:<bob@example.net>\r\nDATA\r\nSubject: x\r\nX-Mine: y\r\n\r\nx\r\n.\r\nQUIT\r\n")
        for address in (b"<" + name + b"@example.org>", b'<"' + name + b'"@example.org>', b"<a@" + name + b">"):
            said = converse(agent, b"EHLO fine.example\r\nMAIL FROM:" + address + b"\r\nRCPT TO:" + address +
                            b"\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nSubject: x\r\nX-Mine: y\r\n\r\nx\r\n.\r\nQUIT\r\n")
            assert b"221 " in said or b"421 " in said, name
    agent.drain()
    assert sink.messages()
    for raw in sink.messages():
        head = raw.split(b"\r\n\r\n")[0]
        names = [line.split(b":")[0] for line in head.split(b"\r\n") if line[:1] not in (b" ", b"\t")]
        assert set(names) <= {b"Received", b"Date", b"Message-ID", b"From", b"Subject", b"X-Mine"}, head
        assert not re.search(rb"[\0-\x08\x0b\x0c\x0e-\x1f]", head), head
    assert "\x1b" not in agent.log() and "\nInjected" not in agent.log()


@pytest.mark.parametrize("line", [
    "MAIL FROM:<a@example.org> SIZE=1 SIZE=2", "MAIL FROM:<a@example.org> FOO=bar", "MAIL FROM:<a@example.org> BODY=9BIT",
    "MAIL FROM:<a@example.org> SIZE=-1", "MAIL FROM:<a@example.org> SIZE=99999999999999999999", "MAIL FROM:<a@example.org>SIZE=1",
    "MAIL FROM:<a@example.org> ENVID=+0D+0AInjected", "MAIL FROM:<a@example.org> RET=BOTH", "MAIL FROM:<a@example.org> BY=;R",
    "MAIL FROM:<a@example.org> HOLDFOR=-1", "MAIL FROM:<a@example.org> HOLDFOR=1 HOLDUNTIL=2027-01-01T00:00:00Z",
    "MAIL FROM:<a@example.org> MT-PRIORITY=10", "MAIL FROM:<a@example.org> AUTH=<>\t", "MAIL FROM:<a\x01b@example.org>",
    "MAIL FROM:<a@example.org> BODY=7BIT BODY=8BITMIME", "MAIL FROM:<\x7f@example.org>", "MAIL FROM:<a@exa\x00mple.org>",
])
def test_parameters_that_make_no_sense_open_nothing(scratch, line):
    agent = Agent(scratch).start()
    said = converse(agent, b"EHLO x\r\n" + line.encode("latin-1") + b"\r\nRCPT TO:<bob@example.net>\r\nQUIT\r\n")
    answers = [a for a in said.split(b"\r\n") if a[3:4] == b" "]
    assert answers[2][:1] == b"5", (line, said)
    assert answers[3].startswith(b"503 "), (line, said)
    assert "\nInjected" not in agent.log()


# ---- those who keep a place and do nothing with it


def test_a_client_of_one_byte_a_second_is_cut_off(scratch):
    agent = Agent(scratch, "limits { command_timeout = 2s data_timeout = 2s }").start()
    ends = {}

    def drip(name, begin):
        with socket.create_connection(("127.0.0.1", agent.port), timeout=60) as s:
            s.recv(1000)
            s.sendall(begin)
            started = time.monotonic()
            with contextlib.suppress(OSError):
                while time.monotonic() - started < 60:
                    s.sendall(b"x")
                    if select.select([s], [], [], 0.5)[0] and b"354" not in (got := s.recv(1000)) and not got:
                        break
            ends[name] = time.monotonic() - started

    threads = [threading.Thread(target=drip, args=(name, begin)) for name, begin in (
        ("before EHLO", b""), ("a command", b"EHLO x\r\n"), ("MAIL", b"EHLO x\r\nMAIL FROM:<a@example.org>\r\n"))]
    for thread in threads:
        thread.start()
    served(agent)
    for thread in threads:
        thread.join(90)
    assert len(ends) == 3 and max(ends.values()) < 50, ends
    until(lambda: agent.json("status")[0]["sessions"] == 0, "the sessions' end")


def test_a_flood_of_half_open_handshakes_and_headers(scratch, certificate):
    agent = Agent(scratch, "limits { connections = 1000 connections_per_client = 900 }")
    secure, balanced = free_port(), free_port()
    agent.file.write_text(agent.file.read_text() + f'''
listener "secure" {{ address = {{"127.0.0.1:{secure}"}} tls = implicit certificate = "{certificate}/cert.pem" key = "{certificate}/key.pem" }}
listener "balanced" {{ address = {{"127.0.0.1:{balanced}"}} proxy = {{"127.0.0.1"}} }}
''')
    agent.start()
    before = memory_kib(agent)
    flood = [socket.create_connection(("127.0.0.1", port)) for port in [secure, balanced] * 300]
    for s in flood[::3]:
        s.sendall(b"\x16" if s.getpeername()[1] == secure else b"PROXY TCP4 1")
    until(lambda: agent.json("status")[0]["sessions"] >= 600, "the flood")
    served(agent)
    if not is_sanitized(agent):
        assert memory_kib(agent) < before + 600 * 60
    # Those that never finish their header are gone after its deadline.
    until(lambda: agent.json("status")[0]["sessions"] <= 302, "the end of those without a header", 30)
    assert "no PROXY header came in time" in agent.log()
    for s in flood:
        s.close()
    until(lambda: agent.json("status")[0]["sessions"] == 0, "the sessions' end")
    served(agent)


def test_when_all_places_are_taken_the_local_socket_has_some_left(scratch):
    agent = Agent(scratch, "limits { connections = 50 connections_per_client = 100 }").start()
    taken = [socket.create_connection(("127.0.0.1", agent.port)) for _ in range(60)]
    until(lambda: agent.json("status")[0]["sessions"] >= 45, "all places")
    answers = [s.recv(100)[:4] for s in taken]
    assert answers.count(b"421 ") >= 10
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(str(agent.socket))
        assert s.recv(100).startswith(b"220 ")
    for s in taken:
        s.close()


IDLE = int(os.environ.get("E2E_IDLE", "1000"))
SLOW = int(os.environ.get("E2E_SLOW", "200"))


def test_idle_and_slow_clients_beside_normal_ones(scratch):
    wanted = IDLE + SLOW + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"needs {wanted} descriptors, this machine allows {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    agent = Agent(scratch, f"limits {{ connections = {2 * wanted} connections_per_client = {2 * wanted} }}").start()
    served(agent)
    before = memory_kib(agent)
    clients = [socket.create_connection(("127.0.0.1", agent.port)) for _ in range(IDLE + SLOW)]
    until(lambda: agent.json("status")[0]["sessions"] >= IDLE + SLOW, "all of them", 120)
    stop = threading.Event()

    def dribble():
        slow = clients[:SLOW]
        for s in slow:
            s.sendall(b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
        while not stop.is_set():
            for s in slow:
                with contextlib.suppress(OSError):
                    s.send(b"x")
            stop.wait(1)

    thread = threading.Thread(target=dribble)
    thread.start()
    try:
        for _ in range(20):
            served(agent)
        during = memory_kib(agent)
        if not is_sanitized(agent):
            assert during < before + (IDLE + SLOW) * 6
    finally:
        stop.set()
        thread.join()
        for s in clients:
            s.close()
    until(lambda: agent.json("status")[0]["sessions"] == 0, "the sessions' end", 120)
    if not is_sanitized(agent):
        until(lambda: memory_kib(agent) < before + (during - before) // 2, "that memory is given back", 60)


def test_an_endless_message_is_read_to_its_end_in_little_memory(scratch):
    agent = Agent(scratch, queue="max_message_size = 10M").start()
    served(agent)
    before = memory_kib(agent)
    for begin, end in ((b"DATA\r\n", b"\r\n.\r\n"), (b"BDAT 40000000 LAST\r\n", b"")):
        said = converse(agent, b"EHLO x\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.net>\r\n" + begin +
                        b"x" * 40000000 + end + SMUGGLED + b"QUIT\r\n")
        assert b"552 5.3.4 " in said
        assert said.rstrip().endswith(b"Goodbye")
    if not is_sanitized(agent):
        assert memory_kib(agent) < before + 8192
    assert {row["sender"] for row in queued(agent)} <= {"alice@example.org", "evil@example.org"}
