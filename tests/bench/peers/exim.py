import os

import harness
import programs
from peers.peer import DEAD_DOMAIN, DEAD_PORT, Rooted, command


class Exim(Rooted):
    """Debian's, with a process for each delivery, as it comes."""

    name = "exim"
    package = "."
    program = "usr/sbin/exim4"
    parts = ("usr/sbin/exim4",)
    users = ("Debian-exim",)

    def start(self, relay, clients=200):
        self.port = harness.free_port()
        owner = self.uid("Debian-exim")
        (self.root / "usr" / "sbin" / "sendmail").symlink_to("exim4")
        self.spool("var/spool/exim4", owner, 0o750)
        log = self.root / "var" / "log" / "exim4"
        log.mkdir()
        os.chown(log, owner, owner)
        ca = ""
        if relay.sink and relay.sink.ca:
            self.write("etc/ca.pem", relay.sink.ca.read_text())
            ca = ("hosts_require_tls = *\n  tls_verify_certificates = /etc/ca.pem\n  tls_verify_hosts = *\n"
                  "  tls_verify_cert_hostnames = :\n")
        self.write("etc/exim4/exim4.conf", f"""
primary_hostname = exim.example.org
local_interfaces = 127.0.0.1
daemon_smtp_ports = {self.port}
smtp_accept_max = {clients + 50}
smtp_accept_queue_per_connection = 0
smtp_connect_backlog = 1024
smtp_receive_timeout = 10m
message_size_limit = 60M
tls_advertise_hosts =
trusted_users = root
never_users =
keep_environment =
host_lookup =
rfc1413_query_timeout = 0s
queue_only = {"true" if relay.keeps else "false"}
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  accept
begin routers
dead:
  driver = manualroute
  domains = {DEAD_DOMAIN}
  route_list = * 127.0.0.1
  self = send
  transport = dead
all:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = relay
begin transports
dead:
  driver = smtp
  port = {DEAD_PORT}
  allow_localhost
relay:
  driver = smtp
  port = {relay.sink.port if relay.sink else DEAD_PORT}
  allow_localhost
  {ca}
begin retry
* * F,1h,1m
""")
        self.restart()
        self.wait_listening()

    def restart(self):
        self.launch(["/usr/sbin/exim4", "-bdf", "-q1m"])

    def listing(self):
        return command(self.inside(["/usr/sbin/exim4", "-bp"]))

    def remove_all(self):
        ids = [line.split()[2] for line in self.listing().splitlines() if " <" in line]
        for at in range(0, len(ids), 500):
            try:
                command(self.inside(["/usr/sbin/exim4", "-Mrm", *ids[at:at + 500]]))
            except programs.Failed:  # one that is at work on has gone, or is locked
                pass
