"""Mail that sendmail(1) keeps while no agent runs: kept whole, taken in exactly once, and nothing else taken at all."""

import email
import json
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess

import pytest

from harness import BUILD, ROOT, Agent, Process, Sink, until

SENDMAIL = BUILD / "sendmail"
NOBODY = 65534
IS_ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not IS_ROOT, reason="several users are needed")


def environment(agent):
    return {**{k: v for k, v in os.environ.items() if not k.startswith("XDG_")},
            "SENDOFF_SUBMIT": str(agent.socket), "SENDOFF_DROP": str(agent.dir / "drop")}


def who(uid):
    return {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}


def sendmail(agent, *argv, mail=b"Subject: kept\n\nbody\n", uid=None, env=None, status=0, program=SENDMAIL):
    done = subprocess.run([str(program), *argv], input=mail, capture_output=True, timeout=60,
                          env=env or environment(agent), **who(uid))
    assert done.returncode == status, (done.returncode, done.stderr)
    return done


@pytest.fixture
def agent(scratch):
    """One that has run once, so that its directory is there, and does not run now."""
    a = Agent(scratch, trust='max_rate = "0"')
    a.start().stop()
    return a


def drop(agent):
    return agent.dir / "drop"


def kept(agent):
    return sorted(p.name for p in drop(agent).iterdir() if re.fullmatch("[0-9a-f]{32}", p.name))


def aside(agent):
    return sorted(p.name for p in (drop(agent) / "refused").iterdir() if not p.name.endswith(".why"))


def queued(agent):
    return [json.loads(line) for line in agent.ctl("--json", "list").stdout.splitlines()]


def subjects(agent):
    return sorted(row["subject"] for row in queued(agent) if row.get("subject"))


def write_file(agent, text, name=None, mode=0o640, uid=None):
    path = drop(agent) / (name or "%032x" % random.getrandbits(128))
    path.write_bytes(text)
    path.chmod(mode)
    if uid is not None:
        os.chown(path, uid, -1)
    return path


def transcript(subject="made by hand", rcpts=("a@example.net",), sender="me@example.org", body=b"x\r\n"):
    text = b"Subject: " + subject.encode() + b"\r\n\r\n" + body
    lines = [f"MAIL FROM:<{sender}>"] + [f"RCPT TO:<{r}>" for r in rcpts] + [f"BDAT {len(text)} LAST"]
    return b"SENDOFF-DROP 1\r\n" + "".join(line + "\r\n" for line in lines).encode() + text


def settled(agent):
    """Nothing is left to be taken in."""
    until(lambda: not kept(agent), lambda: f"an empty drop directory, there is {kept(agent)}\n{agent.log()[-2000:]}")


# ---------------------------------------------------------------- kept and taken in


def test_the_directory_is_as_it_should_be(agent):
    mode = stat.S_IMODE(drop(agent).stat().st_mode)
    assert mode == (0o3733 if IS_ROOT else 0o700)
    assert (drop(agent) / "refused").stat().st_mode & 0o777 == 0o700


def test_mail_is_kept_and_taken_in_at_the_next_start(scratch):
    sink = Sink(scratch)
    agent = Agent(scratch, sink.smarthost())
    agent.start().stop()
    mail = b"From: me@example.org\nTo: you@example.net\nBcc: she@example.net\nSubject: one\n\n.\n\xff..\nlast"
    done = sendmail(agent, "-t", "-i", "-f", "me@example.org", "-v", mail=mail)
    assert b"kept in" in done.stderr
    (name,) = kept(agent)
    file = drop(agent) / name
    assert stat.S_IMODE(file.stat().st_mode) == (0o640 if IS_ROOT else 0o600)
    assert file.stat().st_nlink == 1
    agent.start()
    settled(agent)
    agent.drain()
    (got,) = sink.messages()
    assert got.endswith(b"\r\nSubject: one\r\n\r\n.\r\n\xff..\r\nlast\r\n") and b"she@" not in got
    assert email.message_from_bytes(got)["Date"]
    rcpts = [r["address"] if isinstance(r, dict) else r for r in sink.envelopes()[0]["recipients"]] \
        if "recipients" in sink.envelopes()[0] else sink.envelopes()[0]["rcpts"]
    assert sorted(rcpts) == ["she@example.net", "you@example.net"]
    assert not aside(agent)


