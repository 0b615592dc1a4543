"""The soak: an agent under load for minutes or hours, while all that happens in years happens to it.

    make soak [MINUTES=5 | HOURS=1] [RATE=messages a second]

First the highest rate at which this machine accepts and relays is measured for some seconds; then messages are submitted
at 70 % of it to smart hosts that come and go. Meanwhile the agent is killed, restarted and reloaded, routes change, hosts
refuse, freeze, lose replies and change passwords, the clock jumps, one submitter floods, and large messages come.
Restarts are done in the first quarter and in the last fifth, so that between them lies a life long enough to see it grow.

At the end the queue must drain, and every message that was answered with 250 must have arrived or be bounced; what came
twice must be explained by a kill or a lost reply; memory, file, descriptors and threads must be level (BOUNDS). Samples
and events go to build/soak/ as CSV, with a picture (SVG).
"""

import argparse
import json
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))


def parse_args():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    p.add_argument("--out", type=pathlib.Path, default=ROOT / "build" / "soak")
    p.add_argument("--minutes", type=float, default=5)
    p.add_argument("--hours", type=float)
    p.add_argument("--rate", type=float, help="messages a second, instead of 70 %% of the highest")
    p.add_argument("--seed", type=int, default=random.randrange(2**32))
    return p.parse_args()


ARGS = parse_args()
os.environ["BUILD"] = str(ARGS.build.resolve())
import harness  # noqa: E402
import soak_peers as peers  # noqa: E402
import soak_plot  # noqa: E402

MINUTE = 60.0
BOUNDS = {
    "rss_anon_kib": 64 * 1024,     # the agent's own memory, at any moment
    "rss_growth": (1.25, 8192),    # its highest in the last third of the long life: times that of the first, plus KiB
    "file_growth": (1.25, 64e6),   # the queue file's size at the end: times that after the first third, plus bytes
    "used_at_end": (32e6, 150, 600),  # bytes in use when all mail has gone: plus the history of so many seconds, by its
                                   # bytes a record (it is kept for a minute, and trimmed once a minute)
    "fds_growth": 8,               # descriptors when all is quiet, against the start
    "threads": 2,
    "drain_s": 300,
    "duplicates_per_cut_s": 0.5,   # for each kill or lost host: what so many seconds deliver
}
SHARES = {"main.example": 770, "solo.example": 120, "switch.example": 50, "account.example": 40, "slow.example": 10,
          "bounce.example": 10}
LARGE_BYTES = 5_000_000
BACKLOG_MOST = 150_000  # submitters pause beyond it: an outage must fit the disk of a test machine
CUTS = {"kill", "frozen", "lost-replies", "outage", "refusing"}  # after which a message may come twice
SLACK_S = 3.0


def config(scratch, hosts, switch="main", connections=10, level="info"):
    """The whole file; what reloads change are the parameters."""
    common = dict(tls="none", messages_per_connection=1000)
    secret = scratch.path / "secret"
    smarthosts = [harness.smarthost("main1", host="127.0.0.1", port=hosts["main1"].port, connections=connections, **common),
                  harness.smarthost("main2", host="127.0.0.1", port=hosts["main2"].port, connections=10, **common),
                  harness.smarthost("solo", host="127.0.0.1", port=hosts["solo"].port, connections=10, **common),
                  harness.smarthost("slow", host="127.0.0.1", port=hosts["slow"].port, connections=4, **common),
                  harness.smarthost("account", host="localhost", port=hosts["account"].port, connections=4, auth="plain",
                                    user="me", secret_file=str(secret), tls="starttls", tls_name="localhost",
                                    tls_ca=str(hosts["account"].dir / "ca.pem"))]
    to_switch = '"main1", "main2"' if switch == "main" else '"solo"'
    return f'''hostname = "agent.example.org"
log_level = {level}
queue {{ directory = "{scratch.path}/queue" max_size = 16G min_free_disk = 0 history = 1m }}
control {{ socket = "{scratch.path}/control" }}
listener "local" {{ socket = "{scratch.path}/submit" }}
trust {{ uids = {{"*"}} max_rate = "0" }}
retry {{ first = 5s factor = 2 max = 30s }}
reconnect {{ first = 1s factor = 2 max = 5s }}
timeouts {{ connect = 5s greeting = 5s command = 5s data = 10s }}
{"".join(smarthosts)}
route "account" {{ to = {{"*@account.example"}} via = {{"account"}} }}
route "slow" {{ to = {{"*@slow.example"}} via = {{"slow"}} }}
route "switch" {{ to = {{"*@switch.example"}} via = {{{to_switch}}} }}
route "solo" {{ to = {{"*@solo.example", "*@bounce.example"}} via = {{"solo"}} }}
route "rest" {{ via = {{"main1", "main2"}} }}
'''


