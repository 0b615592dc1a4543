import os
import pathlib
import pwd
import subprocess

import harness
import meter
from peers.peer import DEAD_DOMAIN, DEAD_PORT, Peer, command

PROGRAMS = pathlib.Path("/usr/lib/postfix/sbin")
SERVICES = """
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
smtp unix - - n - - smtp
scache unix - - n - 1 scache
tlsproxy unix - - n - 0 tlsproxy
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix(Peer):
    """Debian's, which is installed for the tests; as a null client, its other settings as they come."""

    name = "postfix"

    @classmethod
    def missing(cls):
        if os.geteuid() != 0:
            return "its master only runs as root"
        if not PROGRAMS.exists():
            return "it is not installed"
        return None

    def settings(self, relay, clients):
        rest, owner = self.place.path, pwd.getpwnam("postfix")
        for folder in (self.place.disk / "queue", rest / "etc", rest / "data"):
            folder.mkdir()
        os.chown(rest / "data", owner.pw_uid, owner.pw_gid)
        settings = {
            "compatibility_level": "3.6", "myhostname": "postfix.example.org", "mydestination": "",
            "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4", "mynetworks": "127.0.0.0/8",
            "queue_directory": self.place.disk / "queue", "data_directory": rest / "data", "maillog_file": rest / "log",
            "maillog_file_prefixes": rest, "message_size_limit": "60000000", "local_recipient_maps": "", "alias_maps": "",
            "alias_database": "", "smtpd_tls_security_level": "none", "smtpd_peername_lookup": "no",
            "smtpd_recipient_restrictions": "permit_mynetworks,reject", "default_process_limit": clients + 50,
            "smtpd_relay_restrictions": "permit_mynetworks,reject", "smtpd_client_connection_count_limit": "0",
            "smtpd_client_connection_rate_limit": "0", "in_flow_delay": "0", "smtp_dns_support_level": "disabled",
            "smtp_host_lookup": "native", "smtpd_timeout": "600"}
        if relay.keeps:
            settings["smtpd_client_restrictions"] = "static:HOLD"
        if relay.sink:
            settings["relayhost"] = f"[127.0.0.1]:{relay.sink.port}"
        if relay.split:
            settings["transport_maps"] = f"inline:{{ {DEAD_DOMAIN}=smtp:[127.0.0.1]:{DEAD_PORT} }}"
        if relay.sink and relay.sink.ca:
            settings.update(smtp_tls_security_level="verify", smtp_tls_CAfile=relay.sink.ca,
                            smtp_tls_verify_cert_match="localhost")
        return settings

    def start(self, relay, clients=200, **more):
        self.port = harness.free_port()
        etc = self.place.path / "etc"
        settings = {**self.settings(relay, clients), **more}
        (etc / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        (etc / "master.cf").write_text(f"127.0.0.1:{self.port} inet n - n - {clients + 50} smtpd\n"
                                       + SERVICES)
        command(["postfix", "-c", etc, "start"])
        harness.until(self.is_listening, "Postfix")

    def restart(self):
        command(["postfix", "-c", self.place.path / "etc", "start"])

    def master(self):
        return int((self.place.disk / "queue" / "pid" / "master.pid").read_text())

    def pids(self):
        return meter.descendants(self.master())

    def sendmail(self):
        return ["/usr/sbin/sendmail", "-C", self.place.path / "etc", "-t", "-i", "-f", "load@example.org"], {}

    def listing(self):
        return command(["postqueue", "-c", self.place.path / "etc", "-p"])

    def remove_all(self):
        command(["postsuper", "-c", self.place.path / "etc", "-d", "ALL"])

    def stop(self):
        pids = self.pids()
        subprocess.run(["postfix", "-c", str(self.place.path / "etc"), "abort"], capture_output=True, timeout=60)
        harness.until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "Postfix's end")
