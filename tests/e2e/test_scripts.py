"""The session scripts of the server engine, played against a running agent over TCP and its Unix socket."""

import re
import socket

import pytest

from harness import ROOT, Agent

FOLDER = ROOT / "tests" / "scripts" / "server"
SETTINGS = {"helo_first", "cut"}  # the only ones that do not change what the engine says
QUIET = ("store", "close", "body", "abort", "accept", "protocol", "helo", "rcpts", "rcpt", "envelope", "eof")
ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}


def decode(text):
    text = re.sub(r"\{([^{}]+)\*(\d+)\}", lambda m: m.group(1) * int(m.group(2)), text)
    out, i = b"", 0
    while i < len(text):
        if text[i] == "\\" and text[i + 1] == "x":
            out += bytes.fromhex(text[i + 2:i + 4])
            i += 4
        elif text[i] == "\\":
            out += ESCAPES[text[i + 1]]
            i += 2
        else:
            out += text[i].encode()
            i += 1
    return out


def read_script(path):
    """[(mark, text)], or None where only the engine's own driver can play it."""
    steps = []
    for line in path.read_text().splitlines():
        mark, text = line[:1], line[2:]
        if not line or mark == "#":
            continue
        word = text.split(" ", 1)[0]
        if mark == "+" or (mark == "=" and word not in SETTINGS) or (mark in "!@" and word not in QUIET):
            return None
        if line.startswith(">|"):
            steps.append((">", decode(line[3:])))
        elif mark == ">":
            steps.append((">", decode(text) + b"\r\n"))
        else:
            steps.append((mark, text))
    return steps


PLAYABLE = sorted(p.stem for p in FOLDER.glob("*.smtp") if read_script(p) is not None)


@pytest.fixture(scope="module")
def agent():
    import harness
    scratch = harness.Scratch()
    yield Agent(scratch).start()
    scratch.close()


class Peer:
    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(30)
        self.file = sock.makefile("rb")

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            pass  # hung up on: what was said before is still to be read

    def line(self):
        return self.file.readline().removesuffix(b"\r\n").decode()

    def at_end(self):
        try:
            return self.file.read(1) == b""
        except ConnectionError:
            return True


def fits(want, got, stored):
    want = want.replace("mx.example.org", "agent.example.org")
    if stored:  # the words are the queue's
        return got.startswith("250 2.0.0 queued as ")
    if want == "250-SIZE":
        return got.startswith(want)
    return got.startswith(want[:-3]) if want.endswith("...") else got == want


def play(steps, peer):
    group, stored = b"", False
    if ("=", "helo_first") in steps:
        peer.line()
        peer.send(b"EHLO client.example\r\n")
        while peer.line().startswith("250-"):
            pass
    for mark, text in steps:
        if mark == ">":
            group += text
            continue
        peer.send(group)
        group = b""
        if mark == "<":
            got = peer.line()
            assert fits(text, got, stored), f"said {got!r}, wanted {text!r}"
            stored = False
        elif text.startswith("accept"):
            stored = True
        elif text == "eof":
            peer.sock.shutdown(socket.SHUT_WR)
        elif text == "close":
            assert peer.at_end()


@pytest.mark.parametrize("name", PLAYABLE)
def test_the_agent_says_what_the_script_says(agent, name):
    steps = read_script(FOLDER / f"{name}.smtp")
    with socket.create_connection(("127.0.0.1", agent.port), 30) as sock:
        play(steps, Peer(sock))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(agent.socket))
        play(steps, Peer(sock))


def test_most_scripts_can_be_played():
    assert len(PLAYABLE) > 30
