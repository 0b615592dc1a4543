import os

import harness
from peers.peer import DEAD_DOMAIN, DEAD_PORT, Rooted, command


class OpenSMTPD(Rooted):
    name = "opensmtpd"
    is_durable = False
    note = "answers 250 without a flush: not durable"
    package = "."
    program = "usr/sbin/smtpd"
    parts = ("usr/sbin/smtpd", "usr/sbin/smtpctl", "usr/libexec/opensmtpd")
    users = ("opensmtpd", "opensmtpq")

    def start(self, relay, clients=200):
        self.port = harness.free_port()
        (self.root / "usr" / "sbin" / "sendmail").symlink_to("smtpctl")
        (self.root / "var/lib/opensmtpd/empty").mkdir(parents=True)
        # The command that talks to the daemon demands its group.
        ctl, group = self.root / "usr" / "sbin" / "smtpctl", self.uid("opensmtpq")
        os.chown(ctl, 0, group)
        ctl.chmod(0o2755)
        # No name server: its resolver looks into the hosts file only.
        self.write("etc/resolv.conf", "lookup file\n")
        self.write("etc/hosts", "127.0.0.1 localhost opensmtpd.example.org\n")
        self.spool("var/spool/smtpd", mode=0o711)
        url = f"smtp+notls://127.0.0.1:{relay.sink.port if relay.sink else DEAD_PORT}"
        more = ""
        if relay.sink and relay.sink.ca:
            url, more = f"smtp+tls://127.0.0.1:{relay.sink.port}", "tls no-verify"
        self.write("etc/smtpd.conf", f"""
smtp max-message-size "60M"
smtp limit max-mails 100000000
listen on socket
listen on 127.0.0.1 port {self.port} hostname "opensmtpd.example.org"
action "dead" relay host smtp+notls://127.0.0.1:{DEAD_PORT}
action "out" relay host {url} {more}
match from any for domain "{DEAD_DOMAIN}" action "dead"
match from any for any action "out"
""", 0o600)
        self.restart()
        self.wait_listening()
        if relay.keeps:
            command(self.inside(["/usr/sbin/smtpctl", "pause", "mta"]))

    def restart(self):
        self.launch(["/usr/sbin/smtpd", "-d"])

    def listing(self):
        return command(self.inside(["/usr/sbin/smtpctl", "show", "queue"]))

    def remove_all(self):
        command(self.inside(["/usr/sbin/smtpctl", "remove", "all"]))
