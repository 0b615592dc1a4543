"""sendmail(1) against an agent that answers what the test wants: exit statuses, words, and what was sent."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import pytest

from harness import BUILD, until

SENDMAIL = BUILD / "sendmail"


class Agent(threading.Thread):
    """Speaks as `replies` say ("MAIL", "RCPT bad@x", "DOT" …; None hangs up), else says yes; records everything."""

    def __init__(self, folder, replies, features):
        super().__init__(daemon=True)
        self.path, self.replies, self.features = folder / "submit", replies, features
        self.commands, self.mail, self.ended = [], [], threading.Event()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(self.path))
        self.socket.listen(5)
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
                self.serve(connection, lines)
            self.ended.set()

    def reply(self, name, usual):
        key = next((k for k in self.replies if name.startswith(k)), None)
        answer = self.replies[key] if key else usual
        if answer is None:
            raise OSError
        self.connection.sendall(answer.encode() + b"\r\n")
        return answer

    def serve(self, connection, lines):
        self.connection = connection
        self.reply("GREETING", "220 agent.example ESMTP")
        for line in lines:
            command = line.decode().rstrip("\r\n")
            assert line.endswith(b"\r\n")
            self.commands.append(command)
            name = command.replace(" FROM:<", " ").replace(" TO:<", " ").replace(">", "")
            if name.startswith("EHLO"):
                self.reply("EHLO", "\r\n".join(f"250-{f}" for f in ["agent.example"] + self.features) + "\r\n250 OK")
            elif name == "DATA":
                if self.reply("DATA", "354 go").startswith("354"):
                    self.receive(lines)
            elif name == "QUIT":
                self.reply("QUIT", "221 bye")
                return
            else:
                self.reply(name, "250 ok")

    def receive(self, lines):
        mail = bytearray()
        for line in lines:
            if line == b".\r\n":
                # Before the reply: who has it may look at once.
                if (self.replies.get("DOT", "250") or "").startswith("250"):
                    self.mail.append(bytes(mail))
                self.reply("DOT", "250 2.0.0 queued")
                return
            mail += line[1:] if line.startswith(b".") else line
            if "BODY" in self.replies:
                self.reply("BODY", "")
                break
        raise OSError


@pytest.fixture
def agent(tmp_path):
    agents = []

    def start(replies=None, features=("SIZE 1000000", "8BITMIME", "DSN")):
        agents.append(Agent(tmp_path, replies or {}, list(features)))
        return agents[-1]

    yield start
    for a in agents:
        a.socket.close()


def environment(path, **more):
    return {**{k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "TMPDIR"))},
            "SENDOFF_SUBMIT": str(path), **more}


def send(path, *argv, mail=b"Subject: s\n\nbody\n", env=None, **more):
    return subprocess.run([str(SENDMAIL), *argv], input=mail, capture_output=True, timeout=60,
                          env=env or environment(path), **more)


@pytest.mark.parametrize("replies, status, words", [
    ({}, 0, b""),
    ({"GREETING": "421 4.3.2 too many connections"}, 75, b"421 4.3.2 too many connections"),
    ({"GREETING": None}, 75, b"hung up"),
    ({"EHLO": "550 5.7.1 not you"}, 77, b"not you"),
    ({"MAIL": "552 5.3.4 too big"}, 69, b"552 5.3.4 too big"),
    ({"MAIL": "452 4.3.1 disk full"}, 75, b"452 4.3.1 disk full"),
    ({"RCPT b@x": "550 5.1.1 no such user"}, 67, b"b@x: 550 5.1.1 no such user"),
    ({"RCPT b@x": "450 4.2.0 later"}, 75, b"b@x: 450 4.2.0 later"),
    ({"RCPT b@x": "550 5.7.1 not yours"}, 77, b"b@x: 550 5.7.1 not yours"),
    ({"DATA": "451 4.3.0 no"}, 75, b"451 4.3.0 no"),
    ({"DOT": "452 4.3.1 full"}, 75, b"452 4.3.1 full"),
    ({"DOT": "554 5.6.0 never"}, 69, b"554 5.6.0 never"),
    ({"DOT": None}, 75, b"hung up"),
    ({"DOT": "25x what"}, 76, b"cannot be understood"),
    ({"DOT": "354 go on"}, 76, b"354"),
])
def test_the_exit_status_says_what_the_agent_said(agent, replies, status, words):
    a = agent(replies)
    done = send(a.path, "-f", "me@x", "a@x", "b@x", "c@x")
    assert done.returncode == status, done.stderr
    assert words in done.stderr and done.stderr.count(b"\n") == (status != 0)
    assert len(a.mail) == (status == 0)


def test_nothing_is_sent_to_some_of_the_recipients(agent):
    a = agent({"RCPT u150": "550 5.1.1 unknown"})
    assert send(a.path, *(f"u{n}@x" for n in range(300))).returncode == 67
    assert "DATA" not in a.commands and not a.mail


@pytest.mark.parametrize("features", [["SIZE 1000000"], ["SIZE 1000000", "LIMITS MAILMAX=5 RCPTMAX=2"]])
def test_recipients_beyond_what_is_taken_get_the_message_again(agent, features):
    class Narrow(dict):
        """Two recipients a message."""

        def __init__(self):
            self.count = 0

        def __iter__(self):
            return iter(["RCPT", "DATA", "MAIL"])

        def __getitem__(self, key):
            self.count = self.count + 1 if key == "RCPT" else 0
            return {"MAIL": "250 ok", "DATA": "354 go"}.get(key) or \
                ("250 ok" if self.count <= 2 else "452 4.5.3 too many recipients")

        def get(self, key, other=None):
            return other

        def __contains__(self, key):
            return False

    a = agent(features=features)
    a.replies = Narrow()
    got = send(a.path, "-i", "-f", "me@x", *(f"{u}@example.net" for u in "abcde"))
    assert got.returncode == 0, got.stderr
    until(lambda: len(a.mail) == 3, "three messages")
    assert len(set(a.mail)) == 1
    rcpts = [c[9:10] for c in a.commands if c.startswith("RCPT")]
    if len(features) == 1:  # what was asked for too much is asked for again
        assert rcpts == list("abcde" "cde" "e")
    else:
        assert rcpts == list("abcde")


def test_a_refusal_behind_a_part_that_was_taken_names_who_has_it(agent):
    a = agent({"RCPT d@": "550 5.1.1 no such user"}, features=["LIMITS RCPTMAX=2"])
    got = send(a.path, "-f", "me@x", *(f"{u}@x" for u in "abcde"))
    assert got.returncode == 67 and got.stderr.count(b"\n") == 1
    assert b"d@x: 550" in got.stderr and b"first 2 of 5 recipients" in got.stderr and b"from c@x on" in got.stderr
    assert len(a.mail) == 1


def test_one_recipient_too_many_of_one_is_a_refusal_for_now(agent):
    a = agent({"RCPT": "452 4.5.3 too many recipients"})
    assert send(a.path, "a@x").returncode == 75 and not a.mail


def test_every_byte_arrives_with_proper_line_ends(agent):
    a = agent()
    assert send(a.path, "-i", "-f", "me@x", "a@x",
                mail=b"From: me\nSubject: s\n\n.\n..x\n\xff\x00\rlast").returncode == 0
    until(lambda: a.mail, "the mail")
    assert a.mail == [b"From: me\r\nSubject: s\r\n\r\n.\r\n..x\r\n\xff\x00\r\nlast\r\n"]
    assert f"MAIL FROM:<me@x> SIZE={len(a.mail[0])} BODY=8BITMIME" in a.commands


def test_a_large_message_goes_through_a_file_without_a_name(agent, tmp_path):
    a = agent(features=["SIZE 100000000"])
    folder = tmp_path / "tmp"
    folder.mkdir()
    mail = b"From: me@x\n\n" + b"0123456789abcde\n" * 300000
    done = send(a.path, "-f", "me@x", "a@x", mail=mail, env=environment(a.path, TMPDIR=str(folder)))
    assert done.returncode == 0, done.stderr
    until(lambda: a.mail, "the mail")
    assert a.mail[0] == mail.replace(b"\n", b"\r\n")
    assert f"MAIL FROM:<me@x> SIZE={len(a.mail[0])}" in a.commands
    assert not list(folder.iterdir())


def test_no_room_for_the_file_is_told_and_nothing_queued(agent, tmp_path):
    a = agent()
    done = send(a.path, "a@x", mail=b"x\n" * 2000000, env=environment(a.path, TMPDIR=str(tmp_path / "missing")))
    assert done.returncode == 75 and b"nothing was queued" in done.stderr
    assert not a.commands


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_killed_sendmail_queues_nothing(agent, number):
    a = agent()
    child = subprocess.Popen([str(SENDMAIL), "a@x"], stdin=subprocess.PIPE, env=environment(a.path))
    child.stdin.write(b"Subject: s\n\nhalf")
    child.stdin.flush()
    child.send_signal(number)
    assert child.wait(30) == -number
    child.stdin.close()
    assert not a.commands and not a.mail


def test_a_closed_standard_input_is_an_error(agent):
    a = agent()
    done = subprocess.run(["sh", "-c", 'exec "$0" a@x <&-', str(SENDMAIL)], env=environment(a.path),
                          capture_output=True, timeout=60)
    assert done.returncode == 74 and not a.commands


def test_the_agent_gives_up_while_the_message_is_sent(agent):
    a = agent({"BODY": "421 4.3.2 shutting down"})
    done = send(a.path, "a@x", mail=b"x\n" * 400000)
    assert done.returncode == 75
    assert not a.mail


def test_recipients_come_from_the_message_and_its_bcc_stays_here(agent):
    a = agent()
    assert send(a.path, "-t", "-f", "me@x", "d@x",
                mail=b"From: me\nTo: a@x, \"B, b\" <b@x>\nBcc: c@x\n\nhi\n").returncode == 0
    assert sorted(c for c in a.commands if c.startswith("RCPT")) == [f"RCPT TO:<{u}@x>" for u in "abcd"]
    until(lambda: a.mail, "the mail")
    assert a.mail == [b"From: me\r\nTo: a@x, \"B, b\" <b@x>\r\n\r\nhi\r\n"]


def test_addresses_cannot_bring_commands_along(agent):
    a = agent()
    for bad in ('"a\\\r\nRSET"@x', "a@x\r\nRSET", "a@x>\r\nRSET\r\n<", "a\x00"[:1] + "\x01@x"):
        done = send(a.path, "-f", "me@x", bad)
        assert done.returncode in (64, 67, 69), (bad, done)
    assert "RSET" not in a.commands and not a.mail


def test_reports_are_asked_for_only_where_they_are_offered(agent):
    asked = ["-N", "success,delay", "-R", "hdrs", "-V", "a+b", "-f", "me@x", "a@x"]
    a = agent()
    assert send(a.path, *asked).returncode == 0
    assert any(c.endswith(" RET=HDRS ENVID=a+2Bb") for c in a.commands)
    assert "RCPT TO:<a@x> NOTIFY=success,delay" in a.commands
    a.path.unlink()
    a = agent(features=[])
    assert send(a.path, *asked).returncode == 0
    assert a.commands[1:3] == ["MAIL FROM:<me@x>", "RCPT TO:<a@x>"]


def test_without_from_the_sender_is_named(agent):
    a = agent()
    assert send(a.path, "-F", "J\u00fc", "-f", "me", "a@x", mail=b"no header\n").returncode == 0
    until(lambda: a.mail, "the mail")
    assert a.mail == [b"From: =?UTF-8?B?SsO8?= <me@agent.example>\r\n\r\nno header\r\n"]


def test_bs_carries_bytes_and_both_ends(agent):
    a = agent()
    done = send(a.path, "-bs", mail=b"EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n")
    assert done.returncode == 0 and done.stdout.startswith(b"220 ") and done.stdout.endswith(b"221 bye\r\n")
    assert a.mail == [b"hi\r\n"]
    done = send(a.path, "-bs", mail=b"EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nhalf")
    assert done.returncode == 0 and len(a.mail) == 1


def test_bs_without_an_agent_answers_421(tmp_path):
    done = send(tmp_path / "nobody", "-bs")
    assert done.returncode == 75 and done.stdout.startswith(b"421 4.3.2 ") and done.stdout.endswith(b"\r\n")


def test_the_users_own_agent_is_found_first():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "sendoff").mkdir()
        a = Agent(folder / "sendoff", {}, [])
        env = environment("", XDG_RUNTIME_DIR=str(folder))
        del env["SENDOFF_SUBMIT"]
        nobody = {}
        if os.geteuid() == 0:  # root has no agent of its own
            os.chmod(folder, 0o755)
            os.chmod(a.path, 0o666)
            nobody = {"user": 65534, "group": 65534, "extra_groups": []}
        program = shutil.copy(SENDMAIL, folder)
        done = subprocess.run([program, "a@x"], input=b"hi\n", env=env, capture_output=True, timeout=60, **nobody)
        a.socket.close()
        assert done.returncode == 0, done.stderr
        assert "RCPT TO:<a@x>" in a.commands


def test_mailq_and_q_become_sendoff(tmp_path):
    shutil.copy(SENDMAIL, tmp_path / "sendmail")
    (tmp_path / "mailq").symlink_to("sendmail")
    (tmp_path / "newaliases").symlink_to("sendmail")
    (tmp_path / "sendoff").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "sendoff").chmod(0o755)

    def run(*argv):
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done
        return done.stdout

    assert run(str(tmp_path / "mailq")) == "list\n"
    assert run(str(tmp_path / "sendmail"), "-bp") == "list\n"
    assert run(str(tmp_path / "sendmail"), "-q") == "flush --all --yes\n"
    assert run(str(tmp_path / "newaliases")) == ""


def test_sendmail_needs_no_library_but_libc():
    needed = subprocess.run(["ldd", str(SENDMAIL)], capture_output=True, text=True, timeout=60).stdout
    assert "libc.so" in needed and "gnutls" not in needed and "gsasl" not in needed and "idn2" not in needed


# ---------------------------------------------------------------- what programs do


def commands(a, word):
    return [c for c in a.commands if c.startswith(word)]


def test_long_lists_of_arguments_and_headers(agent):
    a = agent(features=["SIZE 100000000"])
    many = [f"{'u%05d' % n}@a-rather-long-name.example.net" for n in range(2000)]
    assert len(" ".join(many)) > 64 * 1024
    assert send(a.path, "-f", "me@x", *many).returncode == 0
    assert len(commands(a, "RCPT")) == 2000
    a.commands.clear()
    header = b"To: " + ",\n\t".join(many[:1500]).encode() + b"\nCc: " + ", ".join(many[1000:]).encode() + b"\n\nhi\n"
    assert send(a.path, "-t", "-f", "me@x", mail=header).returncode == 0
    assert len(commands(a, "RCPT")) == 2000
    a.commands.clear()
    assert send(a.path, "-f", "me@x", ",".join(many)).returncode == 0
    assert len(commands(a, "RCPT")) == 2000


def test_addresses_with_a_dash_quotes_and_groups(agent):
    a = agent()
    assert send(a.path, "-f", "-me@x", "--", "-froot@x", '"a b"@x', "N. N. <c@x>", "g: d@x, e@x;").returncode == 0
    assert commands(a, "MAIL")[0].startswith("MAIL FROM:<-me@x>")
    assert sorted(commands(a, "RCPT")) == ['RCPT TO:<"a b"@x>', "RCPT TO:<-froot@x>", "RCPT TO:<c@x>", "RCPT TO:<d@x>",
                                           "RCPT TO:<e@x>"]


def test_smtputf8_is_asked_for_by_addresses_only(agent):
    a = agent(features=["SMTPUTF8", "8BITMIME"])
    assert send(a.path, "-t", "-f", "me@x", mail="To: a@x\nSubject: Gr\u00fc\u00dfe\n\nhi\n".encode()).returncode == 0
    assert commands(a, "MAIL") == ["MAIL FROM:<me@x> BODY=8BITMIME"]
    a.commands.clear()
    assert send(a.path, "-t", "-f", "me@x", mail="To: \u03b4@\u03c0.example\n\nhi\n".encode()).returncode == 0
    assert commands(a, "MAIL") == ["MAIL FROM:<me@x> BODY=8BITMIME SMTPUTF8"]
    assert commands(a, "RCPT") == ["RCPT TO:<\u03b4@\u03c0.example>"]


def test_bcc_goes_with_t_only(agent):
    a = agent()
    mail = b"From: me@x\nTo: a@x\nBcc: b@x\nResent-Bcc: c@x\n\nhi\n"
    assert send(a.path, "d@x", mail=mail).returncode == 0
    until(lambda: a.mail, "the mail")
    assert a.mail[0] == mail.replace(b"\n", b"\r\n")
    assert send(a.path, "-t", "d@x", mail=mail).returncode == 0
    until(lambda: len(a.mail) == 2, "the mail")
    assert a.mail[1] == b"From: me@x\r\nTo: a@x\r\n\r\nhi\r\n"
    assert commands(a, "RCPT")[1:] == ["RCPT TO:<c@x>", "RCPT TO:<d@x>"]


def test_nul_and_endless_lines_are_handed_over_as_they_are(agent):
    a = agent(features=["8BITMIME"])
    body = bytes(range(1, 256)).replace(b"\r", b"").replace(b"\n", b"") + b"\0" * 3000 + b"x" * 5000
    assert send(a.path, "-i", "-f", "me@x", "a@x", mail=b"From: me\n\n" + body).returncode == 0
    until(lambda: a.mail, "the mail")
    assert a.mail[0] == b"From: me\r\n\r\n" + body + b"\r\n"


def table():
    """The rows of the option table in the man page: words of a command line, and what becomes of them."""
    values = {"type": "8BITMIME", "when": "never", "what": "full", "address": "me@x.example", "id": "x1", "other": "em",
              "x": "r", "mode": "q", "level": "9"}
    text = (pathlib.Path(__file__).parents[2] / "tools/sendmail.8").read_text()
    for row in re.findall(r"^\.It (Fl .*?) Ta (yes|no effect|refused) Ta .+$", text, re.M):
        line = re.sub(r"Ar (\S+)", lambda m: values.get(m.group(1), m.group(1)), row[0]).replace("\\-", "-")
        line = re.sub(r"^Fl ", "-", line.replace("\\&", "")).replace(" Ns ", "")
        yield line, row[1]


ROWS = list(table())


def test_the_table_is_whole():
    letters = {line[1] for line, _ in ROWS}
    assert len(ROWS) > 75 and letters >= set("ABCDEFGILMNOQRSTUVXbcdefhimnopqrstvx-")


@pytest.mark.parametrize("line, what", ROWS, ids=[line for line, _ in ROWS])
def test_each_option_does_what_the_man_page_says(agent, tmp_path, line, what):
    a = agent()
    shutil.copy(SENDMAIL, tmp_path / "sendmail")
    (tmp_path / "sendoff").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "sendoff").chmod(0o755)

    def run(*argv):
        a.commands.clear()
        a.mail.clear()
        a.ended.clear()
        mail = b"QUIT\r\n" if "-bs" in argv else b"To: me\n\n.\n"
        done = subprocess.run([str(tmp_path / "sendmail"), *argv, "you@x.example"], input=mail, capture_output=True, timeout=60, env=environment(a.path), cwd=tmp_path)
        if commands(a, "MAIL"):
            assert a.ended.wait(30)
        return done, list(a.commands), list(a.mail)

    plain = run()
    assert plain[0].returncode == 0 and plain[2]
    done, said, mail = run(*line.split(" "))
    if what == "refused":
        assert done.returncode == 64 and done.stderr.startswith(b"sendmail: -") and done.stderr.count(b"\n") == 1
        assert not said
    else:
        assert done.returncode == 0, done
    if what == "no effect":
        assert (said, mail, done.stderr) == (plain[1], plain[2], b"")
    if what == "yes" and line not in ("--", "-bm", "-bi", "-I", "-r me@x.example", "-bs"):
        assert (said, mail, done.stdout, done.stderr) != (plain[1], plain[2], b"", b"")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sendmail", "sendoff", "submit"]
