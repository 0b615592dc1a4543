"""The mailers that are measured, each in a scratch root of its own.

A new one is a file here with a class like those (`peer.Peer` says what it has to be able to do) and a line below.
"""

from peers.dma import Dma
from peers.exim import Exim
from peers.nullmailer import Nullmailer
from peers.opensmtpd import OpenSMTPD
from peers.postfix import Postfix
from peers.sendoff import Sendoff

ALL = [Sendoff, Postfix, OpenSMTPD, Exim, Dma, Nullmailer]
