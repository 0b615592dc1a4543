"""Debian's Postfix as a real smart host: its own folder, loopback only, STARTTLS and SASL, mail into a Maildir."""

import os
import pathlib
import pwd
import shutil
import subprocess

import pytest
from harness import until

PROGRAMS = pathlib.Path("/usr/lib/postfix/sbin")


def make_certificate(folder, name="localhost"):
    """A CA and a certificate for `name`, made by openssl or certtool; returns (ca, certificate, key)."""
    ca, ca_key, cert, key = (folder / n for n in ("ca.pem", "ca.key", "cert.pem", "key.pem"))
    (folder / "ca.tmpl").write_text('cn = "Sendoff test CA"\nca\ncert_signing_key\nexpiration_days = 2\n')
    (folder / "cert.tmpl").write_text(f'cn = "{name}"\ndns_name = "{name}"\ntls_www_server\nsigning_key\n'
                                      'encryption_key\nexpiration_days = 2\n')
    for argv in (["--generate-privkey", "--ecc", "--outfile", ca_key],
                 ["--generate-self-signed", "--load-privkey", ca_key, "--template", folder / "ca.tmpl",
                  "--outfile", ca],
                 ["--generate-privkey", "--ecc", "--outfile", key],
                 ["--generate-certificate", "--load-privkey", key, "--load-ca-certificate", ca,
                  "--load-ca-privkey", ca_key, "--template", folder / "cert.tmpl", "--outfile", cert]):
        subprocess.run(["certtool", *map(str, argv)], check=True, capture_output=True, timeout=60)
    return ca, cert, key


class Postfix:
    """A Postfix instance; needs root, since its master demands it.

    A smart host that demands AUTH over TLS; with `mx`, a receiver that takes mail for any domain from anybody, TLS
    offered. `certificate` is one of certificates.py; without it there is one for "localhost".
    """

    def __init__(self, scratch, port, user="me", password="secret", services=(), address="127.0.0.1", certificate=None,
                 mx=False, name="postfix", **settings):
        if os.geteuid() != 0:
            pytest.skip("Postfix's master only runs as root")
        if not PROGRAMS.exists():
            pytest.fail("postfix is missing: tests/install-deps test should have installed it")
        self.dir = scratch.path / name
        self.address, self.port, self.user, self.password = address, port, user, password
        for name in ("etc/sasl", "spool", "data", "mail", "tls"):
            (self.dir / name).mkdir(parents=True)
        if certificate:
            self.ca, cert, key = None, certificate.chain, certificate.key
        else:
            self.ca, cert, key = make_certificate(self.dir / "tls")
        if mx:
            settings = {"smtpd_tls_security_level": "may", "smtpd_sasl_auth_enable": "no",
                        "smtpd_recipient_restrictions": "reject_unauth_destination",
                        "smtpd_relay_restrictions": "reject_unauth_destination",
                        "virtual_mailbox_domains": "static:all", "smtpd_tls_received_header": "yes", **settings}
        owner = pwd.getpwnam("postfix")
        os.chown(self.dir / "data", owner.pw_uid, owner.pw_gid)
        os.chown(self.dir / "mail", owner.pw_uid, owner.pw_gid)
        self.database = self.dir / "etc" / "sasl" / "sasldb2"
        subprocess.run(["saslpasswd2", "-p", "-c", "-f", str(self.database), "-u", "postfix.example.org", user],
                       input=password.encode(), check=True, timeout=60)
        os.chown(self.database, owner.pw_uid, owner.pw_gid)
        (self.dir / "etc" / "sasl" / "smtpd.conf").write_text(
            f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {self.database}\nmech_list: PLAIN LOGIN\n")
        main = {
            "compatibility_level": "3.6", "myhostname": "postfix.example.org", "mydestination": "",
            "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4", "mynetworks": "",
            "queue_directory": self.dir / "spool", "data_directory": self.dir / "data",
            "virtual_mailbox_domains": "example.net", "virtual_mailbox_base": self.dir / "mail",
            "virtual_mailbox_maps": "static:all/", "virtual_uid_maps": f"static:{owner.pw_uid}",
            "virtual_gid_maps": f"static:{owner.pw_gid}", "virtual_mailbox_limit": "0", "message_size_limit": "60000000",
            "smtpd_tls_security_level": "encrypt", "smtpd_tls_cert_file": cert, "smtpd_tls_key_file": key,
            "smtpd_tls_auth_only": "yes", "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_path": "smtpd",
            "smtpd_sasl_local_domain": "$myhostname",
            "smtpd_recipient_restrictions": "permit_sasl_authenticated,reject", "smtpd_relay_restrictions":
            "permit_sasl_authenticated,reject", "maillog_file": self.dir / "log", "maillog_file_prefixes": self.dir,
            "smtpd_peername_lookup": "no", "default_process_limit": "20", "recipient_delimiter": "+",
            "local_recipient_maps": "", "alias_maps": "", "alias_database": "", **settings,
        }
        (self.dir / "etc" / "main.cf").write_text("".join(f"{k} = {v}\n" for k, v in main.items()))
        services = [*services, "cleanup unix n - n - 0 cleanup", "qmgr unix n - n 300 1 qmgr",
                    "tlsmgr unix - - n 1000? 1 tlsmgr", "rewrite unix - - n - - trivial-rewrite",
                    "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce",
                    "proxymap unix - - n - - proxymap", "anvil unix - - n - 1 anvil", "virtual unix - n n - - virtual",
                    "error unix - - n - - error", "retry unix - - n - - error", "discard unix - - n - - discard",
                    "postlog unix-dgram n - n - 1 postlogd"]
        (self.dir / "etc" / "master.cf").write_text(
            f"{address}:{port} inet n - n - - smtpd\n" + "\n".join(services) + "\n")
        self.command("start")
        scratch.add(self)
        until(lambda: self.is_listening(), lambda: "Postfix\n" + self.log())

    def command(self, verb):
        done = subprocess.run(["postfix", "-c", str(self.dir / "etc"), verb], capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr + self.log()

    def is_listening(self):
        import socket
        with socket.socket() as s:
            return s.connect_ex((self.address, self.port)) == 0

    def whole_log(self):
        log = self.dir / "log"
        return log.read_text(errors="replace") if log.exists() else ""

    def log(self):
        """Its end, for the words of a failure."""
        return self.whole_log()[-4000:]

    def messages(self):
        new = self.dir / "mail" / "all" / "new"
        return [p.read_bytes() for p in sorted(new.iterdir())] if new.exists() else []

    def stop(self):
        self.command("abort")
        pid = self.dir / "spool" / "pid" / "master.pid"
        until(lambda: not pid.exists() or not alive(pid), "Postfix's end")
        shutil.rmtree(self.dir, ignore_errors=True)


def alive(pid_file):
    try:
        os.kill(int(pid_file.read_text()), 0)
        return True
    except (ProcessLookupError, ValueError, FileNotFoundError):
        return False
