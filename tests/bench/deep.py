"""The deep queue: N messages for a smart host that is down, and what everything costs beside them.

Mail to one domain goes to a port where nobody is, all other mail to a sink that works. In one run: the rate of accepting on
the empty queue and at depth, processor time and disk writes while the smart host is tried in vain, memory, a page of the
list, the time from the start of the mailer to the delivery of a new message, and the removal of all.
"""

import statistics
import subprocess
import time

import meter
import programs
from peers.peer import DEAD_DOMAIN, Relay
from scenarios import Row, Scenario

SIZE = 1024
FILL_S = 150  # of patience
CLIENTS = 100
# Sendoff's lane to the dead host is tried every second, so that there are some attempts to count.
SOON = "reconnect { first = 1s factor = 1 max = 1s }"


def words(depth):
    return f"{depth // 1_000_000}M" if depth >= 1_000_000 else f"{depth // 1000}k" if depth >= 1000 else str(depth)


class Deep(Scenario):
    rounds = 1

    def __init__(self, depth, only):
        self.depth, self.only = depth, only
        n = words(depth)
        rows = [("fill", f"accept on the way from empty to {n} queued", "/s", 0, True),
                ("share", f"accept rate at {n} queued, of the empty queue's", " %", 0, True),
                ("cpu", f"{n} queued, smart host down: processor", " %", 2, False),
                ("writes", f"{n} queued, smart host down: disk writes a second (Sendoff tries it each second)", "", 2, False),
                ("anon", f"{n} queued: memory without mapped pages", " MB", 1, False),
                ("list", f"{n} queued: list (a page, where there are pages)", " s", 3, False),
                ("restart", f"{n} queued: restart to first delivery of a new message", " s", 2, False),
                ("remove", f"{n} queued: remove all", " s", 2, False)]
        super().__init__(f"deep {n}", [Row(f"deep_{n}_{key}", *rest) for key, *rest in rows])
        self.n = n

    def measure(self, kind, place, seconds):
        self.figures = {}
        sink = programs.Drain(place)
        peer = kind(place)
        more = {"reconnect": SOON} if kind.name == "sendoff" else {}
        peer.start(Relay(sink, split=True), clients=CLIENTS, **more)
        try:
            self.fill(peer, seconds)
            self.wait_quiet(peer, place)
            self.idle(peer, place, seconds)
            self.look(peer)
            self.again(peer, sink)
            self.empty(peer)
        except (programs.Failed, AssertionError, OSError, subprocess.SubprocessError) as error:
            if not self.figures:
                raise
            self.figures[f"deep_{self.n}_why"] = f"{kind.name}: {str(error)[-200:]}"
        return self.figures

    def note(self, key, value):
        self.figures[f"deep_{self.n}_{key}"] = value

    def fill(self, peer, seconds):
        dead = f"sink@{DEAD_DOMAIN}"
        peer.accept(connections=CLIENTS, messages=2 * CLIENTS, size=SIZE, rcpt=dead)  # it makes ready for so many
        empty = peer.accept(connections=CLIENTS, seconds=seconds, messages=self.depth // 10, size=SIZE, rcpt=dead)
        if not empty["messages"]:
            raise programs.Failed("it took no message in time")
        left = self.depth - empty["messages"]
        told = peer.accept(connections=CLIENTS, messages=left, size=SIZE, rcpt=dead, every=max(1, self.depth // 50),
                           seconds=FILL_S if self.depth < 1_000_000 else 10 * FILL_S)
        self.note("fill", told["rate"])
        if told["messages"] < left:
            raise programs.Failed(f"it took {told['messages']:,} of {left:,} messages in time")
        if told.get("curve"):
            self.note("curve", [[empty["messages"] + done, at] for done, at in told["curve"]])
        # As many as before: the first messages of a connection cost more than those that follow.
        deep = peer.accept(connections=CLIENTS, messages=empty["messages"], size=SIZE, rcpt=dead)
        self.note("share", 100 * deep["rate"] / empty["rate"])

    def wait_quiet(self, peer, place):
        """Each of a peer's messages may be tried once; what it does afterwards is what counts."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            before = meter.cpu_s(peer.pids())
            time.sleep(1)
            if meter.cpu_s(peer.pids()) - before < 0.05:
                break
        place.owner.settle()

    def idle(self, peer, place, seconds):
        window = 5 * seconds
        pids, before = peer.pids(), place.owner.counters()
        cpu, begin = meter.cpu_s(pids), time.monotonic()
        time.sleep(window)
        took = time.monotonic() - begin
        self.note("cpu", max(0, 100 * (meter.cpu_s(peer.pids()) - cpu) / took))
        if before:
            self.note("writes", (place.owner.counters()["writes"] - before["writes"]) / took)
        self.note("anon", meter.anonymous_mb(peer.pids()))

    def look(self, peer):
        times = []
        for _ in range(5 if peer.name == "sendoff" else 1):
            begin = time.monotonic()
            peer.listing()
            times.append(time.monotonic() - begin)
        self.note("list", statistics.median(times))

    def again(self, peer, sink):
        peer.stop()
        had = sink.messages()
        begin = time.monotonic()
        peer.restart()
        while not peer.is_listening():
            if time.monotonic() - begin > 60:
                raise programs.Failed("it does not take mail a minute after its start")
            time.sleep(0.005)
        peer.accept(connections=1, messages=1, size=SIZE)
        if sink.wait(had + 1, 60) == had:
            raise programs.Failed("a new message is not delivered a minute after the start")
        self.note("restart", sink.last() - begin)

    def empty(self, peer):
        begin = time.monotonic()
        peer.remove_all()
        self.note("remove", time.monotonic() - begin)


def all_scenarios(quick, depth=None):
    if depth:
        return [Deep(depth, ("sendoff", "postfix", "opensmtpd", "exim"))]
    if quick:
        return [Deep(10_000, ("sendoff",))]
    return [Deep(10_000, ("sendoff", "postfix", "opensmtpd", "exim")), Deep(100_000, ("sendoff", "postfix")),
            Deep(1_000_000, ("sendoff",))]
