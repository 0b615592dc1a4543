"""What is measured of one mailer at a time. Each scenario gives some figures: key to number.

A scenario's rows say how its figures are shown; keys are unique over all scenarios, and `demands.py` refers to them.
"""

import dataclasses
import statistics
import time

import meter
import programs
from peers.peer import Relay

MB = 1_000_000


@dataclasses.dataclass
class Row:
    key: str
    title: str
    unit: str = "/s"
    digits: int = 0
    more_is_better: bool = True


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0


def make_ready(peer, clients):
    """Some mail that is not counted: for so many clients some mailers start processes first. How many messages."""
    peer.accept(connections=clients, messages=clients, size=1024)
    return clients


class Scenario:
    """One run on one mailer is `measure`; `seconds` is how long it may load it."""

    rounds = None  # as many as asked for
    needs_tls = False
    only = None  # names of mailers

    def __init__(self, name, rows):
        self.name, self.rows = name, rows

    def is_for(self, kind):
        return (kind.has_tls or not self.needs_tls) and (self.only is None or kind.name in self.only)

    def measure(self, kind, place, seconds):
        raise NotImplementedError


class Accept(Scenario):
    """Clients hand in mail as fast as it is taken; nothing is delivered meanwhile."""

    def __init__(self, clients, size, words, device_rows=False):
        self.clients, self.size = clients, size
        self.key = f"accept_{clients}_{size}"
        rows = [Row(self.key, f"accept, {clients} client{'s' if clients > 1 else ''}, {words}")]
        if device_rows:
            rows += [Row(f"flushes_{clients}", f"device flushes a message, {clients} clients", "", 3, False),
                     Row(f"written_{clients}", f"bytes written a message, {clients} clients", " B", 0, False)]
        super().__init__(rows[0].title, rows)
        self.device_rows = device_rows

    def measure(self, kind, place, seconds):
        peer = kind(place)
        peer.start(Relay(), clients=self.clients)
        make_ready(peer, self.clients)
        place.owner.settle()
        before = place.owner.counters()
        # Large messages are counted: a second of them would fill any disk.
        most = max(4 * self.clients, 60) if self.size > MB else None
        told = peer.accept(connections=self.clients, seconds=seconds, messages=most, size=self.size)
        if told["messages"] == 0:
            raise programs.Failed("it took no message in time")
        figures = {self.key: told["rate"]}
        if self.device_rows and before:
            place.owner.settle()
            after = place.owner.counters()
            figures[f"flushes_{self.clients}"] = (after["flushes"] - before["flushes"]) / told["messages"]
            figures[f"written_{self.clients}"] = (after["bytes"] - before["bytes"]) / told["messages"]
        return figures


class RelayThrough(Scenario):
    """Mail is handed in and sent on to one smart host at the same time: from the first connection to the last arrival.

    What has not arrived three times as long after the last was handed in is not waited for: the rate is of what has.
    """

    def __init__(self, clients, tls=False):
        self.clients, self.needs_tls = clients, tls
        self.key = f"relay_{'tls_' if tls else ''}{clients}"
        title = f"accept and relay{' over STARTTLS' if tls else ''}, {clients} client{'s' if clients > 1 else ''}"
        super().__init__(title, [Row(self.key, title)])

    def measure(self, kind, place, seconds):
        sink = programs.TlsSink(place) if self.needs_tls else programs.Drain(place)
        peer = kind(place)
        peer.start(Relay(sink), clients=self.clients)
        ready = make_ready(peer, self.clients)
        before = sink.wait(ready, 4 * seconds)
        if before == 0:
            raise programs.Failed("nothing arrived at the smart host in time")
        place.owner.settle()
        begin = time.monotonic()
        told = peer.accept(connections=self.clients, seconds=seconds, size=1024)
        arrived = sink.wait(ready + told["messages"], 3 * seconds)
        if arrived <= before:
            raise programs.Failed(f"of {told['messages']} messages nothing arrived in time")
        end = sink.last() if arrived >= ready + told["messages"] else time.monotonic()
        return {self.key: (arrived - before) / (end - begin)}


class Latency(Scenario):
    """One message at a time through an idle system: from its last byte's sending to its arrival at the smart host."""

    def __init__(self, messages):
        self.messages = messages
        super().__init__("latency", [Row("latency_p50", "final dot in to receipt at the smart host, p50", " ms", 2, False),
                                     Row("latency_p99", "the same, p99", " ms", 2, False)])

    def measure(self, kind, place, seconds):
        sink = programs.Drain(place)
        peer = kind(place)
        peer.start(Relay(sink))
        peer.accept(connections=1, messages=3, size=1024)  # what is slow only the first time
        first = sink.wait(3, 10)
        end, sent = time.monotonic() + 6 * seconds, 0
        while sent < self.messages and time.monotonic() < end:
            peer.accept(connections=1, messages=1, size=1024)
            sent += 1
            sink.wait(first + sent, max(end - time.monotonic(), 0))
            time.sleep(0.01)
        times = sink.latencies_ms()[first:]
        if len(times) < min(5, self.messages):
            raise programs.Failed(f"{len(times)} of {sent} messages arrived in time")
        return {"latency_p50": statistics.median(times), "latency_p99": percentile(times, 0.99)}


class Command(Scenario):
    """`sendmail -t`, one after another, while mail is sent on: how long it keeps its caller."""

    def __init__(self, messages):
        self.messages = messages
        super().__init__("sendmail command", [Row("sendmail_p50", "sendmail -t returns, p50", " ms", 2, False)])

    def measure(self, kind, place, seconds):
        peer = kind(place)
        peer.start(Relay(programs.Drain(place)))
        peer.submit(messages=3)
        told = peer.submit(messages=self.messages, seconds=5 * seconds, pause=5)
        return {"sendmail_p50": told["p50_us"] / 1000}


class Memory(Scenario):
    """PSS of all its processes: idle after some mail, and with idle clients connected."""

    rounds = 1

    def __init__(self, clients, only=None):
        self.clients, self.only = clients, only
        self.key = f"pss_{clients}"
        title = f"{clients:,} idle client connections, PSS" if clients else "idle after 100 messages, PSS"
        super().__init__(title, [Row(self.key, title, " MB", 1, False)])

    def is_for(self, kind):
        return super().is_for(kind) and (kind.has_smtp or not self.clients)

    def measure(self, kind, place, seconds):
        peer = kind(place)
        peer.start(Relay(programs.Drain(place)), clients=max(self.clients, 10))
        peer.accept(connections=1, messages=100, size=1024)
        if self.clients:
            programs.Idle(place, peer.port, self.clients)
        time.sleep(1)
        if not peer.pids():
            return {self.key: 0.0}
        return {self.key: meter.pss_mb(peer.pids())}


def all_scenarios(quick):
    made = [Accept(1, 1024, "1 KB"), Accept(10, 1024, "1 KB"), Accept(100, 1024, "1 KB", device_rows=True),
            Accept(10, 10_000_000, "10 MB")]
    if not quick:
        made[3:3] = [Accept(10, 10_240, "10 KB"), Accept(10, 102_400, "100 KB")]
    made += [RelayThrough(1), RelayThrough(10), RelayThrough(100), RelayThrough(10, tls=True),
             Latency(40 if quick else 200), Command(50 if quick else 200), Memory(0),
             Memory(1000, only=("sendoff",) if quick else None)]
    if not quick:
        made.append(Memory(10_000, only=("sendoff", "opensmtpd")))
    return made
