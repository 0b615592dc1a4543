"""The demo's other program: hands in two mails by SMTP over the agent's Unix socket, and compares what arrived."""

import pathlib
import random
import re
import smtplib
import socket
import sys


class Local(smtplib.SMTP):
    """smtplib over a Unix socket."""

    def __init__(self, path):
        self.path = path
        super().__init__("localhost", timeout=60)

    def _get_socket(self, host, port, timeout):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(timeout)
        s.connect(self.path)
        return s


def field(name, subject):
    return (f"From: Carol <carol@example.org>\r\nTo: bob@example.net\r\nSubject: {subject}\r\n"
            f"Date: Tue, 24 Nov 2026 05:30:00 +0000\r\nMessage-ID: <{name}@example.org>\r\n")


def send(folder):
    noise = random.Random(1)
    big = "".join(noise.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", k=76 * 4096))
    lines = [big[i:i + 76] for i in range(0, len(big), 76)]
    body = "\r\n".join(noise.choice(lines) for _ in range(20 * 1024 * 1024 // 78)) + "\r\n"
    mails = {
        "two": field("two", "two") + "\r\nHello by SMTP.\r\n.. and dots\r\n",
        "three": field("three", "three, with 20 MB") + 'MIME-Version: 1.0\r\nContent-Type: application/octet-stream; '
        'name="photo.raw"\r\nContent-Transfer-Encoding: base64\r\n\r\n' + body,
    }
    with Local(str(folder / "submit")) as smtp:
        for name, mail in mails.items():
            (folder / f"sent.{name}").write_bytes(mail.encode())
            smtp.sendmail("carol@example.org", ["bob@example.net"], mail.encode())
            print(f"mail {name}: {len(mail)} bytes, accepted")


def compare(folder):
    sent = {}
    for path in folder.glob("sent.*"):
        raw = path.read_bytes()
        sent[path.name] = raw if b"\r\n" in raw else raw.replace(b"\n", b"\r\n")
    got = [re.sub(rb"\A(Received: .*\r\n(?:[ \t].*\r\n)*)+", b"", p.read_bytes())
           for p in sorted((folder / "delivered" / "new").iterdir())]
    wrong = [name for name, raw in sent.items() if got.count(raw) != 1]
    if wrong or len(got) != len(sent):
        sys.exit(f"sent {len(sent)}, arrived {len(got)}; not once and byte for byte: {wrong}")
    print(f"{len(got)} mails compared byte for byte: the same as sent, each once.")


{"send": send, "compare": compare}[sys.argv[1]](pathlib.Path(sys.argv[2]))
