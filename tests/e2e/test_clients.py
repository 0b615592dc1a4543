"""Real programs hand in mail; every byte of it reaches the smart host over verified TLS with AUTH."""

import email.message
import os
import shutil
import smtplib
import subprocess

import pytest
from harness import BUILD, Agent, Sink, key_of, message, parse, until, without_trace


@pytest.fixture
def relay(scratch):
    sink = Sink(scratch)
    return Agent(scratch, sink.smarthost()).start(), sink


def arrived(sink, count=1):
    return until(lambda: len(sink.messages()) >= count and sink.messages(),
                 lambda: f"{count} messages at the sink, there are {len(sink.messages())}\n{sink.process.text()}")


def run(argv, **more):
    done = subprocess.run([str(a) for a in argv], capture_output=True, timeout=60, **more)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done


def needs(program):
    if not shutil.which(program):
        pytest.fail(f"{program} is missing: tests/install-deps test should have installed it")


def test_smtplib_message_arrives_byte_for_byte(relay):
    agent, sink = relay
    mail = message(body=b"line\r\n..dots\r\n.\x20\r\n\r\n" + bytes(range(0x20, 0x7f)) + b"\r\n")
    agent.send(mail)
    assert without_trace(arrived(sink)[0]) == mail


def test_eight_bit_message_arrives_byte_for_byte(relay):
    agent, sink = relay
    mail = message(body="Grüße aus Köln\r\n", Content_Type="text/plain; charset=utf-8",
                   Content_Transfer_Encoding="8bit")
    with agent.smtp() as smtp:
        smtp.sendmail("alice@example.org", ["bob@example.net"], mail, ["BODY=8BITMIME"])
    assert without_trace(arrived(sink)[0]) == mail


