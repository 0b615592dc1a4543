"""Dovecot's auth service, for Postfix to ask: every password mechanism, and tokens that it checks by a local key."""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import pwd
import shutil
import time

import pytest
from harness import Process, until

MECHANISMS = "plain login cram-md5 scram-sha-1 scram-sha-256 xoauth2 oauthbearer"


class Dovecot:
    """One user whose password it can read; needs root, as its master does."""

    def __init__(self, scratch, user="me", password="secret", mechanisms=MECHANISMS):
        if os.geteuid() != 0:
            pytest.skip("Dovecot's master only runs as root")
        if not shutil.which("dovecot"):
            pytest.skip("dovecot is missing: tests/install-deps test installs dovecot-core")
        self.dir = scratch.path / "dovecot"
        self.key = os.urandom(32)
        (self.dir / "keys" / "default" / "HS256").mkdir(parents=True)
        (self.dir / "keys" / "default" / "HS256" / "default").write_text(base64.b64encode(self.key).decode())
        (self.dir / "users").write_text(f"{user}:{{PLAIN}}{password}::::::\n")
        (self.dir / "oauth2.conf").write_text(
            "introspection_mode = local\n"
            f"local_validation_key_dict = fs:posix:prefix={self.dir}/keys/\n"
            "username_attribute = sub\nactive_attribute = active\nactive_value = yes\n")
        for path in [self.dir, *self.dir.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        owner = pwd.getpwnam("postfix")
        self.socket = self.dir / "auth"
        config = self.dir / "dovecot.conf"
        config.write_text(f"""
protocols =
base_dir = {self.dir}/run
state_dir = {self.dir}/run
log_path = {self.dir}/log
ssl = no
auth_mechanisms = {mechanisms}
auth_failure_delay = 0
auth_debug = yes
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {self.dir}/oauth2.conf
}}
passdb {{
  driver = passwd-file
  mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256
  args = {self.dir}/users
}}
userdb {{
  driver = static
  args = uid={owner.pw_uid} gid={owner.pw_gid} home={self.dir}
}}
service auth {{
  unix_listener {self.socket} {{
    mode = 0666
  }}
}}
""")
        self.process = scratch.add(Process(["dovecot", "-F", "-c", config], self.dir / "output"))
        until(self.socket.exists, lambda: self.process.text() + self.log())

    def log(self):
        path = pathlib.Path(self.dir / "log")
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def token(self, user="me", lasts=3600, key=None):
        """A signed JWT."""
        def part(data):
            return base64.urlsafe_b64encode(data).rstrip(b"=")
        now = int(time.time())
        body = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()) + b"." + part(json.dumps(
            {"sub": user, "iat": now - 10, "nbf": now - 10, "exp": now + lasts, "active": "yes"}).encode())
        return (body + b"." + part(hmac.new(key or self.key, body, hashlib.sha256).digest())).decode()
