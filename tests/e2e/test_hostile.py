"""What the accepting side does with TLS clients, and with clients that mean harm."""

import contextlib
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import threading
import time

import pytest

from harness import Agent, Sink, free_port, message, until


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "template").write_text('cn = "localhost"\ndns_name = "localhost"\nip_address = "127.0.0.1"\n'
                                     "tls_www_server\nsigning_key\nca\ncert_signing_key\nexpiration_days = 30\n")
    for argv in (["--generate-privkey", "--key-type", "ecdsa", "--outfile", folder / "key.pem"],
                 ["--generate-self-signed", "--load-privkey", folder / "key.pem", "--template", folder / "template",
                  "--outfile", folder / "cert.pem"]):
        subprocess.run(["certtool", *map(str, argv)], check=True, capture_output=True)
    (folder / "key.pem").chmod(0o600)
    return folder


@pytest.fixture
def secure(scratch, certificate):
    """An agent with one listener for STARTTLS and one for TLS from the first byte."""
    agent = Agent(scratch)
    agent.starttls, agent.implicit = free_port(), free_port()
    text = agent.file.read_text()
    for name, port, tls in (("starttls", agent.starttls, "starttls"), ("secure", agent.implicit, "implicit")):
        text += (f'listener "{name}" {{ address = {{"127.0.0.1:{port}"}} tls = {tls} '
                 f'certificate = "{certificate}/cert.pem" key = "{certificate}/key.pem" }}\n')
    agent.file.write_text(text)
    agent.context = ssl.create_default_context(cafile=certificate / "cert.pem")
    return agent.start()


def queued(agent):
    return [row for row in agent.json("list") if row.get("type") == "message"]


def converse(agent, data, port=None, unix=False):
    """Writes all of it without waiting for answers, half-closes, and returns all that was said."""
    s = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
    s.settimeout(60)
    s.connect(str(agent.socket) if unix else ("127.0.0.1", port or agent.port))

    def write():
        with contextlib.suppress(OSError):
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)

    writer = threading.Thread(target=write)
    writer.start()
    text = b""
    with contextlib.suppress(ConnectionError):
        while piece := s.recv(65536):
            text += piece
    writer.join()
    s.close()
    return text


# ---- TLS


def test_mail_over_starttls(secure):
    raw = message(body="x" * 70 + "\r\n" * 3)
    with smtplib.SMTP("localhost", secure.starttls, timeout=20) as smtp:
        smtp.ehlo()
        assert smtp.has_extn("starttls")
        assert smtp.starttls(context=secure.context)[0] == 220
        smtp.ehlo()
        assert not smtp.has_extn("starttls")
        smtp.sendmail("alice@example.org", ["bob@example.net"], raw)
        smtp.sendmail("alice@example.org", ["bob@example.net"], message(body=os.urandom(900000).hex() + "\r\n"))
    assert len(queued(secure)) == 2
    stored = secure.ctl("cat", queued(secure)[0]["id"]).stdout
    assert "with ESMTPS" in stored
    assert smtplib.SMTP("localhost", secure.port, timeout=20).docmd("EHLO", "x")[1].find(b"STARTTLS") < 0


def test_mail_over_tls_from_the_first_byte(secure):
    with smtplib.SMTP_SSL("localhost", secure.implicit, timeout=20, context=secure.context) as smtp:
        smtp.sendmail("alice@example.org", ["bob@example.net"], message())
    assert "with ESMTPS" in secure.ctl("cat", queued(secure)[0]["id"]).stdout


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_of_tls(secure, version):
    secure.context.minimum_version = secure.context.maximum_version = version
    with smtplib.SMTP_SSL("localhost", secure.implicit, timeout=20, context=secure.context) as smtp:
        smtp.sendmail("alice@example.org", ["bob@example.net"], message())
    assert len(queued(secure)) == 1


