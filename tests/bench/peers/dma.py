import pwd

from peers.peer import DEAD_PORT, Rooted, command


class Dma(Rooted):
    """No daemon: each command writes the message down and leaves a process behind that delivers it."""

    name = "dma"
    has_smtp = False
    has_tls = True
    note = "takes mail by its command only: N clients are N commands at a time"
    package = "dma"
    program = "usr/sbin/dma"
    parts = ("usr/sbin/dma",)

    def start(self, relay, clients=200):
        self.relay = relay
        (self.root / "usr" / "sbin" / "sendmail").symlink_to("dma")
        # As root it becomes this user.
        self.spool("var/spool/dma", pwd.getpwnam("mail").pw_uid, 0o2775)
        port = relay.sink.port if relay.sink else DEAD_PORT
        lines = ["SMARTHOST 127.0.0.1", f"PORT {port}", "MAILNAME dma.example.org", "NULLCLIENT"]
        if relay.keeps:
            lines.append("DEFER")
        if relay.sink and relay.sink.ca:
            lines += ["SECURETRANSFER", "STARTTLS"]
        self.write("etc/dma/dma.conf", "\n".join(lines) + "\n")
        self.write("etc/dma/auth.conf", "")

    def restart(self):
        pass

    def listing(self):
        return command(self.inside(["/usr/sbin/dma", "-bp"]))
