"""Exim and OpenSMTPD as receivers on loopback: their own folders, mail for anybody kept in a Maildir.

Debian's packages of the two conflict with Postfix, so they are not installed: tests/e2e/fetch-peers unpacks them into
build/peers. Users, spool and sockets that are compiled into them are put in their places in a mount namespace of their
own, so that nothing of the machine changes; that needs root.

    exim = Exim(scratch, free_port(), certificate=ca.issue("mx1.secure.test"), address="127.0.0.5")
    until(exim.messages, exim.log)
"""

import os
import subprocess

import pytest
from certificates import Authority
from harness import ROOT, Process, until

PEERS = ROOT / "build" / "peers"
USERS = ("Debian-exim", "opensmtpd", "opensmtpq", "keeper")
FIRST_UID = 64980
UIDS = {user: FIRST_UID + i for i, user in enumerate(USERS)}


class Receiver:
    """Started by a subclass, which writes its configuration and says what to run."""

    program = None

    def __init__(self, scratch, port, name, hostname, certificate=None, address="127.0.0.1"):
        if os.geteuid() != 0:
            pytest.skip(f"{name} needs root")
        if not (PEERS / self.program).exists():
            pytest.skip(f"{name} is missing: tests/install-deps test could not get it")
        if subprocess.run(["unshare", "-m", "true"], capture_output=True, timeout=60).returncode != 0:
            pytest.skip(f"{name} needs a mount namespace, which this machine does not allow")
        self.dir, self.port, self.address, self.hostname = scratch.path / name, port, address, hostname
        self.dir.mkdir()
        self.mail = self.make("mail", "keeper")
        self.certificate = certificate or Authority(self.dir / "ca").issue(hostname)
        self.mounts = []
        self.mount_users()
        self.process = Process(self.inside(self.configure()), self.dir / "output")
        scratch.add(self)
        until(self.is_listening, lambda: name + "\n" + self.log())

    def make(self, name, owner="root", mode=0o755):
        folder = self.dir / name
        folder.mkdir(parents=True)
        folder.chmod(mode)
        if owner != "root":
            os.chown(folder, UIDS[owner], UIDS[owner])
        return folder

    def mount_users(self):
        for file, line in (("passwd", "{0}:x:{1}:{1}::/nonexistent:/bin/sh\n"), ("group", "{0}:x:{1}:\n")):
            with open(f"/etc/{file}") as old:
                lines = [text for text in old if text.split(":")[0] not in USERS]
            mine = self.dir / file
            mine.write_text("".join(lines) + "".join(line.format(user, uid) for user, uid in UIDS.items()))
            self.mounts.append((mine, f"/etc/{file}"))

    def inside(self, argv):
        """The command in a mount namespace where `mounts` are in their places."""
        steps = "".join(f"mount --bind '{what}' '{where}' && " for what, where in self.mounts)
        return ["unshare", "-m", "--propagation", "private", "sh", "-c", steps + 'exec "$@"', "sh",
                *map(str, argv)]

    def is_listening(self):
        import socket
        assert self.process.is_alive(), self.process.text()
        with socket.socket() as s:
            return s.connect_ex((self.address, self.port)) == 0

    def messages(self):
        return [p.read_bytes() for p in sorted(self.mail.glob("**/new/*"))]

    def log(self):
        return self.process.text()[-4000:]

    def stop(self):
        self.process.stop()


class Exim(Receiver):
    program = "usr/sbin/exim4"

    def __init__(self, scratch, port, hostname="exim.example.org", settings="", acl="accept", **more):
        self.settings, self.acl = settings, acl
        super().__init__(scratch, port, "exim", hostname, **more)

    def configure(self):
        spool = self.make("spool", "Debian-exim", 0o750)
        key = self.dir / "key.pem"
        key.write_bytes(self.certificate.key.read_bytes())
        key.chmod(0o600)
        for folder in (self.mail, key):
            os.chown(folder, UIDS["Debian-exim"], UIDS["Debian-exim"])
        (self.dir / "exim.conf").write_text(f'''
exim_path = {PEERS / self.program}
primary_hostname = {self.hostname}
spool_directory = {spool}
log_file_path = {spool}/log.%s
log_selector = +tls_cipher +received_recipients +smtp_connection
local_interfaces = {self.address}
daemon_smtp_ports = {self.port}
tls_advertise_hosts = *
tls_certificate = {self.certificate.chain}
tls_privatekey = {key}
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
accept_8bitmime = true
message_size_limit = 60M
smtp_accept_max = 100
deliver_drop_privilege = true
never_users =
keep_environment =
host_lookup =
rfc1413_query_timeout = 0s
acl_smtp_rcpt = rcpt
acl_smtp_data = data
{self.settings}
begin acl
rcpt:
  {self.acl}
data:
  accept
begin routers
all:
  driver = accept
  transport = keep
begin transports
keep:
  driver = appendfile
  directory = {self.mail}
  maildir_format
  create_directory
  envelope_to_add
  return_path_add
  user = Debian-exim
  group = Debian-exim
begin retry
* * F,1h,1m
''')
        (self.dir / "exim.conf").chmod(0o644)
        return [PEERS / self.program, "-C", self.dir / "exim.conf", "-bdf"]

    def log(self):
        return super().log() + "".join(p.read_text(errors="replace")[-4000:]
                                       for p in sorted((self.dir / "spool").glob("log.*")))


class OpenSMTPD(Receiver):
    """Debian 12's offers STARTTLS where `tls` says so, and then breaks every handshake off: with OpenSSL 3 it does not
    find its own key. Many such hosts stand in the world, and mail for them goes in the clear."""

    program = "usr/sbin/smtpd"

    def __init__(self, scratch, port, hostname="opensmtpd.example.org", settings="", tls=False, **more):
        self.settings, self.tls = settings, tls
        super().__init__(scratch, port, "opensmtpd", hostname, **more)

    def configure(self):
        var = self.dir / "var"
        for name in ("lib/opensmtpd/empty", "run", "spool/smtpd"):
            self.make(f"var/{name}")
        for folder in ("lib", "lib/opensmtpd"):
            (var / folder).chmod(0o755)
        (var / "spool" / "smtpd").chmod(0o711)
        self.mounts += [(var / "lib", "/var/lib"), (var / "spool", "/var/spool"), (var / "run", "/run"),
                        (PEERS / "usr" / "libexec", "/usr/libexec")]
        tls = f'tls pki "{self.hostname}"' if self.tls else ""
        (self.dir / "smtpd.conf").write_text(f'''
pki "{self.hostname}" cert "{self.certificate.chain}"
pki "{self.hostname}" key "{self.certificate.key}"
table all {{ "@" = "keeper" }}
smtp max-message-size "60M"
{self.settings}
listen on {self.address} port {self.port} {tls} hostname "{self.hostname}"
action "keep" maildir "{self.mail}" virtual <all>
match from any for any action "keep"
''')
        (self.dir / "smtpd.conf").chmod(0o600)
        return [PEERS / self.program, "-d", "-f", self.dir / "smtpd.conf"]