def test_commands_behind_starttls_are_never_run(secure):
    mail = (b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nSubject: injected\r\n\r\nx\r\n.\r\n")
    said = converse(secure, b"EHLO x\r\nSTARTTLS\r\n" + mail, secure.starttls)
    assert b"\r\n421 4.7.0 " in said and b"\r\n220 " not in said.split(b"\r\n", 1)[1]
    # In a packet of its own, behind the 220: it reaches the handshake and ends it.
    with socket.create_connection(("127.0.0.1", secure.starttls)) as s:
        s.settimeout(10)
        s.recv(1000)
        s.sendall(b"EHLO x\r\n")
        s.recv(1000)
        s.sendall(b"STARTTLS\r\n")
        assert s.recv(1000).startswith(b"220 ")
        s.sendall(mail)
        rest = b""
        try:
            while piece := s.recv(1000):
                rest += piece
        except ConnectionError:
            pass
        assert b"250" not in rest
    # What was said in clear is forgotten behind the switch.
    with smtplib.SMTP("localhost", secure.starttls, timeout=20) as smtp:
        smtp.ehlo()
        smtp.starttls(context=secure.context)
        assert smtp.docmd("MAIL", "FROM:<alice@example.org>")[0] == 503
    assert not queued(secure)


def test_a_message_cut_with_its_tls_is_not_queued(secure):
    smtp = smtplib.SMTP_SSL("localhost", secure.implicit, timeout=20, context=secure.context)
    smtp.ehlo("x")
    smtp.docmd("MAIL", "FROM:<alice@example.org>")
    smtp.docmd("RCPT", "TO:<bob@example.net>")
    smtp.docmd("DATA")
    smtp.sock.sendall(b"Subject: half\r\n\r\ntext\r\n")
    os.close(smtp.sock.detach())
    until(lambda: secure.json("status")[0]["sessions"] == 0, "the session's end")
    assert not queued(secure)


def test_a_stranger_at_a_tls_listener_is_told_in_the_log(scratch, certificate):
    agent = Agent(scratch)
    port = free_port()
    agent.file.write_text(agent.file.read_text().replace('"127.0.0.0/8", ', "") +
                          f'listener "secure" {{ address = {{"127.0.0.1:{port}"}} tls = implicit '
                          f'certificate = "{certificate}/cert.pem" key = "{certificate}/key.pem" }}\n')
    agent.start()
    assert converse(agent, b"EHLO x\r\n", port) == b""
    assert b"554 5.7.1 " in converse(agent, b"EHLO x\r\n")
    assert agent.process.text().count("turned-away") == 2


def test_the_end_does_not_wait_for_handshakes(secure):
    half = socket.create_connection(("127.0.0.1", secure.starttls))
    half.recv(1000)
    half.sendall(b"EHLO x\r\n")
    half.recv(1000)
    half.sendall(b"STARTTLS\r\n")
    assert half.recv(1000).startswith(b"220 ")
    other = socket.create_connection(("127.0.0.1", secure.implicit))
    until(lambda: secure.json("status")[0]["sessions"] == 2, "both sessions")
    begin = time.monotonic()
    secure.process.send_signal(signal.SIGTERM)
    assert secure.process.wait(5) == 0
    assert time.monotonic() - begin < 3
    half.close()
    other.close()


# ---- clients that mean harm


def transaction(n, rcpts=1):
    return (f"MAIL FROM:<a{n}@example.org>\r\n" + "".join(f"RCPT TO:<r{i}@example.net>\r\n" for i in range(rcpts)) +
            f"DATA\r\nSubject: {n}\r\n\r\n..dot\r\ntext {n}\r\n.\r\n").encode()


@pytest.mark.parametrize("unix", [False, True])
def test_many_messages_in_one_breath(scratch, unix):
    agent = Agent(scratch).start()
    count = 400
    said = converse(agent, b"EHLO x\r\n" + b"".join(transaction(n) for n in range(count)) + b"QUIT\r\n", unix=unix)
    assert said.count(b" queued as ") == count
    assert said.endswith(b"221 2.0.0 Goodbye\r\n")
    assert agent.json("status")[0]["messages"] == count


def test_a_hundred_thousand_recipients(scratch):
    agent = Agent(scratch).start()
    said = converse(agent, b"EHLO x\r\n" + transaction(1, 100000) + b"QUIT\r\n")
    assert said.count(b"\r\n452 4.5.3 ") == 99000
    assert said.count(b" queued as ") == 1
    assert queued(agent)[0]["recipients"] == 1000


def memory_kib(agent):
    status = open(f"/proc/{agent.process.pid}/status").read()
    return int(status.split("RssAnon:")[1].split()[0])


def test_noise_never_ends_the_agent_nor_fills_its_memory(scratch):
    agent = Agent(scratch).start()
    agent.send()
    before = memory_kib(agent)
    for data in (b"\0" * 3000000, b"A" * 3000000, b"\r" * 100000, b"\n" * 100000, os.urandom(300000),
                 b"EHLO x\r\n" + b"NOOP\r\n" * 100000, b"EHLO x\r\n" + b"RSET\r\n" * 100000,
                 b"EHLO " + b"x" * 5000 + b"\r\n", b"EHLO x\r\nMAIL FROM:<" + b"a" * 100000 + b">\r\n",
                 b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" + b"\0" * 2000000,
                 b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" + b"A" * 2000000,
                 b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nA: b\r\n" * 1000,
                 b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" + b"x: y\r\n" * 300000,
                 b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(600)):
        converse(agent, data)
        converse(agent, data, unix=True)
        assert agent.process.is_alive(), data[:60]
    until(lambda: agent.json("status")[0]["sessions"] == 0, "the sessions' end")
    assert len(queued(agent)) == 1
    if "libasan" not in open(f"/proc/{agent.process.pid}/maps").read():  # it keeps what was freed
        assert memory_kib(agent) < before + 8192


def test_whoever_reads_nothing_holds_up_nobody(scratch):
    agent = Agent(scratch, "limits { connections = 100 connections_per_client = 60 }").start()
    agent.send()
    deaf = []
    for _ in range(40):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", agent.port))
        s.setblocking(False)
        try:
            while s.send(b"HELP\r\n" * 4000):
                pass
        except BlockingIOError:
            pass
        deaf.append(s)
    # Whoever waited for them would wait for five minutes: the deadline leaves room for a busy machine.
    begin = time.monotonic()
    agent.send()
    assert time.monotonic() - begin < 60
    assert agent.json("status")[0]["sessions"] == len(deaf)
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(60) == 0
    for s in deaf:
        s.close()


# ---- reload and end under load


def test_reloads_and_an_end_under_load_lose_and_double_nothing(scratch):
    sink = Sink(scratch, "--delay", "dot=20ms")
    agent = Agent(scratch, sink.smarthost(connections=4)).start()
    good = agent.file.read_text()
    client = subprocess.Popen(["/usr/bin/python3", "-c", CLIENT, str(agent.port), "400"], stdout=subprocess.PIPE,
                              text=True)
    for n in range(60):
        agent.file.write_text(good if n % 3 else good + "\nnonsense = 1\n")
        agent.process.send_signal(signal.SIGHUP)
        time.sleep(0.02)  # the storm's pace, so that reloads meet mail in every phase
    agent.file.write_text(good)
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(6) == 0
    agent.process.out.close()
    agent.process = None
    answered = int(client.communicate(timeout=60)[0])
    agent.start()
    agent.drain("60s")
    subjects = [line for raw in sink.messages() for line in raw.split(b"\r\n") if line.startswith(b"X-Number: ")]
    assert len(set(subjects)) >= answered > 0
    assert len(subjects) == len(set(subjects))


CLIENT = """
import smtplib, sys
answered = 0
try:
    smtp = smtplib.SMTP("127.0.0.1", int(sys.argv[1]), timeout=30)
    for n in range(int(sys.argv[2])):
        smtp.sendmail("a@example.org", ["b@example.net"], f"X-Number: {n}\\r\\n\\r\\nhello\\r\\n")
        answered += 1
except (smtplib.SMTPException, OSError):
    pass
print(answered)
"""


def test_an_end_with_a_mute_server_takes_less_than_five_seconds(scratch):
    mute = socket.socket()
    mute.bind(("127.0.0.1", 0))
    mute.listen(50)
    agent = Agent(scratch, 'smarthost "mute" { host = "127.0.0.1" port = %d tls = none auth = none }\n'
                  % mute.getsockname()[1]).start()
    for _ in range(20):
        agent.send()
    taken, _ = mute.accept()
    taken.sendall(b"220 hello\r\n")
    begin = time.monotonic()
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(6) == 0
    assert time.monotonic() - begin < 6
    taken.close()
    mute.close()
    agent.process.out.close()
    agent.process = None
    agent.start()
    assert agent.json("status")[0]["messages"] == 20