def test_what_is_kept_while_the_agent_runs_is_taken_in_at_once(scratch):
    agent = Agent(scratch).start()
    env = {**environment(agent), "SENDOFF_SUBMIT": str(agent.dir / "nobody")}
    for n in range(5):
        sendmail(agent, "-f", "me@x.example", "you@example.net", mail=b"Subject: s%d\n\nx\n" % n, env=env)
    until(lambda: len(queued(agent)) == 5, "the mail")
    settled(agent)
    assert subjects(agent) == [f"s{n}" for n in range(5)]


def test_the_date_is_when_it_was_written_and_the_sender_who_wrote_it(agent):
    sendmail(agent, "you@example.net", mail=b"hi\n", uid=NOBODY if IS_ROOT else None)
    agent.start()
    settled(agent)
    (row,) = queued(agent)
    assert row["submitter"] == f"uid:{NOBODY if IS_ROOT else os.geteuid()}"
    text = agent.ctl("cat", row["id"]).stdout
    message = email.message_from_string(text)
    assert message["Date"] and "@agent.example.org" in message["From"]


def test_a_message_of_many_recipients_goes_in_parts(scratch):
    agent = Agent(scratch, "limits { recipients = 100 }")
    agent.start().stop()
    to = [f"u{n}@example.net" for n in range(1234)]
    sendmail(agent, "-f", "me@x.example", *to)
    agent.start()
    settled(agent)
    rows = [r for r in agent.json("list") if "recipients" in r or "rcpts" in r or "to" in r]
    assert agent.json("status")[0]["recipients"] == 1234
    assert len(rows) and agent.json("status")[0]["messages"] == 13


def test_many_recipients_are_split_between_messages_live_too(scratch):
    agent = Agent(scratch, "limits { recipients = 100 }").start()
    sendmail(agent, "-t", "-f", "me@x.example",
             mail=b"To: " + b",\n ".join(b"u%d@example.net" % n for n in range(950)) + b"\n\nhi\n")
    status = agent.json("status")[0]
    assert (status["messages"], status["recipients"]) == (10, 950)


def test_large_mail_is_kept_too(scratch):
    sink = Sink(scratch)
    agent = Agent(scratch, sink.smarthost())
    agent.start().stop()
    body = b"".join(b"%063d\n" % n for n in range(100000))
    sendmail(agent, "-f", "me@example.org", "you@example.net", mail=b"Subject: large\n\n" + body)
    agent.start()
    settled(agent)
    agent.drain()
    assert sink.messages()[0].endswith(body.replace(b"\n", b"\r\n"))


def test_empty_mail_is_kept_too(agent):
    sendmail(agent, "-f", "me@example.org", "you@example.net", mail=b"")
    agent.start()
    settled(agent)
    assert len(queued(agent)) == 1


def test_utf8_addresses_are_kept_too(agent):
    sendmail(agent, "-f", "jürgen@bücher.example", "-F", "Jürgen Größe", "δοκιμή@παράδειγμα.example", mail="Grüße\n".encode())
    text = (drop(agent) / kept(agent)[0]).read_bytes()
    assert b" SMTPUTF8" in text and b"From: =?UTF-8?" in text
    agent.start()
    settled(agent)
    assert len(queued(agent)) == 1, agent.log()


# ---------------------------------------------------------------- when is it kept, and when not


def fake(agent, replies):
    """Answers as told on the agent's socket."""
    server = socket.socket(socket.AF_UNIX)
    agent.socket.unlink(missing_ok=True)
    server.bind(str(agent.socket))
    server.listen(5)
    pid = os.fork()
    if pid == 0:
        try:
            connection, _ = server.accept()
            for reply in replies:
                connection.sendall(reply)
                data = connection.recv(65536) if reply.endswith(b"\n") else b""
            connection.close()
        finally:
            os._exit(0)
    server.close()
    return pid


EHLO = b"250 agent.example\r\n"


