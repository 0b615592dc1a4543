#!/usr/bin/env python3
"""Messages that are hard to carry: tests/corpus/torture.py DIRECTORY [SEED] writes them, tests import it.

fixed() are the cases that were thought of, always the same. random_message(rng) is one that was not: parts of all kinds,
nested, with their true contents and sometimes with wrong labels; random_bytes(rng) has no structure at all.
"""

import random
import sys
from pathlib import Path

HEAD = b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: torture\r\n"
MIME = HEAD + b"MIME-Version: 1.0\r\n"
TEXT8 = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"


def part(head, body, boundary=b"b"):
    return b"--" + boundary + b"\r\n" + head + b"\r\n" + body + b"\r\n"


def mixed(*parts, boundary=b"b", head=MIME, subtype=b"mixed", close=True):
    return (head + b"Content-Type: multipart/" + subtype + b'; boundary="' + boundary + b'"\r\n\r\n' + b"".join(parts)
            + (b"--" + boundary + b"--\r\n" if close else b""))


def nest(depth, inner):
    out = []
    for i in range(depth):
        out.append(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i))
    out.append(inner)
    out += [b"\r\n--b%d--\r\n" % i for i in reversed(range(depth))]
    return MIME + b"".join(out)


def fixed():
    """(name, message): with CRLF line ends but where the point is that they are not."""
    u = "Grüße aus Köln, 你好\r\n".encode()
    every = bytes(range(256))
    yield "plain", HEAD + b"\r\nhello\r\n"
    yield "empty", b""
    yield "only a header", HEAD
    yield "only a header, not ended", HEAD[:-2]
    yield "header and empty line", HEAD + b"\r\n"
    yield "only a body", b"\r\nhello\r\n"
    yield "a body without empty line", HEAD + b"this is no field\r\nhello\r\n"
    yield "no header", b"this is no field\r\nhello\r\n"
    yield "a mailbox line", b"From alice@example.org Tue Nov 24 05:30:00 2026\r\n" + HEAD + b"\r\nhello\r\n"
    yield "a mailbox line as text", b"From now on all is different.\r\nReally.\r\n"
    yield "no final line end", HEAD + b"\r\nhello"
    yield "dots", HEAD + b"\r\n.\r\n..\r\n...\r\n. \r\n.x\r\n.\r\n"
    yield "dots at the end", HEAD + b"\r\nx\r\n."
    yield "blanks", HEAD + b"\r\n \r\n\t\r\nx \r\n\r\n \t \r\n\r\n\r\n"
    yield "From at the start", HEAD + b"\r\nFrom here\r\n>From there\r\n"
    yield "lone CR and LF", HEAD + b"\r\na\rb\nc\r\r\nd\n\r\ne\r"
    yield "smuggled ends", HEAD + b"\r\na\n.\nb\r.\rc\n.\r\nd\r\n.\re\r\n"
    yield "all byte values", MIME + b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n" \
        + every * 20 + b"\r\n"
    yield "control bytes", HEAD + b"\r\n" + bytes(b for b in range(1, 32) if b not in b"\r\n") + b"\x7f\r\n"
    yield "UTF-8 everywhere", "From: Älice <alice@example.org>\r\nSubject: Grüße\r\nX-Ünknown: x\r\n\r\n".encode() + u
    yield "UTF-8 in a header", "From: alice@example.org\r\nSubject: Grüße\r\n\r\nhello\r\n".encode()
    yield "Latin-1 undeclared", HEAD + b"\r\nGr\xfc\xdfe\r\n"
    yield "not UTF-8 in a header", b"Subject: Gr\xfc\xdfe\r\n\r\nhello\r\n"
    yield "lines of 998 and more", HEAD + b"\r\n" + b"".join(b"x" * n + b"\r\n" for n in (997, 998, 999, 1000, 5000))
    yield "one line of 2 MB", HEAD + b"\r\n" + b"0123456789" * 200_000 + b"\r\n"
    yield "one line of 2 MB of UTF-8", MIME + TEXT8 + b"\r\n" + "ü".encode() * 1_000_000 + b"\r\n"
    yield "2 MB without any line end", b"x" * 2_000_000
    yield "a header line of 100 KB", b"Subject: " + b"long " * 20_000 + b"\r\n" + HEAD + b"\r\nhello\r\n"
    yield "a folded field of 10,000 lines", b"X-Folded: x\r\n" + b" more\r\n" * 10_000 + HEAD + b"\r\nhello\r\n"
    yield "10,000 fields", HEAD + b"".join(b"X-Field-%d: value\r\n" % i for i in range(10_000)) + b"\r\n" + u
    yield "odd fields", b"Subject : blank before the colon\r\nx-EMPTY:\r\nx-blank: \r\nX:\r\n\t\r\n \r\n" + HEAD + b"\r\nx\r\n"
    yield "fields twice", HEAD + HEAD + b"Date: now\r\nDate: then\r\n\r\nhello\r\n"
    yield "text, 8bit", MIME + TEXT8 + b"\r\n" + u
    yield "text, base64 in one line", MIME + b"Content-Transfer-Encoding: base64\r\n\r\n" + b"R3L8" * 5000 + b"\r\n"
    yield "text, labelled quoted-printable", MIME + b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=3Db " + u
    yield "text, labelled base64", MIME + b"Content-Transfer-Encoding: base64\r\n\r\n" + u
    yield "text, labelled with nonsense", MIME + b"Content-Transfer-Encoding: 8 bits, perhaps\r\n\r\n" + u
    yield "UTF-16", MIME + b"Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: binary\r\n\r\n" \
        + "Grüße\r\n".encode("utf-16") + b"\r\n"
    yield "parts", mixed(b"pre\r\n", part(TEXT8, u), part(b"Content-Type: image/png\r\nContent-Transfer-Encoding: 8bit\r\n",
                                                          b"\xff\xfe\xfd\r\n"), part(b"", b"plain"), b"") + b"post\r\n"
    yield "8-bit around the parts", mixed(u, part(b"", b"x")) + u
    yield "part without end", mixed(part(TEXT8, u), close=False)
    yield "part without body", mixed(b"--b\r\n" + TEXT8, part(TEXT8, u))
    yield "one boundary for two levels", mixed(part(b"Content-Type: multipart/alternative; boundary=b\r\n",
                                                    part(TEXT8, u) + b"--b--"), part(TEXT8, u))
    yield "a boundary that begins another", mixed(part(b"Content-Type: multipart/mixed; boundary=bb\r\n",
                                                       part(TEXT8, u, b"bb") + b"--bb--"), part(TEXT8, u))
    yield "a boundary of 71", mixed(part(TEXT8, u, b"x" * 71), boundary=b"x" * 71)
    yield "a boundary of 300", mixed(part(b"", b"x", b"x" * 300), boundary=b"x" * 300)
    yield "boundaries with blanks behind", mixed(b"--b \t \r\n" + TEXT8 + b"\r\n" + u)
    yield "lines like boundaries", mixed(part(TEXT8, b"--bx\r\n-- b\r\n--\r\n --b\r\n" + u))
    yield "message in message", MIME + b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + MIME \
        + TEXT8 + b"\r\n" + u
    yield "digest", mixed(part(b"", HEAD + b"\r\n" + u), part(b"", MIME + TEXT8 + b"\r\n" + u), subtype=b"digest")
    yield "signed", mixed(part(TEXT8, u), part(b"Content-Type: application/pgp-signature\r\n", b"sig"), subtype=b"signed")
    yield "signed and fit", mixed(part(b"", b"text"), part(b"Content-Type: application/pgp-signature\r\n", b"sig"),
                                  subtype=b"signed")
    yield "multipart without boundary", MIME + b"Content-Type: multipart/mixed\r\n\r\n" + part(b"", b"x")
    yield "50 levels", nest(50, TEXT8 + b"\r\n" + u)
    yield "1,000 levels", nest(1000, b"\r\nx")
    yield "500 parts", mixed(*(part(TEXT8, u) for _ in range(500)))


