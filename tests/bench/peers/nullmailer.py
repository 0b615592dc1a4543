import os

from peers.peer import DEAD_PORT, Rooted


class Nullmailer(Rooted):
    """A command that writes messages down, and a daemon that sends one after the other, each by a process."""

    name = "nullmailer"
    has_smtp = False
    note = "takes mail by its command only: N clients are N commands at a time"
    package = "nullmailer"
    program = "usr/sbin/nullmailer-send"
    parts = ("usr/sbin/nullmailer-send", "usr/sbin/nullmailer-queue", "usr/sbin/sendmail", "usr/lib/nullmailer",
             "usr/bin/nullmailer-inject", "usr/bin/nullmailer-dsn", "usr/bin/mailq")
    BOUND = tuple(name for name in Rooted.BOUND if name != "usr/bin")

    def start(self, relay, clients=200):
        spool = self.spool("var/spool/nullmailer", mode=0o755)
        for folder in ("queue", "tmp", "failed"):
            (spool / folder).mkdir()
        os.mkfifo(spool / "trigger")
        self.write("etc/mailname", "nullmailer.example.org\n")
        self.write("etc/nullmailer/me", "nullmailer.example.org\n")
        tls = ""
        if relay.sink and relay.sink.ca:
            self.write("etc/ca.pem", relay.sink.ca.read_text())
            tls = " --starttls --x509cafile=/etc/ca.pem --insecure"
        self.write("etc/nullmailer/remotes",
                   f"127.0.0.1 smtp --port={relay.sink.port if relay.sink else DEAD_PORT}{tls}\n")
        if not relay.keeps:
            self.restart()

    def restart(self):
        self.launch(["/usr/sbin/nullmailer-send"])