@pytest.mark.parametrize("replies, is_kept, status", [
    ([b"421 4.3.2 going down\r\n"], True, 0),
    ([b""], True, 0),
    ([b"220 hello\r\n", b"421 4.3.2 going down\r\n"], True, 0),
    ([b"220 hello\r\n", EHLO, b"250 ok\r\n250 ok\r\n", b"421 4.3.2 going down\r\n"], True, 0),
    ([b"220 hello\r\n", EHLO, b"250 ok\r\n250 ok\r\n", b"354 go\r\n", b"421 4.3.2 going down\r\n"], True, 0),
    ([b"554 5.7.1 not you\r\n"], False, 77),
    ([b"220 hello\r\n", EHLO, b"451 4.7.1 too fast\r\n451 4.7.1 too fast\r\n"], False, 75),
    ([b"220 hello\r\n", EHLO, b"250 ok\r\n452 4.5.3 too many\r\n"], False, 75),
    ([b"220 hello\r\n", EHLO, b"250 ok\r\n550 5.1.1 unknown\r\n"], False, 67),
    # The end was sent: it may be queued, so it must not be kept.
    ([b"220 hello\r\n", EHLO, b"250 ok\r\n250 ok\r\n", b"354 go\r\n", b""], False, 75),
    ([b"220 hello\r\n", EHLO, b"250 ok\r\n250 ok\r\n", b"354 go\r\n", b"250 ok\r\n"], False, 0),
])
def test_only_what_no_agent_has_is_kept(agent, replies, is_kept, status):
    pid = fake(agent, replies)
    done = sendmail(agent, "-f", "me@x.example", "a@x.example", status=status)
    os.waitpid(pid, 0)
    assert bool(kept(agent)) == is_kept
    assert done.stderr.count(b"\n") == (status != 0)


def test_the_rest_of_the_recipients_is_kept_when_a_part_was_taken(agent):
    pid = fake(agent, [b"220 hello\r\n", b"250-agent.example\r\n250 LIMITS RCPTMAX=2\r\n", b"250 ok\r\n" * 3, b"354 go\r\n",
                       b"250 ok\r\n", b"451 4.7.1 too fast\r\n" * 3])
    sendmail(agent, "-f", "me@x.example", "a@x.example", "b@x.example", "c@x.example", "d@x.example")
    os.waitpid(pid, 0)
    text = (drop(agent) / kept(agent)[0]).read_text()
    assert re.findall("RCPT TO:<(.)@", text) == ["c", "d"]


def test_without_a_place_to_keep_it_sendmail_says_so(agent, tmp_path):
    env = {**environment(agent), "SENDOFF_DROP": str(tmp_path / "missing")}
    done = sendmail(agent, "a@x.example", env=env, status=75)
    assert b"cannot be reached" in done.stderr and b"missing" in done.stderr and b"nothing was queued" in done.stderr
    assert done.stderr.count(b"\n") == 1
    del env["SENDOFF_DROP"]  # a socket named by hand has no directory that could be guessed
    done = sendmail(agent, "a@x.example", env=env, status=75)
    assert b"nothing was queued" in done.stderr and not kept(agent)


def test_a_full_disk_is_told_and_nothing_is_left(scratch, agent):
    if not IS_ROOT:
        pytest.skip("needs a small file system")
    small = scratch.path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=3733", "none", str(small)], check=True)
    scratch.mounts.append(str(small))
    env = {**environment(agent), "SENDOFF_DROP": str(small)}
    done = sendmail(agent, "a@x.example", mail=b"x" * 70 + b"\n" + b"0123456789abcde\n" * 300000, env=env, status=75)
    assert b"No space left" in done.stderr and not list(small.iterdir())
    sendmail(agent, "a@x.example", env=env)
    assert len(list(small.iterdir())) == 1


def test_a_directory_of_the_wrong_mode_is_not_used(agent):
    if not IS_ROOT:
        pytest.skip("several users are needed")
    os.chown(drop(agent), 12345, 12345)
    drop(agent).chmod(0o1777)
    done = sendmail(agent, "a@x.example", uid=NOBODY, status=75)
    assert b"mode 3733" in done.stderr and not kept(agent)
    os.chown(drop(agent), 0, 0)
    drop(agent).chmod(0o777)
    agent.start()
    until(lambda: "no-drop-directory" in agent.log(), "the warning")
    assert "3733" in agent.log()