class Agent:
    """sendoffd whose words go to the records and whose wall clock can be moved."""

    def __init__(self, scratch, records):
        self.scratch, self.records = scratch, records
        self.file = scratch.path / "sendoff.conf"
        self.clock = scratch.path / "clock"
        self.clock.write_bytes(struct.pack("q", 0))
        preload = ARGS.build.resolve() / "tests" / "bench" / "wallclock.so"
        self.can_jump = preload.exists()
        self.env = {**os.environ, "LD_PRELOAD": str(preload), "WALLCLOCK": str(self.clock)} if self.can_jump else None
        self.child = None
        scratch.add(self)

    def start(self):
        self.child = peers.started([harness.BUILD / "sendoffd", "--config", self.file], self.records, "agent",
                                   env=self.env)
        harness.until(self.answers, lambda: "the agent's start\n" + self.records.last.decode(errors="replace")[-3000:])

    def answers(self):
        if self.child.poll() is not None:
            raise AssertionError("the agent ended:\n" + self.records.last.decode(errors="replace")[-3000:])
        return bool(self.status())

    def ctl(self, *argv, check=True, timeout=120):
        done = subprocess.run([str(harness.BUILD / "sendoff"), "--config", str(self.file), *map(str, argv)],
                              capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise AssertionError(f"sendoff {argv}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def status(self):
        done = self.ctl("--json", "status", check=False)
        return json.loads(done.stdout.splitlines()[0]) if done.returncode == 0 and done.stdout else None

    def end(self, number):
        self.child.send_signal(number)
        self.child.wait(60)

    def move_clock(self, ms):
        # Mapped by the agent: eight aligned bytes are seen at once.
        with open(self.clock, "r+b", buffering=0) as f:
            f.write(struct.pack("q", ms))

    def stop(self):
        if self.child and self.child.poll() is None:
            self.end(signal.SIGTERM)


class Sampler(threading.Thread):
    """Once a second: what the agent is and has."""

    def __init__(self, soak):
        super().__init__(daemon=True)
        self.soak, self.rows, self.halt = soak, [], threading.Event()
        self.before = (0, 0, time.monotonic())

    def run(self):
        while not self.halt.wait(1):
            try:
                row = self.sample()
            except (OSError, ValueError, KeyError, subprocess.TimeoutExpired, AttributeError):
                continue  # the agent is just being restarted
            if row:
                self.rows.append(row)

    def sample(self):
        soak, agent = self.soak, self.soak.agent
        pid, status = agent.child.pid, agent.status()
        if not status:
            return None
        facts = {}
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            key, _, value = line.partition(":")
            facts[key] = value.split()
        try:
            fds = len(os.listdir(f"/proc/{pid}/fd"))
        except PermissionError:
            fds = None  # the agent cannot be looked into but by root
        now, accepted, delivered = time.monotonic(), status["accepted"], status["delivered"]
        took = now - self.before[2]
        row = {"t": round(now - soak.began, 1), "pid": pid, "queued": status["messages"],
               "accepted_s": round(max(0, accepted - self.before[0]) / took),
               "delivered_s": round(max(0, delivered - self.before[1]) / took),
               "rss_anon_kib": int(facts["RssAnon"][0]), "threads": int(facts["Threads"][0]), "fds": fds,
               "file_bytes": status["file_bytes"], "used_bytes": status["used_bytes"],
               "history": status["history_records"], "noop_ms": self.noop()}
        self.before = (accepted, delivered, now)
        soak.hold_back(status["messages"])
        return row

    def noop(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            s.connect(str(self.soak.scratch.path / "submit"))
            s.recv(1000)
            begin = time.perf_counter()
            s.sendall(b"NOOP\r\n")
            s.recv(1000)
            return round((time.perf_counter() - begin) * 1000, 2)


class Soak:
    def __init__(self, scratch):
        self.scratch = scratch
        self.random = random.Random(ARGS.seed)
        self.began = time.monotonic()
        self.records = peers.Records(scratch.path, "afl", self.began)
        self.secret = scratch.path / "secret"
        self.hosts, self.events, self.skipped, self.held_back = {}, [], set(), 0
        self.faults = []
        self.write_secret("right")
        for name, options in {"main1": [], "main2": [], "solo": ["--reply", "rcpt=550 5.1.1 nobody of that name", "--for",
                                                                 "*@bounce.example"],
                              "slow": ["--delay", "dot=40ms"],
                              "account": ["--tls", "starttls", "--write-ca", scratch.path / "account" / "ca.pem"]}.items():
            self.hosts[name] = peers.Host(scratch, self.records, name, *options)
        self.hosts["account"].restart("--auth", "me:right")
        self.agent = Agent(scratch, self.records)
        self.settings = {"switch": "main", "connections": 10, "level": "info"}
        self.write_config()
        self.agent.start()
        self.loads, self.refused = {}, 0

    def write_secret(self, text):
        self.secret.write_text(text + "\n")
        self.secret.chmod(0o600)

    def write_config(self):
        self.agent.file.write_text(config(self.scratch, self.hosts, **self.settings))

    def at(self):
        return time.monotonic() - self.began

    def mark(self, begin, kind, about=""):
        self.events.append((round(begin, 1), round(self.at(), 1), kind, about))
        print(f"{begin:7.0f} s  {kind} {about}", flush=True)

    def wait(self, seconds):
        """Lets mail flow; an agent that ends by itself is seen here."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.agent.child.poll() is not None:
                raise AssertionError(f"the agent ended by itself ({self.agent.child.returncode}):\n"
                                     + self.records.last.decode(errors="replace")[-4000:])
            threading.Event().wait(min(0.2, max(0.0, end - time.monotonic())))

    def hold_back(self, queued):
        for load in self.loads.values():
            if load.is_alive():
                load.pause(queued > BACKLOG_MOST)
        self.held_back += queued > BACKLOG_MOST

    def submit(self, name, **more):
        self.loads[name] = peers.Load(self.scratch, self.records, name, self.scratch.path / "submit",
                                      more.pop("domains", SHARES), **more)
        return self.loads[name]

    def finish(self, name, deadline=600):
        self.refused += self.loads.pop(name).finish(deadline)["refused"]

    def until_empty(self, deadline):
        def is_empty():
            self.wait(0)
            status = self.agent.status()
            return status and status["messages"] == 0

        harness.until(is_empty, lambda: f"an empty queue\n{self.agent.ctl('status', check=False).stdout}", deadline)

    def highest(self, seconds):
        """Messages a second, accepted and relayed at once, until the last one has left."""
        begin = time.monotonic()
        load = self.submit("a", connections=50, domains={"main.example": 1000})
        self.wait(seconds)
        load.child.terminate()
        self.loads.pop("a")
        sent = load.finish()
        self.until_empty(120)
        return sent["accepted"] / (time.monotonic() - begin)

    # ---------------------------------------------------------------- what happens

    def reload(self, about, **settings):
        begin = self.at()
        self.settings.update(settings)
        self.write_config()
        self.agent.ctl("reload")
        self.mark(begin, "reload", about)

    def reloads(self, share):
        for connections, level in ((3, "notice"), (20, "debug"), (10, "info")):
            self.reload(f"connections {connections}", connections=connections, level=level)
            self.wait(share / 4)
        self.reload("another route", switch="solo" if self.settings["switch"] == "main" else "main")
        self.wait(share / 4)

    def restarts(self, share):
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
            self.wait(share / 4 * self.random.uniform(0.5, 1.5))
            begin = self.at()
            self.agent.end(number)
            self.mark(begin, "kill" if number == signal.SIGKILL else "restart")
            self.agent.start()

    def outage(self, name, kind, share, *options):
        begin, host = self.at(), self.hosts[name]
        if kind == "frozen":
            host.child.send_signal(signal.SIGSTOP)
            self.wait(max(share, 12))  # longer than the agent's patience
            host.child.send_signal(signal.SIGCONT)
        else:
            host.stop()
            if options:
                host.start(*options)
            self.wait(share)
            host.restart()
        self.mark(begin, kind, name)

    def main_outage(self, share):
        begin = self.at()
        self.hosts["main1"].stop()
        self.wait(share / 2)
        self.hosts["main2"].stop()
        self.wait(share / 2)
        self.hosts["main1"].start()
        self.hosts["main2"].start()
        self.mark(begin, "outage", "main1")
        self.mark(begin, "outage", "main2")

    def wrong_password(self, share):
        begin = self.at()
        self.hosts["account"].restart("--auth", "me:changed")
        harness.until(lambda: self.is_parked("account"), lambda: "the account is parked\n" + self.agent.ctl("status").stdout)
        self.wait(share)
        self.hosts["account"].restart("--auth", "me:right")
        self.agent.ctl("resume", "account", "--yes")
        self.mark(begin, "outage", "account")

    def is_parked(self, name):
        status = self.agent.status() or {"lanes": []}
        return any(lane["name"] == name and lane["parked"] for lane in status["lanes"])

    def flood(self, share):
        begin = self.at()
        uid = 65534 if os.geteuid() == 0 else None
        if not uid:
            self.skipped.add("a flood by another user (not root: it floods as the same one)")
        self.submit("f", connections=40, count=int(self.rate * share), uid=uid,
                    domains={"main.example": 900, "solo.example": 100})
        self.wait(share)
        self.mark(begin, "flood")

    def large(self, share):
        begin = self.at()
        self.submit("l", connections=3, rate=2, count=max(4, int(share)), size=LARGE_BYTES,
                    domains={"main.example": 800, "solo.example": 200})
        self.wait(share)
        self.mark(begin, "large messages")

    def clock(self, share):
        if not self.agent.can_jump:
            self.skipped.add("clock jumps (wallclock.so was not built)")
            return
        for minutes in (10, -10, 24 * 60, 0):
            begin = self.at()
            self.agent.move_clock(int(minutes * 60_000))
            self.mark(begin, "clock", f"{minutes:+d} min")
            self.wait(share / 4)

    def cycle(self, seconds, with_restarts):
        part = seconds / 100
        self.wait(4 * part)
        self.reloads(6 * part)
        if with_restarts:
            self.restarts(8 * part)
        self.outage("solo", "outage", 6 * part)
        self.clock(6 * part)
        self.outage("solo", "refusing", 4 * part, "--reply", "mail=451 4.3.0 not now")
        self.flood(5 * part)
        self.outage("main1", "refusing", 4 * part, "--reply", "greeting=421 4.3.2 closed")
        self.large(5 * part)
        self.outage("solo", "frozen", 3 * part)
        self.main_outage(4 * part)
        self.wrong_password(4 * part)
        self.outage("main2", "lost-replies", 2 * part, "--drop-after", "dot", "--skip", "20", "--times", "3")
        self.outage("solo", "lost-replies", 2 * part, "--drop-after", "dot", "--skip", "20", "--times", "3")
        for name in ("f", "l"):
            self.finish(name)

    def run(self, minutes):
        self.highest_rate = None if ARGS.rate else self.highest(min(20, max(5, minutes * 4)))
        self.rate = ARGS.rate or 0.7 * self.highest_rate
        print(f"highest rate {self.highest_rate or 0:.0f} messages/s; soaking at {self.rate:.0f}/s, seed {ARGS.seed}")
        self.sampler = Sampler(self)
        self.sampler.start()
        self.submit("a", connections=50, rate=self.rate)
        begin, total = time.monotonic(), minutes * MINUTE
        length = max(60.0, min(300.0, total / 5))
        while (done := time.monotonic() - begin) < total:
            with_restarts = done < total / 4 or done + length > total * 0.8
            left = begin + total - time.monotonic()
            self.cycle(min(length, max(left, 60.0)), with_restarts)
            self.wait(max(0, min(begin + total, begin + done + length) - time.monotonic()))
        self.loads["a"].child.terminate()
        self.finish("a")
        self.drain()

    def drain(self):
        begin = self.at()
        self.agent.ctl("flush", "--all", "--yes", timeout=600)
        try:
            self.until_empty(BOUNDS["drain_s"])
        except AssertionError as error:  # the verdict comes all the same
            self.faults.append(str(error))
        self.wait(3)  # a quiet agent is what is compared
        self.mark(begin, "drained")
        self.sampler.halt.set()
        self.sampler.join()
        self.final = self.sampler.sample()


# ---------------------------------------------------------------- the verdict

def settle_accounts(soak):
    """(counts, faults) of all ledgers."""
    counts = {"accepted": 0, "refused": 0, "unanswered": 0, "arrived": 0, "bounced": 0}
    faults = []
    for letter, ledger in soak.records.ledgers.items():
        codes, arrived, bounced = ledger.codes(), ledger.arrived, ledger.bounced
        for n, code in enumerate(codes):
            came = n < len(arrived) and arrived[n]
            back = n < len(bounced) and bounced[n]
            counts["accepted"] += code == peers.ACCEPTED
            counts["refused"] += code == peers.REFUSED
            counts["unanswered"] += code == peers.ASKED
            counts["arrived"] += came > 0
            counts["bounced"] += back > 0
            if code == peers.ACCEPTED and not came and not back:
                faults.append(f"lost: {letter}{n}")
            elif came and code in (0, peers.REFUSED):
                faults.append(f"came from nowhere: {letter}{n}")
            elif came and back:
                faults.append(f"bounced and delivered: {letter}{n}")
    return counts, faults[:20] + ([f"and {len(faults) - 20} more"] if len(faults) > 20 else [])


def unexplained(soak):
    """Messages that came twice without a kill of the agent or a cut of that host near the first time."""
    cuts = [(begin - SLACK_S, over + SLACK_S, kind, about) for begin, over, kind, about in soak.events if kind in CUTS]
    found = []
    for first, again, host, letter, n in soak.records.duplicates:
        if not any(b <= first <= e for b, e, _, _ in cuts):
            found.append(f"twice without a reason: {letter}{n} at {first:.1f} s and {again:.1f} s ({host})")
    return found[:20]


def lives(rows):
    """The samples of each process, the longest life first."""
    by_pid = {}
    for row in rows:
        by_pid.setdefault(row["pid"], []).append(row)
    return sorted(by_pid.values(), key=len, reverse=True)


def growth(soak):
    rows, final, faults = soak.sampler.rows, soak.final, []
    most = max(r["rss_anon_kib"] for r in rows)
    if most > BOUNDS["rss_anon_kib"]:
        faults.append(f"the agent's own memory reached {most} KiB")
    life = lives(rows)[0]
    third = len(life) // 3
    if third >= 20:
        early, late = (max(r["rss_anon_kib"] for r in part) for part in (life[:third], life[-third:]))
        if late > early * BOUNDS["rss_growth"][0] + BOUNDS["rss_growth"][1]:
            faults.append(f"memory grew from {early} to {late} KiB in one life of {len(life)} s")
    early = max(r["file_bytes"] for r in rows[:max(1, len(rows) // 3)])
    late = max(r["file_bytes"] for r in rows)
    if late > early * BOUNDS["file_growth"][0] + BOUNDS["file_growth"][1]:
        faults.append(f"the queue file grew from {early} to {late} bytes")
    base, seconds, each = BOUNDS["used_at_end"]
    if final["used_bytes"] > base + soak.rate * seconds * each:
        faults.append(f"{final['used_bytes']} bytes are in use in an empty queue ({final['history']} records of history)")
    quiet = [r["fds"] for r in rows[:5] if r["fds"] is not None]
    if quiet and final["fds"] > min(quiet) + BOUNDS["fds_growth"]:
        faults.append(f"descriptors: {min(quiet)} at the start, {final['fds']} at the end")
    if max(r["threads"] for r in rows) > BOUNDS["threads"]:
        faults.append(f"{max(r['threads'] for r in rows)} threads")
    return faults


def verdict(soak):
    counts, faults = settle_accounts(soak)
    cuts = sum(kind in CUTS for _, _, kind, _ in soak.events)
    allowed = int(cuts * (soak.rate * BOUNDS["duplicates_per_cut_s"] + 100))
    faults += soak.faults + unexplained(soak) + growth(soak)
    if soak.records.duplicate_count > allowed:
        faults.append(f"{soak.records.duplicate_count} duplicates are too many for {cuts} cuts")
    if counts["accepted"] == 0 or counts["bounced"] == 0 or soak.records.reports == 0:
        faults.append("nothing was tested: no mail, no bounce or no report")
    noop = sorted(r["noop_ms"] for r in soak.sampler.rows)
    result = {**counts, "highest_rate": soak.highest_rate and round(soak.highest_rate), "rate": round(soak.rate),
              "reports": soak.records.reports, "duplicates": soak.records.duplicate_count, "cuts": cuts,
              "seconds_held_back": soak.held_back, "events": len(soak.events),
              "rss_anon_kib_most": max(r["rss_anon_kib"] for r in soak.sampler.rows),
              "file_bytes_most": max(r["file_bytes"] for r in soak.sampler.rows),
              "queued_most": max(r["queued"] for r in soak.sampler.rows),
              "noop_p50_ms": noop[len(noop) // 2], "noop_p99_ms": noop[int(len(noop) * 0.99)], "at_the_end": soak.final,
              "skipped": sorted(soak.skipped), "faults": faults}
    return result


def write_down(soak, result):
    rows = soak.sampler.rows
    soak_plot.write_csv(ARGS.out / "samples.csv", rows)
    soak_plot.write_csv(ARGS.out / "events.csv", [dict(zip(("begin", "end", "kind", "about"), e)) for e in soak.events])
    soak_plot.write_svg(ARGS.out / "soak.svg", rows, soak.events,
                        f"{rows[-1]['t']:,.0f} s at {soak.rate:,.0f} messages/s: {result['accepted']:,} accepted, "
                        f"{result['duplicates']} twice, {len(result['faults'])} faults")
    (ARGS.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")


def main():
    ARGS.out.mkdir(parents=True, exist_ok=True)
    scratch = harness.Scratch(parent=ARGS.build)
    soak = None
    try:
        soak = Soak(scratch)
        soak.run(ARGS.hours * 60 if ARGS.hours else ARGS.minutes)
        for host in soak.hosts.values():
            host.stop()
        soak.agent.stop()
        soak.records.close()
        result = verdict(soak)
        write_down(soak, result)
    finally:
        if soak and (scratch.path / "agent.log").exists():
            (ARGS.out / "agent.log").write_bytes((scratch.path / "agent.log").read_bytes())
        scratch.close()
    print(json.dumps(result, indent=1))
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
