"""The benchmark: messages a second, accepted and relayed, beside the bare cost of the storage under it.

    make bench            all scenarios, five rounds, medians
    make bench QUICK=1    in under three minutes

Scenarios run in turn, round by round (A B C A B C), so that a machine whose speed drifts does not favour one. Everything
is on loopback with durable settings, in a scratch folder under build/. Postfix is measured beside Sendoff where it is
installed and the benchmark runs as root.
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))


def parse_args():
    p = argparse.ArgumentParser()
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--only", default="", help="run scenarios whose name contains this")
    p.add_argument("--rounds", type=int)
    return p.parse_args()


ARGS = parse_args()
os.environ["BUILD"] = str(ARGS.build.resolve())
import harness  # noqa: E402
import postfix as postfix_module  # noqa: E402


def load(to, connections, count, size):
    """Runs the load generator; returns its figures."""
    argv = [ARGS.build / "tests" / "bench" / "load", "--to", to, "--connections", connections, "--messages", count,
            "--size", size]
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise SystemExit(f"load failed: {done.stderr}")
    return json.loads(done.stdout)


class CountingSink:
    """A smart host that counts and forgets; `finished` waits until all messages have come."""

    def __init__(self, scratch, count, tls="none", auth=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(dir=scratch.path))
        argv = [ARGS.build / "sendoff", "sink", "--listen", "127.0.0.1:0", "--port-file", self.dir / "port", "--tls",
                tls, "--discard", "--quiet", "--exit-after", count]
        if tls != "none":
            argv += ["--write-ca", self.dir / "ca.pem"]
        if auth:
            argv += ["--auth", auth]
        self.process = harness.Process(argv, self.dir / "log")
        scratch.add(self.process)
        self.port = int(harness.until(lambda: (self.dir / "port").exists() and (self.dir / "port").read_text(),
                                      "the sink's port"))

    def finished(self):
        self.process.wait(600)


class Sendoff:
    name = "sendoff"

    def __init__(self, scratch):
        self.scratch = scratch

    def agent(self, config="", route=None):
        agent = harness.Agent(self.scratch, config + '\nlimits { connections = 2000 connections_per_client = 1000 }\n'
                              'log_level = "warning"\n', name="agent", route=route,
                              queue="max_size = 16G min_free_disk = 0")
        # The start's record has the port: it is of level notice.
        agent.file.write_text(agent.file.read_text().replace('log_level = "warning"', 'log_level = "notice"'))
        return agent.start()

    def accept(self, connections, count, size):
        agent = self.agent('smarthost "none" { host = "127.0.0.1" port = 9 tls = none }')
        agent.ctl("pause", "--yes")
        return load(f"127.0.0.1:{agent.port}", connections, count, size)["rate"]

    def relay(self, connections, count, size, tls="none"):
        sink = CountingSink(self.scratch, count, tls=tls)
        keys = {"host": "127.0.0.1", "port": sink.port, "tls": tls, "connections": 10,
                "messages_per_connection": 1000}
        if tls != "none":
            keys.update(tls_ca=str(sink.dir / "ca.pem"), tls_name="localhost")
        agent = self.agent(harness.smarthost("sink", **keys))
        begin = time.monotonic()
        load(f"127.0.0.1:{agent.port}", connections, count, size)
        sink.finished()
        return count / (time.monotonic() - begin)


class Postfix:
    name = "postfix"

    def __init__(self, scratch):
        self.scratch = scratch

    def server(self, **settings):
        quiet = {"smtpd_tls_security_level": "none", "smtpd_sasl_auth_enable": "no", "mynetworks": "127.0.0.0/8",
                 "smtpd_recipient_restrictions": "permit_mynetworks,reject", "default_process_limit": "150",
                 "smtpd_relay_restrictions": "permit_mynetworks,reject", "virtual_mailbox_domains": "",
                 "smtpd_client_connection_count_limit": "0", "smtpd_client_connection_rate_limit": "0",
                 "in_flow_delay": "0", "smtp_dns_support_level": "disabled", "smtp_host_lookup": "native"}
        return postfix_module.Postfix(self.scratch, harness.free_port(), services=["smtp unix - - n - - smtp"],
                                      **{**quiet, **settings})

    def accept(self, connections, count, size):
        server = self.server(smtpd_client_restrictions="static:HOLD")
        return load(f"127.0.0.1:{server.port}", connections, count, size)["rate"]

    def relay(self, connections, count, size, tls="none"):
        sink = CountingSink(self.scratch, count, tls=tls)
        settings = {"relayhost": f"[127.0.0.1]:{sink.port}"}
        if tls != "none":
            settings.update(smtp_tls_security_level="verify", smtp_tls_CAfile=str(sink.dir / "ca.pem"),
                            smtp_tls_verify_cert_match="localhost")
        server = self.server(**settings)
        begin = time.monotonic()
        load(f"127.0.0.1:{server.port}", connections, count, size)
        sink.finished()
        return count / (time.monotonic() - begin)


def floor(folder):
    """Bare LMDB group commits of the same bytes: group size to messages a second."""
    done = subprocess.run([str(ARGS.build / "tests" / "bench" / "queue_layout"), "--floor", str(folder)],
                          capture_output=True, text=True, check=True, timeout=600)
    return done.stdout


# name, method, connections, messages (all, quick), size, more
SCENARIOS = [
    ("accept, 1 client, 1 KB", "accept", 1, (3000, 800), 1024, {}),
    ("accept, 10 clients, 1 KB", "accept", 10, (20000, 4000), 1024, {}),
    ("accept, 100 clients, 1 KB", "accept", 100, (40000, 8000), 1024, {}),
    ("accept, 10 clients, 10 MB", "accept", 10, (100, 30), 10_000_000, {}),
    ("relay, 1 client, 1 KB", "relay", 1, (3000, 800), 1024, {}),
    ("relay, 10 clients, 1 KB", "relay", 10, (10000, 3000), 1024, {}),
    ("relay, 100 clients, 1 KB", "relay", 100, (20000, 5000), 1024, {}),
    ("relay over STARTTLS, 10 clients, 1 KB", "relay", 10, (10000, 3000), 1024, {"tls": "starttls"}),
]


def measure(kind, method, connections, count, size, more):
    """One run in a scratch folder of its own."""
    scratch = harness.Scratch(parent=ARGS.build)
    try:
        # Postfix makes a connection per message where it may not keep one: a smaller count is as telling.
        if kind is Postfix and method == "relay":
            count = min(count, 3000)
        return getattr(kind(scratch), method)(connections, count, size, **more)
    finally:
        scratch.close()


def file_system(folder):
    done = subprocess.run(["findmnt", "-n", "-o", "FSTYPE,OPTIONS", "-T", str(folder)], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def main():
    rounds = ARGS.rounds or (1 if ARGS.quick else 5)
    kinds = [Sendoff]
    if os.geteuid() == 0 and postfix_module.PROGRAMS.exists():
        kinds.append(Postfix)
    else:
        print("Postfix is not measured: it is not installed, or this is not root.")
    scenarios = [s for s in SCENARIOS if ARGS.only in s[0]]
    figures = {(s[0], k.name): [] for s in scenarios for k in kinds}
    for number in range(rounds):
        for name, method, connections, counts, size, more in scenarios:
            for kind in kinds:
                rate = measure(kind, method, connections, counts[1] if ARGS.quick else counts[0], size, more)
                figures[name, kind.name].append(rate)
                print(f"round {number + 1}: {name}: {kind.name} {rate:.0f}/s", file=sys.stderr, flush=True)
    print(f"\n{platform.machine()}, {os.cpu_count()} processors, {platform.system()} {platform.release()}, "
          f"{time.strftime('%Y-%m-%d')}, medians of {rounds}")
    print(f"file system: {file_system(ARGS.build)}\n")
    print(f"{'messages a second':40}" + "".join(f"{k.name:>12}" for k in kinds) + ("   ratio" if len(kinds) > 1 else ""))
    for name, *_ in scenarios:
        medians = [statistics.median(figures[name, k.name]) for k in kinds]
        line = f"{name:40}" + "".join(f"{m:12.0f}" for m in medians)
        print(line + (f"  {medians[0] / medians[1]:5.1f} x" if len(kinds) > 1 else ""))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="floor-", dir=ARGS.build))
    try:
        print("\n" + floor(folder).rstrip())
    finally:
        shutil.rmtree(folder)


main()