@as_root
def test_others_can_neither_list_nor_read_nor_remove(agent):
    sendmail(agent, "a@x.example", mail=b"Subject: secret\n\nx\n", uid=NOBODY)
    name = kept(agent)[0]
    for command in (["ls", str(drop(agent))], ["cat", str(drop(agent) / name)], ["rm", "-f", str(drop(agent) / name)]):
        done = subprocess.run(command, capture_output=True, **who(12345))
        assert done.returncode != 0, command


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_sendmail_leaves_nothing_or_all_of_it(agent, number):
    strace = shutil.which("strace")
    if not strace:
        pytest.skip("strace is needed")
    calls = ["write", "fsync", "linkat", "syncfs"]
    for call in calls:
        for nth in (1, 2):
            before = set(kept(agent))
            argv = [strace, "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                    "-e", f"inject={call}:signal={int(number)}:when={nth}", str(SENDMAIL), "a@x.example"]
            done = subprocess.run(argv, input=b"Subject: s\n\n" + b"x" * 70 + b"\n", capture_output=True,
                                  env=environment(agent), timeout=60)
            new = set(kept(agent)) - before
            assert len(new) <= 1
            if done.returncode == 0:
                assert new
    # Whatever has a name is whole.
    count = len(kept(agent))
    agent.start()
    settled(agent)
    assert len(queued(agent)) == count and not aside(agent)


def without_nameless_files(agent, *inject):
    """sendmail where the file system knows no files without a name: its second opening of the directory fails."""
    strace = shutil.which("strace")
    if not strace:
        pytest.skip("strace is needed")
    return [strace, "-qq", "-o", "/dev/null", "-P", str(drop(agent)), "-e", "inject=openat:error=EOPNOTSUPP:when=2",
            *inject, str(SENDMAIL), "a@x.example"]


def test_where_files_must_have_names_an_unfinished_one_is_not_taken(agent):
    def run(*inject):
        return subprocess.run(without_nameless_files(agent, *inject), input=b"Subject: named\n\nx\n", capture_output=True,
                              env=environment(agent), timeout=60).returncode

    assert run() == 0
    assert len(kept(agent)) == 1 and not list(drop(agent).glob(".new-*"))
    assert run("-e", "inject=renameat:signal=KILL:error=EIO") != 0
    (unfinished,) = drop(agent).glob(".new-*")
    assert run("-e", "inject=renameat:error=EIO") == 75
    assert len(list(drop(agent).glob(".new-*"))) == 1 and len(kept(agent)) == 1
    agent.start()
    settled(agent)
    assert subjects(agent) == ["named"] and unfinished.exists() and not aside(agent)
    agent.stop()
    # A day later nobody can be writing it any more.
    os.utime(unfinished, (1, 1))
    agent.start()
    until(lambda: not unfinished.exists(), "it to be put aside")
    assert len(aside(agent)) == 1 and "never finished" in agent.log()


def test_cron_and_php_lose_nothing_while_the_agent_is_down(agent):
    sendmail(agent, "-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root",
             mail=b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> job\n\nout\n")
    if shutil.which("php"):
        subprocess.run(["php", "-n", "-d", f"sendmail_path={SENDMAIL} -t -i", "-r",
                        'exit(mail("you@example.net", "by php", "hi") ? 0 : 1);'], check=True, timeout=60,
                       env=environment(agent))
    agent.start()
    settled(agent)
    assert "Cron <root@host> job" in subjects(agent)
    assert not shutil.which("php") or "by php" in subjects(agent)


def test_a_directory_that_appears_or_is_another_is_found(scratch):
    agent = Agent(scratch)
    agent.start().stop()
    write_file(agent, transcript("first"))
    other = agent.dir / "other"
    other.mkdir(mode=0o700)
    (other / ("%032x" % 1)).write_bytes(transcript("second"))
    (other / ("%032x" % 1)).chmod(0o640)
    agent.start()
    until(lambda: subjects(agent) == ["first"], "the first")
    agent.configure(f'drop_directory = "{other}"')
    agent.ctl("reload")
    until(lambda: subjects(agent) == ["first", "second"], "the second")
    (other / ".new-3").write_bytes(transcript("third"))
    (other / ".new-3").rename(other / ("%032x" % 3))
    until(lambda: subjects(agent) == ["first", "second", "third"], "the third")


# ---------------------------------------------------------------- exactly once


def test_an_agent_killed_while_it_takes_mail_in_takes_each_once(scratch):
    sink = Sink(scratch, tls="none", auth=None)
    agent = Agent(scratch, "", trust='max_rate = "0"')
    agent.start().stop()
    for n in range(200):
        write_file(agent, transcript(f"n{n}"))
    kills = 0
    rng = random.Random(7)
    while kept(agent):
        agent.start(wait=False)
        target = max(0, len(kept(agent)) - rng.randrange(1, 40))
        until(lambda: len(kept(agent)) <= target or not agent.process.is_alive(), "some to be taken in")
        if kills % 3 == 2 and agent.process.is_alive():
            agent.stop()
        else:
            agent.kill()
        kills += 1
    agent.start()
    settled(agent)
    assert kills > 4
    assert subjects(agent) == sorted(f"n{n}" for n in range(200))
    assert not aside(agent)
    del sink


def test_a_file_that_is_back_after_a_power_cut_is_not_taken_twice(agent):
    """Its removal was not on stable storage, the acceptance was: the mark tells."""
    strace = shutil.which("strace")
    if not strace:
        pytest.skip("strace is needed")
    file = write_file(agent, transcript("once"))
    argv = [strace, "-qq", "-f", "-o", "/dev/null", "-e", "trace=unlinkat",
            "-e", "inject=unlinkat:signal=KILL:when=1:error=EIO"]
    process = Process(argv + [str(BUILD / "sendoffd"), "--config", str(agent.file)], agent.dir / "log.killed")
    process.wait()
    process.out.close()
    assert file.exists()
    agent.start()
    settled(agent)
    assert subjects(agent) == ["once"]


def test_a_part_that_was_taken_is_not_taken_again(scratch):
    agent = Agent(scratch, "limits { recipients = 10 }", trust='max_rate = "2/h"')
    agent.start().stop()
    write_file(agent, transcript("parts", [f"u{n}@example.net" for n in range(35)]))
    agent.start()
    until(lambda: len(queued(agent)) >= 2, "two parts")
    until(lambda: agent.json("status")[0].get("dropped", {}).get("waiting") == 1, "the rest to wait")
    agent.kill()
    agent.settings["trust"] = 'max_rate = "0"'
    agent.configure("limits { recipients = 10 }")
    agent.start()
    settled(agent)
    status = agent.json("status")[0]
    assert (status["messages"], status["recipients"]) == (4, 35)


# ---------------------------------------------------------------- what is not taken


def test_strange_things_are_put_aside_and_nothing_is_followed(agent, tmp_path):
    folder = drop(agent)
    secret = tmp_path / "secret"
    secret.write_bytes(transcript("secret"))
    name = iter("%032x" % n for n in range(100))
    (folder / next(name)).symlink_to(secret)
    (folder / next(name)).symlink_to("/dev/zero")
    os.mkfifo(folder / next(name))
    os.link(secret, folder / next(name))
    (folder / next(name)).mkdir()
    (folder / next(name) / "..").exists()
    with socket.socket(socket.AF_UNIX) as s:
        cwd = os.getcwd()
        os.chdir(folder)
        s.bind(next(name))
        os.chdir(cwd)
    write_file(agent, transcript("writable"), next(name), mode=0o666)
    write_file(agent, transcript("foreign name"), "hello.eml")
    write_file(agent, transcript("dots"), "..." + "x" * 200)
    (folder / "a\nb\x1b[31m").write_bytes(b"x")
    (folder / ".new-123").write_bytes(b"half")  # is being written
    write_file(agent, transcript("good"))
    agent.start()
    until(lambda: subjects(agent) == ["good"], "the good one")
    until(lambda: sorted(os.listdir(folder)) == [".new-123", "refused"], lambda: str(os.listdir(folder)))
    assert len(aside(agent)) == 10
    assert secret.read_bytes() == transcript("secret") and subjects(agent) == ["good"]
    assert agent.log().count("drop-refused") == 10 and "\x1b" not in agent.log()
    assert agent.json("status")[0]["dropped"]["refused"] == 10


@pytest.mark.parametrize("text, words", [
    (b"", "no message of sendmail"),
    (b"hello", "no message of sendmail"),
    (transcript()[:-1], "not whole"),
    (transcript()[:40], "not whole"),
    (transcript() + b"x", "behind the message"),
    (transcript(rcpts=["nobody at all"]), "501"),
    (transcript(sender="a b"), "501"),
    (transcript(rcpts=["a@example.net> NOTIFY=MAYBE"[:-1]]), "501"),
    (transcript().replace(b"MAIL FROM", b"AUTH PLAIN x\r\nMAIL FROM"), "no place"),
    (transcript().replace(b"DROP 1", b"DROP 9"), "another version"),
], ids=range(10))
def test_what_the_rules_refuse_is_kept_aside_with_the_reason(agent, text, words):
    file = write_file(agent, text)
    write_file(agent, transcript("good"))
    agent.start()
    settled(agent)
    assert aside(agent) == [file.name] and subjects(agent) == ["good"]
    assert (drop(agent) / "refused" / file.name).read_bytes() == text
    assert words in (drop(agent) / "refused" / (file.name + ".why")).read_text()
    status = agent.ctl("status").stdout
    assert "1 dropped message refused" in status and words in status, status
    # After a restart the reason is still known.
    agent.stop()
    agent.start()
    assert words in agent.json("status")[0]["dropped"]["why_refused"]


def test_one_too_large_is_refused(scratch):
    agent = Agent(scratch, queue="max_message_size = 1M")
    agent.start().stop()
    write_file(agent, transcript("big", body=b"x" * 78 + b"\r\n" + b"0123456789\r\n" * 100000))
    agent.start()
    settled(agent)
    assert len(aside(agent)) == 1 and not queued(agent)


@as_root
def test_the_owner_of_the_file_is_the_submitter_and_the_rules_are_theirs(scratch):
    agent = Agent(scratch, '''submitter "nobody" { uids = {"65534"} senders = {"nobody@example.org"} }
submitter "slow" { uids = {"12345"} quota = "2/day" }''')
    agent.start().stop()
    write_file(agent, transcript("forged", sender="root@example.org"), uid=NOBODY)
    write_file(agent, transcript("own", sender="nobody@example.org"), uid=NOBODY)
    write_file(agent, transcript("root", sender="root@example.org"))
    for n in range(10):
        write_file(agent, transcript(f"slow{n}"), uid=12345)
    agent.start()
    until(lambda: len(queued(agent)) == 4, lambda: str(subjects(agent)))
    until(lambda: len(aside(agent)) == 1, "the forged one put aside")
    until(lambda: len(kept(agent)) == 8, "the rest")
    assert {"own", "root"} <= set(subjects(agent)) and "forged" not in subjects(agent)
    dropped = agent.json("status")[0]["dropped"]
    assert (dropped["waiting"], dropped["refused"]) == (8, 1)
    assert "uid 65534" in dropped["why_refused"] and "451" in dropped["why_waiting"]
    text = agent.ctl("status").stdout
    assert "8 dropped messages" in text


@as_root
def test_a_flood_does_not_keep_others_waiting(scratch):
    agent = Agent(scratch, trust='max_rate = "20/h"')
    agent.start().stop()
    for n in range(2000):
        write_file(agent, transcript(f"flood{n}"), uid=12345)
    for n in range(3):
        write_file(agent, transcript(f"other{n}"), uid=NOBODY)
    agent.start()
    until(lambda: {f"other{n}" for n in range(3)} <= set(subjects(agent)), "the others' mail", 20)
    until(lambda: len(queued(agent)) == 23, "what the rate allows")


@as_root
def test_what_stands_in_the_place_for_refused_mail_is_moved_away(agent):
    shutil.rmtree(drop(agent) / "refused")
    (drop(agent) / "refused").symlink_to("/tmp")
    write_file(agent, b"junk", "0" * 32)
    agent.start()
    settled(agent)
    assert not (drop(agent) / "refused").is_symlink() and not os.path.exists("/tmp/" + "0" * 32)
    assert "0" * 32 in aside(agent)


# ---------------------------------------------------------------- what is told


def test_mailq_and_status_count_what_waits(agent):
    for program in ("sendmail", "sendoff"):
        shutil.copy(BUILD / program, agent.dir / program)
    (agent.dir / "mailq").symlink_to("sendmail")
    for _ in range(3):
        sendmail(agent, "a@x.example")
    env = {**environment(agent), "SENDOFF_CONTROL": str(agent.control)}
    done = subprocess.run([str(agent.dir / "mailq")], capture_output=True, text=True, env=env, timeout=60)
    assert f"3 messages wait in {drop(agent)} until the mail agent takes them in" in done.stdout, done
    assert done.returncode != 0 and "sendoffd" in done.stderr
    done = agent.ctl("status", check=False)
    assert done.returncode == 69 and "3 messages wait" in done.stdout + done.stderr, done
    agent.start()
    settled(agent)
    assert "dropped message" not in agent.ctl("status").stdout
    dropped = agent.json("status")[0]["dropped"]
    assert (dropped["waiting"], dropped["refused"], dropped["directory"]) == (0, 0, str(drop(agent)))


def test_an_idle_agent_does_nothing_about_it(agent):
    strace = shutil.which("strace")
    if not strace:
        pytest.skip("strace is needed")
    agent.start()
    until(lambda: agent.ctl("status").returncode == 0, "the agent")
    out = agent.dir / "trace"
    done = subprocess.run(["timeout", "3", strace, "-f", "-qq", "-e", "trace=openat,getdents64,newfstatat", "-o",
                           str(out), "-p", str(agent.process.pid)], capture_output=True)
    assert str(drop(agent)) not in out.read_text() and "getdents" not in out.read_text(), done


# ---------------------------------------------------------------- installed


def test_a_socket_that_the_service_manager_holds_starts_the_agent(scratch):
    activate = shutil.which("systemd-socket-activate")
    if not activate:
        pytest.skip("systemd-socket-activate is needed")
    agent = Agent(scratch)
    manager = scratch.add(Process([activate, "-l", str(agent.socket), "--fdname=local", str(BUILD / "sendoffd"),
                                   "--config", str(agent.file)], agent.dir / "log.1"))
    until(agent.socket.exists, "the socket")
    assert "started" not in manager.text()
    sendmail(agent, "a@x.example")
    assert len(queued(agent)) == 1 and "started" in manager.text() and not drop(agent).joinpath("x").exists()
    assert not kept(agent)


def test_what_is_installed_makes_the_directory(tmp_path):
    program = shutil.which("systemd-tmpfiles")
    if not program or not IS_ROOT:
        pytest.skip("systemd-tmpfiles and root are needed")
    subprocess.run([str(ROOT / "tests" / "install-files"), str(BUILD), str(tmp_path), "/usr", "/etc"], check=True,
                   capture_output=True)
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/:\nsendoff:x:4711:4712::/:\n")
    (tmp_path / "etc/group").write_text("root:x:0:\nsendoff:x:4712:\n")
    subprocess.run([program, f"--root={tmp_path}", "--create", "sendoff.conf"], check=True,
                   capture_output=True)
    status = (tmp_path / "var/spool/sendoff-drop").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o3733, 4711, 4712)
    assert stat.S_IMODE((tmp_path / "var/spool/sendoff").stat().st_mode) == 0o700
    units = tmp_path / "usr/lib/systemd/system"
    assert "ReadWritePaths=/var/spool/sendoff -/var/spool/sendoff-drop" in (units / "sendoff.service").read_text()
    assert "ListenStream=/run/sendoff/submit" in (units / "sendoff-submit.socket").read_text()
    assert "@" not in (units / "sendoff-submit.socket").read_text()


@as_root
def test_an_agent_that_is_not_root_takes_in_what_others_dropped(scratch):
    """As it is installed: directory and agent belong to a user of their own, sendmail's to others."""
    agent = Agent(scratch, 'user = "daemon"')
    scratch.path.chmod(0o755)
    agent.dir.chmod(0o777)
    agent.start().stop()
    status = drop(agent).stat()
    assert stat.S_IMODE(status.st_mode) == 0o3733 and status.st_uid != 0
    sendmail(agent, "a@x.example", uid=NOBODY)
    sendmail(agent, "a@x.example", uid=12345)
    sendmail(agent, "a@x.example")
    mine = drop(agent) / kept(agent)[0]
    assert mine.stat().st_gid == status.st_gid and stat.S_IMODE(mine.stat().st_mode) == 0o640
    write_file(agent, transcript("secret of its owner"), mode=0o600, uid=NOBODY)
    agent.start()
    settled(agent)
    assert sorted(r["submitter"] for r in queued(agent)) == ["uid:0", "uid:12345", "uid:65534"]
    assert len(aside(agent)) == 1 and "may not read" in agent.log()
