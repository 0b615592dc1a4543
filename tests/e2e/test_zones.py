"""The test bed for DNS itself: what the resolver says of each kind of zone."""

import time

from postfix import make_certificate
from zones import Faults, Reply, Zones, query, rdata, tlsa, zones  # noqa: F401


def test_the_resolver_tells_proven_from_unproven_and_forged(scratch, zones):  # noqa: F811
    _, certificate, _ = make_certificate(scratch.path, "mx1.secure.test")
    zones.add("secure.test", "@ MX 10 mx1\nmx1 A 127.0.0.5\n_25._tcp.mx1 TLSA " + tlsa(certificate))
    zones.add("plain.test", "@ MX 10 mx\nmx A 127.0.0.6", signed=False)
    zones.add("expired.test", "@ MX 10 mx\nmx A 127.0.0.6", broken=True)
    zones.add("forged.test", "@ MX 10 mx\nmx A 127.0.0.6\n_25._tcp.mx TLSA " + tlsa(certificate), broken=["TLSA"])
    zones.add("denied.test", "@ MX 10 mx\nmx A 127.0.0.6", broken=["NSEC"])
    zones.dead("dead.test")
    start = time.monotonic()
    zones.start()
    assert time.monotonic() - start < 10
    for name, kind, expected in (
            ("secure.test", "MX", ("NOERROR", True, 1)),
            ("mx1.secure.test", "A", ("NOERROR", True, 1)),
            ("_25._tcp.mx1.secure.test", "TLSA", ("NOERROR", True, 1)),
            ("secure.test", "TXT", ("NOERROR", True, 0)),
            ("nobody.secure.test", "MX", ("NXDOMAIN", True, 0)),
            ("plain.test", "MX", ("NOERROR", False, 1)),
            ("plain.test", "TXT", ("NOERROR", False, 0)),
            ("nobody.plain.test", "MX", ("NXDOMAIN", False, 0)),
            ("nowhere.test", "MX", ("NXDOMAIN", False, 0)),
            ("expired.test", "MX", ("SERVFAIL", False, 0)),
            ("forged.test", "MX", ("NOERROR", True, 1)),
            ("mx.forged.test", "A", ("NOERROR", True, 1)),
            ("_25._tcp.mx.forged.test", "TLSA", ("SERVFAIL", False, 0)),
            ("denied.test", "MX", ("NOERROR", True, 1)),
            ("_25._tcp.mx.denied.test", "TLSA", ("SERVFAIL", False, 0)),
            ("dead.test", "MX", ("SERVFAIL", False, 0))):
        assert query(zones.server, name, kind, 20) == expected, (name, kind)


def test_a_zone_can_be_changed(zones):  # noqa: F811
    zones.add("a.test", "@ MX 10 mx")
    zones.start()
    assert query(zones.server, "a.test", "MX") == ("NOERROR", True, 1)
    zones.add("a.test", "@ MX 10 mx\n@ MX 20 my\nmx A 127.0.0.1")
    zones.reload()
    assert query(zones.server, "a.test", "MX") == ("NOERROR", True, 2)


def test_a_hostile_name_server_stands_behind_the_resolver_or_in_its_place(scratch, zones):  # noqa: F811
    def say(name, kind, over_tcp):
        if name == "mute.test":
            return None
        if kind == "MX":
            return Reply(("x.test", "MX", rdata("MX", 10, "mx.test")), authentic=True, truncated=not over_tcp)
        return Reply(rcode="REFUSED")

    faults = Faults(scratch, say)
    zones.ask("x.test", faults.port)
    zones.start()
    assert query(zones.server, "x.test", "MX") == ("NOERROR", False, 1)
    assert query(zones.server, "x.test", "TXT")[0] == "SERVFAIL"
    assert query(faults.server, "x.test", "MX") == ("NOERROR", True, 1)
    assert query(faults.server, "mute.test", "MX", 0.2) == ("SILENT", False, 0)
    assert ("x.test", "MX", True) in faults.asked
