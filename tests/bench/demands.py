"""What is asked of Sendoff: beside the best of its peers, or in itself. One line a figure; the report says whether it is met.

    beside("key", 1.6, "postfix")   at least (or, for times and sizes, at most) so many times Postfix's figure
    within("key", 4)                at most this, or at least this, whichever is better for this figure
"""

import dataclasses


@dataclasses.dataclass
class Demand:
    key: str
    bound: float
    peer: str = None  # or the figure itself is bounded
    also: object = None  # a further condition: figures and floors in, a word and True or False out


def beside(key, factor, peer, also=None):
    return Demand(key, factor, peer, also)


def within(key, bound):
    return Demand(key, bound)


def share_of_floors(own, floors):
    """60 % of what storage and transport allow together."""
    needed = (floors.get("lmdb_64"), floors.get("load_sink_100"))
    if own is None or None in needed:
        return None
    together = 1 / (1 / needed[0] + 1 / needed[1])
    return f"{100 * own / together:.0f} % of both floors together ({together:,.0f}/s), of 60 %", own >= 0.6 * together


ALL = [
    beside("accept_1_1024", 1.6, "postfix"),
    beside("accept_10_1024", 3, "postfix"),
    beside("accept_100_1024", 5, "exim", share_of_floors),
    beside("accept_10_10000000", 1.5, "postfix"),
    beside("relay_1", 1.8, "postfix"),
    beside("relay_10", 5, "postfix"),
    beside("relay_100", 8, "postfix"),
    beside("relay_tls_10", 8, "postfix"),
    beside("latency_p50", 0.6, "postfix"),
    beside("latency_p99", 0.6, "postfix"),
    within("link_trips", 1.3),
    beside("sendmail_p50", 0.6, "dma"),
    within("flushes_100", 0.05),
    within("pss_0", 4),
    within("pss_1000", 20),
    within("deep_10k_restart", 0.1),
    within("deep_10k_list", 0.05),
    within("deep_10k_remove", 0.3),
    within("deep_1M_restart", 0.1),
    within("deep_1M_list", 0.05),
    within("deep_1M_share", 70),
    within("deep_1M_cpu", 0.5),
    within("deep_1M_writes", 0),
    within("deep_1M_anon", 50),
]