WORDS = ["hello", "Grüße", "from", "=?utf-8?q?x?=", "--b", ".", "=3D", "你好", "\t", "café", "From ", "x" * 70, "=", "-"]
TYPES = [b"", b"Content-Type: text/plain; charset=utf-8\r\n", b"Content-Type: text/html; charset=iso-8859-1\r\n",
         b"content-type: application/octet-stream; name=\"x y.bin\"\r\n", b"Content-Type: image/png\r\n"]
LABELS = [b"", b"Content-Transfer-Encoding: 7bit\r\n", b"Content-Transfer-Encoding: 8bit\r\n",
          b"content-transfer-encoding:\r\n BINARY\r\n"]


def random_text(rng):
    lines = []
    for _ in range(rng.randrange(8)):
        lines.append(" ".join(rng.choice(WORDS) for _ in range(rng.randrange(30))))
    return "\r\n".join(lines).encode()


def random_body(rng, bare):
    if rng.random() < 0.6:
        return random_text(rng)
    data = rng.randbytes(rng.randrange(400))
    return data if bare else data.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")


def random_part(rng, depth, bare, is_message=False):
    """A part from the first byte of its header, without the line end in front of a boundary."""
    head = b"MIME-Version: 1.0\r\n" if is_message else b""
    kind = rng.random()
    if depth and kind < 0.4:
        boundary = b"%x" % rng.getrandbits(40)
        parts = [b"\r\n--" + boundary + b" " * rng.randrange(2) + b"\r\n" + random_part(rng, depth - 1, bare)
                 for _ in range(1 + rng.randrange(4))]
        return (head + rng.choice(LABELS) + b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\npre'
                + b"".join(parts) + b"\r\n--" + boundary + b"--" + rng.choice([b"", b"\r\npost\r\n"]))
    if depth and kind < 0.5:
        return (head + b"Content-Type: message/rfc822\r\n" + rng.choice(LABELS) + b"\r\nSubject: inside\r\n"
                + random_part(rng, depth - 1, bare, True))
    return head + rng.choice(TYPES) + rng.choice(LABELS) + b"\r\n" + random_body(rng, bare)


def random_message(rng, bare=False):
    """`bare`: with NUL and bare CR and LF in some bodies."""
    return HEAD + random_part(rng, 3, bare, True) + b"\r\n"


def random_bytes(rng):
    alphabet = rng.choice([bytes(range(256)), b"\r\n.", b"\r\n. :aF-\t", b"\r\n\0\xff", b"abc: \r\n\xc3\xbc"])
    data = bytes(rng.choice(alphabet) for _ in range(rng.randrange(3000)))
    return (HEAD + b"\r\n" if rng.random() < 0.5 else b"") + data


def main():
    folder, seed = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    for name, data in fixed():
        (folder / name.replace(" ", "-").replace(",", "")).write_bytes(data)
    for n in range(100):
        (folder / f"random-message-{n}").write_bytes(random_message(rng))
        (folder / f"random-bytes-{n}").write_bytes(random_bytes(rng))


if __name__ == "__main__":
    main()
