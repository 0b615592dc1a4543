"""A message arrives as it was sent, but for what a written rule says; and converted for a next hop with less, it still
says the same.

Every message of the corpora (tests/corpus) and random ones of a new seed each time go through the real agent. A failure
prints the seed; SEED=n runs it again.
"""

import email
import json
import os
import pathlib
import random
import re
import socket
import subprocess
import sys

import pytest
from harness import BUILD, Agent, Sink, until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "corpus"))
import corpora  # noqa: E402
import torture  # noqa: E402

SEED = int(os.environ.get("SEED", random.SystemRandom().randrange(2**32)))
RANDOM = int(os.environ.get("RANDOM_MESSAGES", "150"))
HEADER_MAX = 256 * 1024


@pytest.fixture
def relay(scratch):
    sink = Sink(scratch, tls="none", auth=None)
    return Agent(scratch, sink.smarthost()).start(), sink


@pytest.fixture(scope="module")
def real_messages():
    found = list(corpora.real())
    if not found:
        pytest.skip("no real messages here: tests/corpus/fetch build/corpus gets them from Debian packages")
    return found


def random_messages(make, count=RANDOM):
    print(f"SEED={SEED}")
    rng = random.Random(SEED)
    return [(f"random message {n} of SEED={SEED}", make(rng)) for n in range(count)]


# ---------------------------------------------------------------- handing in


class Client:
    """SMTP with nothing between the test and the wire."""

    def __init__(self, agent):
        self.socket = socket.create_connection(("127.0.0.1", agent.port), timeout=60)
        self.file = self.socket.makefile("rb")
        self.reply()
        self.command(b"EHLO client.example.org")

    def reply(self):
        while True:
            line = self.file.readline()
            assert line, "the agent closed the connection"
            if line[3:4] != b"-":
                return line.decode().strip()

    def command(self, line):
        self.socket.sendall(line + b"\r\n")
        return self.reply()

    def envelope(self, number, options=b""):
        assert self.command(b"MAIL FROM:<m%d@example.org>%s" % (number, options)).startswith("250")
        assert self.command(b"RCPT TO:<bob@example.net>").startswith("250")

    def data(self, number, raw):
        self.envelope(number, b" BODY=8BITMIME")
        assert self.command(b"DATA").startswith("354")
        raw = ended(raw)
        self.socket.sendall(re.sub(rb"(\A|\r\n)\.", rb"\1..", raw) + b".\r\n")
        return self.reply()

    def bdat(self, number, raw, body=b"8BITMIME", cut=None):
        self.envelope(number, b" BODY=" + body)
        cut = cut or len(raw) or 1
        pieces = [raw[i:i + cut] for i in range(0, len(raw), cut)] or [b""]
        for i, piece in enumerate(pieces):
            last = i == len(pieces) - 1
            self.socket.sendall(b"BDAT %d%s\r\n" % (len(piece), b" LAST" if last else b"") + piece)
            reply = self.reply()
        return reply