def test_twenty_megabytes_arrive_byte_for_byte(relay):
    agent, sink = relay
    line = os.urandom(48).hex() + "\r\n"
    mail = message(body=line * (20 * 1024 * 1024 // len(line)))
    agent.send(mail)
    assert without_trace(arrived(sink)[0]) == mail


def test_missing_fields_are_added(relay):
    agent, sink = relay
    agent.send(b"From: alice@example.org\r\nSubject: bare\r\n\r\nhello\r\n")
    got = parse(arrived(sink)[0])
    assert got["Date"] and got["Message-ID"] and got["Received"]
    assert "127.0.0.1" not in got["Received"] and "uid" not in got["Received"]


def test_several_recipients_share_one_transaction(relay):
    agent, sink = relay
    agent.send(to=[f"user{n}@example.net" for n in range(20)])
    arrived(sink)
    until(lambda: sink.envelopes(), "the envelope")
    assert len(sink.envelopes()) == 1
    assert sorted(sink.envelopes()[0]["recipients"]) == sorted(f"user{n}@example.net" for n in range(20))


def test_sendmail_t(relay):
    agent, sink = relay
    env = {**os.environ, "SENDOFF_SUBMIT": str(agent.socket)}
    run([BUILD / "sendmail", "-t", "-i", "-f", "alice@example.org"], env=env,
        input=b"From: Alice <alice@example.org>\nTo: bob@example.net\nBcc: hidden@example.net\n"
              b"Subject: by sendmail\n\nhello\n.\nafter a lone dot, without final newline")
    got = arrived(sink)[0]
    assert b"hidden" not in got
    assert got.endswith(b"\r\n\r\nhello\r\n.\r\nafter a lone dot, without final newline\r\n")
    until(lambda: sink.envelopes(), "the envelope")
    assert sorted(sink.envelopes()[0]["recipients"]) == ["bob@example.net", "hidden@example.net"]
    assert sink.envelopes()[0]["sender"] == "alice@example.org"


def test_sendmail_as_cron_calls_it(relay):
    agent, sink = relay
    env = {**os.environ, "SENDOFF_SUBMIT": str(agent.socket)}
    run([BUILD / "sendmail", "-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root"], env=env,
        input=b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> true\n\nout\n")
    arrived(sink)
    until(lambda: sink.envelopes(), "the envelope")
    assert sink.envelopes()[0]["recipients"] == ["root@agent.example.org"]


def test_sendmail_bs_speaks_smtp(relay):
    agent, sink = relay
    env = {**os.environ, "SENDOFF_SUBMIT": str(agent.socket)}
    done = run([BUILD / "sendmail", "-bs"], env=env,
               input=b"EHLO client\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n"
                     b"Subject: by -bs\r\n\r\nhello\r\n.\r\nQUIT\r\n")
    assert b"\r\n250 2.0.0 " in done.stdout and b"\r\n221 2.0.0" in done.stdout
    assert b"Subject: by -bs" in arrived(sink)[0]


def test_sendmail_says_why_when_the_agent_is_down(relay):
    agent, _ = relay
    agent.stop()
    env = {**os.environ, "SENDOFF_SUBMIT": str(agent.socket)}
    done = subprocess.run([str(BUILD / "sendmail"), "-t"], env=env, input=b"To: bob@example.net\n\nhello\n",
                          capture_output=True, timeout=30)
    assert done.returncode == 75
    assert b"sendoffd" in done.stderr or b"agent" in done.stderr


def test_swaks(relay):
    needs("swaks")
    agent, sink = relay
    run(["swaks", "--server", "127.0.0.1", "--port", agent.port, "--from", "alice@example.org", "--to",
         "bob@example.net", "--header", "Subject: by swaks", "--body", "hello"])
    assert parse(arrived(sink)[0])["Subject"] == "by swaks"


def test_curl(relay, tmp_path):
    needs("curl")
    agent, sink = relay
    mail = message(subject="by curl")
    (tmp_path / "mail").write_bytes(mail)
    run(["curl", "-sS", f"smtp://127.0.0.1:{agent.port}", "--mail-from", "alice@example.org", "--mail-rcpt",
         "bob@example.net", "--upload-file", tmp_path / "mail"])
    assert without_trace(arrived(sink)[0]) == mail


def test_msmtp(relay):
    needs("msmtp")
    agent, sink = relay
    mail = message(subject="by msmtp")
    run(["msmtp", "--host=127.0.0.1", f"--port={agent.port}", "--from=alice@example.org", "--tls=off", "--auth=off",
         "bob@example.net"], input=mail.replace(b"\r\n", b"\n"))
    assert key_of(arrived(sink)[0]) == key_of(mail)


def git_env(home):
    return {**os.environ, "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "Alice",
            "GIT_AUTHOR_EMAIL": "alice@example.org", "GIT_COMMITTER_NAME": "Alice",
            "GIT_COMMITTER_EMAIL": "alice@example.org"}


def test_git_send_email(relay, tmp_path):
    needs("git")
    agent, sink = relay
    env = git_env(tmp_path)
    for argv in (["git", "init", "-q", "."], ["git", "commit", "-q", "--allow-empty", "-m", "first"]):
        run(argv, cwd=tmp_path, env=env)
    (tmp_path / "file").write_text("text\n")
    for argv in (["git", "add", "file"], ["git", "commit", "-q", "-m", "room: add a file"],
                 ["git", "format-patch", "-q", "-1", "-o", "out"]):
        run(argv, cwd=tmp_path, env=env)
    run(["git", "send-email", "--smtp-server=127.0.0.1", f"--smtp-server-port={agent.port}", "--confirm=never",
         "--quiet", "--to=bob@example.net", "--from=alice@example.org", "out/0001-room-add-a-file.patch"],
        cwd=tmp_path, env=env)
    assert parse(arrived(sink)[0])["Subject"] == "[PATCH] room: add a file"


def test_git_send_email_by_sendmail(relay, tmp_path):
    agent, sink = relay
    env = {**git_env(tmp_path), "SENDOFF_SUBMIT": str(agent.socket)}
    (tmp_path / "0001-x.patch").write_bytes(b"From: Alice <alice@example.org>\nSubject: [PATCH] x\n\ntext\n---\n")
    run(["git", "send-email", f"--sendmail-cmd={BUILD / 'sendmail'}", "--confirm=never", "--quiet",
         "--to=bob@example.net", "--from=alice@example.org", "0001-x.patch"], cwd=tmp_path, env=env)
    assert parse(arrived(sink)[0])["Subject"] == "[PATCH] x"


def test_mutt(relay, tmp_path):
    needs("mutt")
    agent, sink = relay
    env = {**os.environ, "HOME": str(tmp_path), "SENDOFF_SUBMIT": str(agent.socket)}
    (tmp_path / "photo.bin").write_bytes(os.urandom(50000))
    (tmp_path / "muttrc").write_text(f'set sendmail="{BUILD / "sendmail"} -oi"\nset from="alice@example.org"\n'
                                     'set use_from=yes\nset use_envelope_from=yes\nset copy=no\n')
    run(["mutt", "-F", "muttrc", "-s", "by mutt", "-a", "photo.bin", "--", "bob@example.net"], cwd=tmp_path, env=env,
        input=b"hello\n")
    got = parse(arrived(sink)[0])
    part = [p for p in got.walk() if p.get_filename() == "photo.bin"][0]
    assert part.get_content() == (tmp_path / "photo.bin").read_bytes()


def test_s_nail(relay, tmp_path):
    program = shutil.which("s-nail") or shutil.which("mailx")
    assert program, "s-nail is missing: tests/install-deps test should have installed it"
    agent, sink = relay
    env = {**os.environ, "HOME": str(tmp_path), "SENDOFF_SUBMIT": str(agent.socket), "MAILRC": "/dev/null"}
    run([program, "-n", "-S", f"mta={BUILD / 'sendmail'}", "-r", "alice@example.org", "-s", "by s-nail",
         "bob@example.net"], env=env, input=b"hello\n")
    assert parse(arrived(sink)[0])["Subject"] == "by s-nail"


def test_a_message_that_is_not_whole_is_never_queued(relay):
    agent, sink = relay
    smtp = agent.smtp()
    smtp.ehlo()
    smtp.mail("alice@example.org")
    smtp.rcpt("bob@example.net")
    smtp.putcmd("DATA")
    smtp.getreply()
    smtp.send(b"Subject: cut\r\n\r\nhalf a line")
    smtp.sock.close()
    whole = agent.send()
    assert key_of(arrived(sink)[0]) == key_of(whole)
    agent.drain()
    assert len(sink.messages()) == 1


def test_smuggled_ends_of_data_do_not_end_it(relay):
    agent, sink = relay
    for end in (b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n"):
        with agent.smtp() as smtp:
            smtp.ehlo()
            smtp.mail("alice@example.org")
            smtp.rcpt("bob@example.net")
            smtp.putcmd("DATA")
            assert smtp.getreply()[0] == 354
            smtp.send(message(body=b"one") + end + b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<x@example.net>\r\n"
                      b"DATA\r\nsmuggled\r\n.\r\n")
            assert smtp.getreply()[0] == 250
            assert smtp.noop()[0] == 250
    got = arrived(sink, 6)
    assert len(got) == 6
    # A lone dot is text here, stuffed on the wire; what left has CRLF line ends only.
    assert all(b"smuggled" in m and m.count(b"\n") == m.count(b"\r") == m.count(b"\r\n") for m in got)
    assert all(b"evil" not in e["sender"].encode() for e in sink.envelopes())
