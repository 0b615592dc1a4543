"""`sendoff user`: a users file in the hands of people and scripts, and the question for a password on a terminal."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import termios

import pytest
from harness import BUILD, until
from test_disk import mount_small

PASSWORD = "correct horse, Batterie"


def user(file, *words, password=None, options=()):
    return subprocess.run([BUILD / "sendoff", *options, "user", *words, "--file", file,
                           *(["--password-stdin"] if password else [])],
                          input=(password or "") + "\n", capture_output=True, text=True, timeout=60)


@pytest.fixture
def users(scratch):
    return scratch.path / "users"


def test_users_are_added_changed_listed_and_removed(users):
    assert user(users, "add", "alice", password="one").stdout == "The user can log in now.\n"
    assert users.stat().st_mode & 0o777 == 0o640
    before = users.read_text()
    users.write_bytes(f"# The office\n\n{before}\t# not a user\nBOB : $6$saltsalt${'x' * 86}\r\n".encode())
    users.chmod(0o600)
    assert user(users, "add", "alice", password="two").stdout == "The user has a new password.\n"
    lines = users.read_bytes().decode().split("\n")
    assert lines[0:2] == ["# The office", ""] and lines[3] == "\t# not a user" and lines[4].endswith("x\r")
    assert lines[2].startswith("alice:SCRAM-SHA-") and lines[2] != before.strip()
    assert users.stat().st_mode & 0o777 == 0o600
    assert user(users, "list").stdout == "hash  BOB\nscram alice\n"
    listed = [json.loads(line) for line in user(users, "list", options=["--json"]).stdout.splitlines()]
    assert [(u["name"], u["kind"], u["line"]) for u in listed] == [("BOB", "hash", 5), ("alice", "scram", 3)]
    assert user(users, "remove", "alice").stdout == "The user can log in no more.\n"
    assert users.read_bytes().decode().split("\n") == lines[:2] + lines[3:]
    gone = user(users, "remove", "alice")
    assert gone.returncode == 67 and "there is no user alice" in gone.stderr


def test_what_everybody_may_read_is_refused(users):
    user(users, "add", "alice", password="one")
    users.chmod(0o644)
    before = users.read_bytes()
    for words, password in (["add", "bob"], "x"), (["remove", "alice"], None), (["list"], None):
        done = user(users, *words, password=password)
        assert done.returncode == 77 and "chmod o-rw" in done.stderr
    assert users.read_bytes() == before


def test_many_at_once_lose_nobody(users):
    argv = [BUILD / "sendoff", "user", "add", "--file", users, "--password-stdin"]
    started = [subprocess.Popen([*argv, f"user{n}"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) for n in range(12)]
    for child in started:
        child.communicate(b"secret\n", timeout=60)
        assert child.returncode == 0
    assert user(users, "list").stdout.split("\n")[:-1] == sorted(f"scram user{n}" for n in range(12))
    assert os.listdir(users.parent).count("users") == 1 and not list(users.parent.glob("users.*"))


def test_a_full_disk_leaves_the_old_file(scratch):
    disk = mount_small(scratch, "64k")
    users = disk / "users"
    assert user(users, "add", "alice", password="one").returncode == 0
    before = users.read_bytes()
    with open(disk / "more", "wb", buffering=0) as more, contextlib.suppress(OSError):
        while True:
            more.write(bytes(512))
    done = user(users, "add", "bob", password="two")
    assert done.returncode == 73 and "No space left on device" in done.stderr
    assert users.read_bytes() == before and sorted(os.listdir(disk)) == ["more", "users"]
    (disk / "more").unlink()
    assert user(users, "add", "bob", password="two").returncode == 0


class Terminal:
    """A terminal of its own, with `sendoff user add` in front of it."""

    def __init__(self, users, name):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(BUILD / "sendoff", ["sendoff", "user", "add", name, "--file", str(users)])
        self.seen = ""

    def echoes(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def wait_for(self, text):
        while text not in self.seen:
            piece = self.read()
            assert piece, (text, self.seen)

    def read(self):
        try:
            piece = os.read(self.fd, 4096).decode()
        except OSError:  # how a terminal says that nobody is there any more
            piece = ""
        self.seen += piece
        return piece

    def answer(self, prompt, text):
        self.wait_for(prompt)
        # What is typed before the echo is off is thrown away.
        until(lambda: not self.echoes(), "the echo off")
        os.write(self.fd, text.encode())

    def end(self):
        while self.read():
            pass
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.fd)
        return status


def test_a_terminal_asks_twice_and_shows_nothing(users):
    terminal = Terminal(users, "alice")
    assert terminal.echoes()
    terminal.answer("Password: ", PASSWORD + "\n")
    terminal.answer("Again: ", PASSWORD + "\n")
    assert os.waitstatus_to_exitcode(terminal.end()) == 0
    assert terminal.seen == "Password: \r\nAgain: \r\nThe user can log in now.\r\n"
    assert user(users, "list").stdout == "scram alice\n"


@pytest.mark.parametrize("first, second, why", [
    (PASSWORD, PASSWORD + "!", "the two passwords differ"),
    ("", "", "the password is empty"),
    ("x" * 1025, None, "no password was read"),
])
def test_a_terminal_takes_no_slip(users, first, second, why):
    terminal = Terminal(users, "alice")
    terminal.answer("Password: ", first + "\n")
    if second is not None:
        terminal.answer("Again: ", second + "\n")
    assert os.waitstatus_to_exitcode(terminal.end()) == 65
    assert why in terminal.seen and not users.exists()


@pytest.mark.parametrize("end", ["key", signal.SIGTERM])
def test_who_breaks_off_gets_the_echo_back(users, end):
    terminal = Terminal(users, "alice")
    terminal.wait_for("Password: ")
    # Held open: with its last user a terminal loses what was set.
    slave = os.open(f"/proc/{terminal.pid}/fd/0", os.O_RDWR | os.O_NOCTTY)
    if end == "key":
        terminal.answer("Password: ", "half\x03")
    else:
        terminal.answer("Password: ", "half")
        os.kill(terminal.pid, end)
    status = os.waitpid(terminal.pid, 0)[1]
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == (signal.SIGINT if end == "key" else end)
    assert termios.tcgetattr(slave)[3] & termios.ECHO
    assert not users.exists()
    os.close(slave)
    os.close(terminal.fd)


def test_without_a_terminal_it_says_what_else_there_is(users):
    done = subprocess.run([BUILD / "sendoff", "user", "add", "alice", "--file", users], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, start_new_session=True, timeout=60)
    assert done.returncode == 64 and "--password-stdin" in done.stderr and not users.exists()