def by_sendmail(agent, number, raw):
    done = subprocess.run([str(BUILD / "sendmail"), "-i", "-f", f"m{number}@example.org", "bob@example.net"], input=raw,
                          env={**os.environ, "SENDOFF_SUBMIT": str(agent.socket)}, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return "250"


# ---------------------------------------------------------------- looking


def arrived(sink, senders):
    """The messages by the number in their sender; reports by the number in their recipient."""
    folder = sink.maildir / "envelopes"
    seen, mails, reports = set(), {}, {}

    def look():
        for path in folder.iterdir() if folder.exists() else []:
            body = sink.maildir / "new" / path.stem
            if path.name in seen or path.suffix != ".json" or not body.exists():
                continue
            seen.add(path.name)
            envelope, body = json.loads(path.read_text()), body.read_bytes()
            number = int(re.match(r"m(\d+)@", envelope["sender"] or envelope["recipients"][0]).group(1))
            (mails if envelope["sender"] else reports)[number] = body
        return len(mails) + len(reports) >= senders

    until(look, lambda: f"{senders} messages; there are {len(mails)} and {len(reports)} reports", 120)
    return mails, reports


def normalized(raw):
    return re.sub(rb"\r\n|\r|\n", b"\r\n", raw)


FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")


def header_of(raw):
    """Where the fields of a message end, whether an empty line is there, and their names."""
    at, names = 0, []
    for line in raw.splitlines(keepends=True) if b"\r" not in raw.replace(b"\r\n", b"") else re.findall(
            rb"[^\n]*\n|[^\n]+\Z", raw):
        if line in (b"\r\n", b"\n"):
            return at, True, names
        if line[:1] in b" \t" and names:
            pass
        elif FIELD.match(line):
            names.append(line.split(b":")[0].strip().lower())
        else:
            return at, False, names
        at += len(line)
    return at, None, names


TRACE = rb"Received: [^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*"
ADDED = [b"Date", b"From", b"Message-ID"]
ADDRESSES = [b"from", b"sender", b"reply-to", b"to", b"cc"]
DOMAIN = b"@agent.example.org"


def unqualified(raw):
    """Without the domain that bare names get."""
    fields = b"|".join(ADDRESSES + [b"resent-" + name for name in ADDRESSES])
    end = header_of(raw)[0]
    return re.sub(rb"(?im)^(?:" + fields + rb")[ \t]*:(?:[^\n]*(?:\n[ \t])?)*",
                  lambda field: field.group().replace(DOMAIN, b""), raw[:end]) + raw[end:]


def after_rules(sent):
    """What follows the fields in front."""
    mailbox = re.match(rb">*From [^\r\n]*\r?\n", sent)
    rest = sent[mailbox.end():] if mailbox and FIELD.match(sent[mailbox.end():]) else sent
    end, blank, names = header_of(rest)
    prefix = b"X-Mailbox-Line: " + mailbox.group() if rest is not sent else b""
    if blank is False or (not names and not blank):
        rest = rest[:end] + b"\r\n" + rest[end:]
    return prefix + rest


def check_transparent(name, sent, got):
    """All that may differ:

    - a Received field stands in front, and behind it Date, From and Message-ID (or their Resent- forms) where they are
      missing, nothing else;
    - bare names in From, Sender, Reply-To, To, Cc and their Resent- forms get the domain of this machine;
    - a first line "From joe ..." with a field behind it is called X-Mailbox-Line;
    - where the header ends without an empty line although something follows, or there is none, there is one;
    - to a header of more than 256 KB only Received is added.
    """
    rest = after_rules(sent)
    end, _, names = header_of(rest)
    assert DOMAIN not in sent
    if not got.endswith(rest):
        got = unqualified(got)
    assert got.endswith(rest), f"{name}: changed\n{got[:3000]!r}\n-- instead of\n{rest[:3000]!r}"
    added = got[:len(got) - len(rest)]
    again = b"Resent-" if any(n.startswith(b"resent-") for n in names) else b""
    missing = [again + f for f in ADDED if (again + f).lower() not in names] if end < HEADER_MAX else []
    found = re.fullmatch(TRACE + rb"((?:[^\r\n]*\r\n)*)", added)
    assert found, f"{name}: added {added!r}"
    for line in found.group(1).splitlines():
        assert line.split(b":")[0] in missing, f"{name}: added {added!r}"
        missing.remove(line.split(b":")[0])


def check_all(agent, sink, messages, hand_in, becomes):
    for number, (name, raw) in enumerate(messages):
        reply = hand_in(number, raw)
        assert reply.startswith("250"), f"{name}: {reply}"
    mails, reports = arrived(sink, len(messages))
    assert not reports
    for number, (name, raw) in enumerate(messages):
        check_transparent(name, becomes(raw), mails[number])


def ended(raw):
    """What stands in front of the final dot ends with CRLF."""
    return raw if raw.endswith(b"\r\n") or not raw else raw + b"\r\n"


def by_data(raw):
    return normalized(ended(raw))


def without_nul(messages):
    return [(name, raw) for name, raw in messages if b"\0" not in raw]


def test_torture_by_data(relay):
    agent, sink = relay
    check_all(agent, sink, without_nul(torture.fixed()), Client(agent).data, by_data)


def test_real_messages_by_data(relay, real_messages):
    agent, sink = relay
    check_all(agent, sink, without_nul(real_messages), Client(agent).data, by_data)


def test_random_bytes_by_data(relay):
    agent, sink = relay
    check_all(agent, sink, without_nul(random_messages(torture.random_bytes)), Client(agent).data, by_data)


def test_random_messages_by_data(relay):
    agent, sink = relay
    check_all(agent, sink, random_messages(torture.random_message), Client(agent).data, by_data)


def bdat(client, body):
    """In chunks of all sizes."""
    return lambda number, raw: client.bdat(number, raw, body, (len(raw) + 1) // (1 + number % 5) or None)


def test_torture_by_bdat(relay):
    agent, sink = relay
    check_all(agent, sink, without_nul(torture.fixed()), bdat(Client(agent), b"8BITMIME"),
              lambda raw: ended(normalized(raw)))


def test_real_messages_by_bdat(relay, real_messages):
    agent, sink = relay
    check_all(agent, sink, real_messages, bdat(Client(agent), b"8BITMIME"), lambda raw: ended(normalized(raw)))


def test_torture_binary(relay):
    """BINARYMIME all the way: not even line ends change."""
    agent, sink = relay
    check_all(agent, sink, list(torture.fixed()), bdat(Client(agent), b"BINARYMIME"), lambda raw: raw)


def test_random_bytes_binary(relay):
    agent, sink = relay
    check_all(agent, sink, random_messages(torture.random_bytes), bdat(Client(agent), b"BINARYMIME"), lambda raw: raw)


def by_data_of_sendmail(raw):
    """sendmail(8): a mailbox line in front of a header is dropped, and a header is ended by an empty line."""
    raw = normalized(raw)
    mailbox = re.match(rb"From [^\r\n]*\r\n", raw)
    raw = raw[mailbox.end():] if mailbox and FIELD.match(raw[mailbox.end():]) else raw
    end, blank, _ = header_of(raw)
    return ended(raw if blank else ended(raw[:end]) + b"\r\n" + raw[end:])


def test_torture_by_sendmail(relay):
    agent, sink = relay
    endless = [(name, raw) for name, raw in torture.fixed() if name == "2 MB without any line end"]
    messages = [m for m in without_nul(torture.fixed()) if m not in endless]
    check_all(agent, sink, messages, lambda n, raw: by_sendmail(agent, n, raw), by_data_of_sendmail)
    for _, raw in endless:
        with pytest.raises(AssertionError, match="the header has no end"):
            by_sendmail(agent, 0, raw)


def test_real_messages_by_sendmail(relay, real_messages):
    """As programs write them: lines end with LF."""
    agent, sink = relay
    check_all(agent, sink, real_messages, lambda n, raw: by_sendmail(agent, n, raw.replace(b"\r\n", b"\n")),
              by_data_of_sendmail)


# ---------------------------------------------------------------- converted


SEVEN = ("--without", "8BITMIME", "--without", "BINARYMIME")
EIGHT = ("--without", "BINARYMIME")


def leaves(raw):
    """What a reader gets of every part: what its header says of the content, and the bytes, decoded."""
    out = []

    def walk(part):
        said = [(k.lower(), str(v)) for k, v in part.items() if k.lower().startswith("content-")
                and k.lower() != "content-transfer-encoding" and "unknown-8bit" not in str(v)]
        if part.is_multipart():
            out.append((part.get_content_type(), said))
            for inner in part.get_payload():
                walk(inner)
        else:
            out.append((part.get_content_type(), part.get_filename(), said, part.get_payload(decode=True)))

    walk(email.message_from_bytes(raw, policy=email.policy.compat32))
    return out


def forbidden(raw, seven):
    """What such a server must not get, in a line behind the header."""
    body = raw[header_of(raw)[0]:]
    if re.search(rb"\r(?!\n)|(?<!\r)\n|\0", body):
        return "NUL or a bare line end"
    if seven and re.search(rb"[\x80-\xff]", body):
        return "a byte above 127"
    if any(len(line) > 998 for line in body.split(b"\r\n")):
        return "a long line"
    return None


def is_reason(report):
    return re.search(rb"5\.6\.3 .*(signed or encrypted|must not be encoded|cannot be split|too deeply|too many parts|NUL)",
                     report.replace(b"\r\n", b" "))


# Bytes above 127 in the header of a part, which nobody may change.
EIGHT_BIT_HEADERS = {"mime-bad-8bit-filename.raw"}
# Text that is labelled base64 and is none: it can be read now. And what Python cannot read.
INCOMPARABLE = {"text, labelled base64", "1,000 levels"}


def check_converted(sink, sent, seven, cannot=()):
    """Each arrives and says the same (perhaps with a line end at its end), or its sender is told why it cannot."""
    mails, reports = arrived(sink, len(sent))
    for number, (name, raw) in enumerate(sent):
        if number in reports:
            assert is_reason(reports[number]), f"{name}: {reports[number]!r}"
            assert name in cannot, f"{name}: {reports[number]!r}"
            continue
        assert name not in cannot, f"{name} was sent"
        got = mails[number]
        left = forbidden(got, seven and name not in EIGHT_BIT_HEADERS)
        assert not left, f"{name}: {left} in\n{got[:3000]!r}"
        if name in INCOMPARABLE:
            continue
        raw = b"X: x\r\n" + after_rules(raw)
        assert leaves(got) in (leaves(raw), leaves(ended(raw))), \
            f"{name}: says something else\n{raw[:3000]!r}\n--\n{got[:3000]!r}"


@pytest.fixture
def narrow(scratch):
    def start(*options):
        sink = Sink(scratch, *options, tls="none", auth=None)
        return Agent(scratch, sink.smarthost()).start(), sink

    return start


# It must change and cannot.
SIGNED = {"signed"}


def hand_in(agent, messages, how):
    for number, (name, raw) in enumerate(messages):
        assert how(number, raw).startswith("250"), name


def test_torture_for_a_seven_bit_server(narrow):
    agent, sink = narrow(*SEVEN)
    messages = without_nul(torture.fixed())
    hand_in(agent, messages, Client(agent).data)
    check_converted(sink, [(name, by_data(raw)) for name, raw in messages], True, SIGNED)


def test_real_messages_for_a_seven_bit_server(narrow, real_messages):
    agent, sink = narrow(*SEVEN)
    hand_in(agent, real_messages, Client(agent).data)
    check_converted(sink, [(name, by_data(raw)) for name, raw in real_messages], True)


def test_random_messages_for_a_seven_bit_server(narrow):
    agent, sink = narrow(*SEVEN)
    messages = random_messages(torture.random_message)
    hand_in(agent, messages, Client(agent).data)
    check_converted(sink, messages, True)


@pytest.mark.parametrize("options", [SEVEN, EIGHT], ids=["seven", "eight"])
def test_random_binary_messages_for_a_server_without_binarymime(narrow, options):
    agent, sink = narrow(*options)
    messages = random_messages(lambda rng: torture.random_message(rng, bare=True))
    hand_in(agent, messages, bdat(Client(agent), b"BINARYMIME"))
    check_converted(sink, messages, options is SEVEN)


def test_torture_for_an_eight_bit_server(narrow):
    agent, sink = narrow(*EIGHT)
    messages = list(torture.fixed())
    hand_in(agent, messages, bdat(Client(agent), b"BINARYMIME"))
    check_converted(sink, messages, False)


def test_real_messages_for_an_eight_bit_server(narrow, real_messages):
    agent, sink = narrow(*EIGHT)
    hand_in(agent, real_messages, bdat(Client(agent), b"BINARYMIME"))
    check_converted(sink, real_messages, False)
