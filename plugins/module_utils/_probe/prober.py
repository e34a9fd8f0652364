# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The program that the tasks of a probe run, one on each node: in the network of the host, or in an overlay network.

It is sent as text, so it uses the standard library alone. It answers the others for as long as it lives, asks all of them at once,
and asks again until they have answered. So it does not matter which task starts first. It prints what it knows as lines of JSON, each
time that it has changed. One thread does everything.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import heapq
import ipaddress
import json
import os
import random
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

Address = tuple[str, int]

# The port of the answers in the network of a task, where nothing else listens.
PORT = 7979
MAGIC = b"FLOTPROB"
# Magic, run, kind, the index of the sender, number of the message.
_MESSAGE = struct.Struct("!8s8sBHI")
_ASK, _ACK = 1, 2
# A network of VXLAN and an SPI of ESP that no swarm uses: the kernel drops these packets after this program has seen them.
_VXLAN = struct.pack("!II", 0x08000000, 0xFFF107 << 8)
_ESP = struct.pack("!II", 0xF107F107, 1)
ESP_PROTOCOL = 50
# Options of sockets that the module socket does not name (linux/in.h, asm-generic/socket.h).
_IP_MTU_DISCOVER, _PROBE_MTU, _NO_CHECKSUM, _ATTACH_FILTER = 10, 3, 11, 26
_GET_ADDRESS, _GET_MTU = 0x8915, 0x8921

# Seconds: an attempt by TCP, between two messages, from the last message until it counts as lost.
_ATTEMPT, _AGAIN, _LOST = 3.0, 0.4, 2.0
# The small messages by which loss and round trip are measured, how many of them may be lost, and the sizes that one round of the search
# tries, each so often.
PINGS, MOST_LOST, _SIZES, _COPIES = 20, 3, 8, 3
# Bytes: a printed line, the headers of IP and UDP, the smallest MTU of interest.
_LINE, _HEADERS, _SMALLEST = 7000, 28, 576
# A subnet is searched for tasks that DNS does not name if it has no more addresses than this.
_MOST_ADDRESSES = 1024
_MOST_CONNECTIONS = 64
# Seconds after which a prober no longer waits for DNS to know all tasks.
_LATE = 6.0


class Loop:
    """Calls back when sockets are ready and when times have come."""

    def __init__(self) -> None:
        self.ready = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """Call `work` once, after so many seconds."""
        self._count += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._count, work))

    def every(self, seconds: float, work: Callable[[], None]) -> None:
        """Call `work` now and again."""

        def repeat() -> None:
            self.later(seconds, repeat)
            work()

        self.later(0, repeat)

    def watch(self, sock: socket.socket, events: int, work: Callable[[], None]) -> None:
        """Call `work` when the socket is ready."""
        sock.setblocking(False)
        self.ready.register(sock, events, work)

    def forget(self, sock: socket.socket) -> None:
        """Close a socket that is watched."""
        self.ready.unregister(sock)
        sock.close()

    def run(self, until: float) -> None:
        """Work until this time."""
        while time.monotonic() < until:
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()
            wait = self._timers[0][0] - time.monotonic() if self._timers else 1.0
            for key, _events in self.ready.select(max(0.0, min(wait, 1.0))):
                key.data()


def say(line: dict[str, Any]) -> None:
    """Print a line, which the engine keeps as the log of this task."""
    sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
    sys.stdout.flush()


class Facts:
    """What this program knows. Each fact has a kind and a key, and its latest value counts."""

    def __init__(self, run: str, node: int, where: str) -> None:
        self._head = {"probe": run, "node": node, "where": where, "began": round(time.time(), 3)}
        self._lines = 0
        self._known: dict[tuple[str, str], str] = {}
        self._new: dict[tuple[str, str], Any] = {}

    def set(self, kind: str, key: str | int, value: Any) -> None:
        """Note a fact."""
        text = json.dumps(value)
        if self._known.get((kind, str(key))) != text:
            self._known[kind, str(key)] = text
            self._new[kind, str(key)] = value

    def flush(self) -> None:
        """Print what has changed."""
        lines: list[list[Any]] = [[]]
        size = 0
        for (kind, key), value in self._new.items():
            size += len(kind) + len(key) + len(self._known[kind, key]) + 12
            if size > _LINE:
                lines.append([])
                size = 0
            lines[-1].append([kind, key, value])
        self._new = {}
        for facts in filter(None, lines):
            self._lines += 1
            line = {**self._head, "line": self._lines, "facts": facts}
            say(line)


def why_of(error: OSError) -> str:
    """One word for why there is no connection."""
    words = {
        errno.ECONNREFUSED: "refused",
        errno.ECONNRESET: "reset",
        errno.ETIMEDOUT: "timeout",
        errno.EHOSTUNREACH: "unreachable",
        errno.ENETUNREACH: "unreachable",
    }
    return words.get(error.errno or 0, "failed")


def family_of(address: str) -> socket.AddressFamily:
    """IPv4 or IPv6."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Ask:
    """One attempt to connect, and to read who answers. `done` gets an index and an empty text, or -1 and why not."""

    def __init__(
        self, loop: Loop, address: Address, read: bool, done: Callable[[int, str], None]
    ) -> None:
        self._loop, self._done, self._read, self._found = loop, done, read, b""
        self._socket: socket.socket | None = socket.socket(family_of(address[0]))
        self._socket.setblocking(False)
        code = self._socket.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            self._socket.close()
            self._socket = None
            loop.later(0.2, lambda: done(-1, why_of(OSError(code, ""))))
            return
        loop.watch(self._socket, selectors.EVENT_WRITE, self._connected)
        loop.later(_ATTEMPT, lambda: self._end(-1, "timeout"))

    def _connected(self) -> None:
        if self._socket is None:
            return
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code or not self._read:
            self._end(-1 if code else 0, why_of(OSError(code, "")) if code else "")
            return
        self._loop.ready.modify(self._socket, selectors.EVENT_READ, self._readable)

    def _readable(self) -> None:
        if self._socket is None:
            return
        try:
            piece = self._socket.recv(256)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(-1, why_of(error))
            return
        self._found += piece
        words = self._found.split()
        if self._found.endswith(b"\n") and len(words) == 2 and words[0] == MAGIC:
            self._end(int(words[1]) if words[1].isdigit() else -1, "")
        elif not piece or len(self._found) > 1024:
            self._end(-1, "closed")

    def _end(self, index: int, why: str) -> None:
        if self._socket is not None:
            self._loop.forget(self._socket)
            self._socket = None
            self._done(index, why)


class Until:
    """Asks by TCP until there is an answer, and notes how it went."""

    def __init__(self, loop: Loop, address: Address, read: bool, note: Callable[[int, str], None]):
        self.settled = False
        self._loop, self._address, self._read, self._note = loop, address, read, note
        self._try()

    def _try(self) -> None:
        Ask(self._loop, self._address, self._read, self._answered)

    def _answered(self, index: int, why: str) -> None:
        self.settled = index >= 0
        self._note(index, why or "ok")
        if not self.settled:
            self._loop.later(0.5, self._try)


class Answers:
    """Says over TCP who this is, to whoever connects."""

    def __init__(self, loop: Loop, index: int, port: int = PORT) -> None:
        self._loop, self._open = loop, 0
        self._text = MAGIC + b" %d\n" % index
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("0.0.0.0", port))
        listening.listen(512)
        self._listening = listening
        loop.watch(listening, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        try:
            client, _address = self._listening.accept()
            client.setblocking(False)
            client.send(self._text)
            client.close()
        except OSError:
            return


def is_message(data: bytes, run: bytes) -> bool:
    """Whether these bytes are a message of this run."""
    return len(data) >= _MESSAGE.size and data[:16] == MAGIC + run


# In the network of the host


def only_marked(sock: socket.socket, at: int, from_ip: bool) -> None:
    """Have the kernel pass only packets with the mark at this place of their content, however busy the host is."""
    first, second = struct.unpack("!II", MAGIC)
    # BPF: X = length of the IP header; compare the two halves of the mark; take the packet or not.
    load = 0x40 if from_ip else 0x20
    program = [(0xB1, 0, 0, 0)] if from_ip else []
    program += [(load, 0, 0, at), (0x15, 0, 3, first), (load, 0, 0, at + 4), (0x15, 0, 1, second)]
    program += [(0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    place = ctypes.addressof(code)
    sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HL", len(program), place))


class Marks:
    """Sends marked packets of one protocol to all hosts, and notes from whom they arrive.

    A raw socket sees what has passed the firewall of the host, also if nothing listens there.
    """

    def __init__(
        self, probe: HostProbe, name: str, port: int, head: bytes, addresses: dict[int, str]
    ) -> None:
        self._probe, self._name, self._port, self._head = probe, name, port, head
        self._addresses = addresses
        self.heard: set[int] = set()
        self._sent = 0
        self._next = 0.0
        protocol = socket.IPPROTO_UDP if port else ESP_PROTOCOL
        self._out: dict[int, socket.socket] = {}
        for family in {family_of(address) for address in addresses.values()}:
            sock = socket.socket(family, socket.SOCK_RAW, protocol)
            ipv4 = family == socket.AF_INET
            # Without it, this program looks at all packets.
            with contextlib.suppress(OSError, ValueError):
                only_marked(sock, len(head) + (8 if port else 0), ipv4)
            probe.loop.watch(sock, selectors.EVENT_READ, self._reader(sock, ipv4))
            self._out[family] = (
                socket.socket(family, socket.SOCK_DGRAM)
                if port
                else socket.socket(family, socket.SOCK_RAW, protocol)
            )

    def _reader(self, sock: socket.socket, ipv4: bool) -> Callable[[], None]:
        def read() -> None:
            for _turn in range(100):
                try:
                    data = sock.recv(2048)
                except OSError:
                    return
                at = (data[0] & 15) * 4 if ipv4 and data else 0
                if self._port:
                    if struct.unpack_from("!H", data + bytes(64), at + 2)[0] != self._port:
                        continue
                    at += 8
                message = data[at + len(self._head) :]
                if data[at : at + len(self._head)] == self._head and is_message(
                    message, self._probe.run
                ):
                    index = _MESSAGE.unpack_from(message)[3]
                    self.heard.add(index)
                    self._probe.facts.set(f"heard/{self._name}", index, 1)

        return read

    def send(self) -> None:
        """Send one packet to each host: every second at first, and then less often, because engines log what they do not know."""
        now = time.monotonic()
        if now < self._next:
            return
        self._sent += 1
        self._next = now + (1.0 if self._sent < 6 else 3.0)
        data = self._head + _MESSAGE.pack(
            MAGIC, self._probe.run, _ASK, self._probe.index, self._sent
        )
        for address in self._addresses.values():
            try:
                self._out[family_of(address)].sendto(data, (address, self._port))
            except OSError:
                continue  # a rule of this host's firewall; nobody hears it then


class HostProbe:
    """The ports between the hosts."""

    def __init__(self, loop: Loop, request: dict[str, Any], index: int, published: int) -> None:
        self.loop, self.index, self.run = loop, index, request["run"].encode().ljust(8, b"-")
        self.facts = Facts(request["run"], index, "host")
        nodes, host = request["nodes"], request["host"]
        others = {n: each[1] for n, each in enumerate(nodes) if n != index and each[1]}
        self._expected = set(request["expected"]) - {index}
        self._asks: list[tuple[int, Until]] = []
        for n, address in others.items():
            self._connect("tcp/gossip", n, (address, host["gossip"]), False)
            manager = nodes[n][2].rpartition(":")
            if manager[0]:
                self._connect("tcp/manager", n, (manager[0].strip("[]"), int(manager[2])), False)
        for n in self._expected | {index} if published else ():
            if nodes[n][1]:
                self._connect("published", n, (nodes[n][1], published), True)
        self._marks = [
            Marks(self, "gossip", host["gossip"], b"", others),
            Marks(self, "data", host["data_port"], _VXLAN, others),
        ]
        if host["esp"]:
            self._marks.append(Marks(self, "esp", 0, _ESP, others))
        loop.every(0.5, self._tick)

    def _connect(self, kind: str, n: int, address: Address, read: bool) -> None:
        def note(_index: int, why: str) -> None:
            self.facts.set(kind, n, why)

        self._asks.append((n, Until(self.loop, address, read, note)))

    def _tick(self) -> None:
        for marks in self._marks:
            marks.send()
        heard = all(self._expected <= marks.heard for marks in self._marks)
        asked = all(each.settled for n, each in self._asks if n in self._expected | {self.index})
        if heard and asked:
            self.facts.set("settled", "", True)
        self.facts.flush()


# In an overlay network


def interfaces() -> Iterable[tuple[str, str, int]]:
    """The IPv4 interfaces of this namespace: name, address, MTU."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _number, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                address = socket.inet_ntoa(fcntl.ioctl(sock, _GET_ADDRESS, request)[20:24])
                mtu = struct.unpack("i", fcntl.ioctl(sock, _GET_MTU, request)[16:20])[0]
            except OSError:
                continue
            yield name, address, mtu


class Sizes:
    """Searches the largest packet that arrives, with some sizes a round. It searches again until the largest of all arrives: a busy host
    loses packets of any size."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self.found: int | None = None
        self._arrived: set[int] = set()
        self._begin(0.0)

    def _begin(self, when: float) -> None:
        self._low, self._high = self.found or 0, self._largest + 1
        self._round: list[int] = [self._largest]
        self._sent, self._next = 0, when

    @property
    def settled(self) -> bool:
        """Whether the largest of all has arrived."""
        return self.found == self._largest

    def due(self, now: float) -> list[int]:
        """The sizes to send now."""
        if self.settled or now < self._next:
            return []
        if self._arrived >= set(self._round) or self._sent == _COPIES:
            self._conclude(now)
            if self.settled or now < self._next:
                return []
        self._sent += 1
        # After the last copy, wait as long as an answer can take.
        self._next = now + (0.6 if self._sent == _COPIES else 0.2)
        return [size for size in self._round if size not in self._arrived]

    def arrived(self, size: int) -> None:
        """A packet of this size has arrived."""
        self._arrived.add(size)
        if self._arrived >= set(self._round):
            self._next = 0.0

    def _conclude(self, now: float) -> None:
        self._low = max([self._low, *self._arrived])
        missing = [size for size in self._round if size > self._low]
        self._high = min([self._high, *missing])
        if self._high - self._low <= 1 or (self._low == 0 and self._high <= _SMALLEST):
            self.found = self._low
            self._begin(now + 1.0)
            return
        low = max(self._low, _SMALLEST - 1)
        step = max(1, (self._high - low) // (_SIZES + 1))
        self._round = sorted({*range(low + step, self._high, step)})[-_SIZES * 2 :]
        self._sent, self._next = 0, 0.0


class Pings:
    """Series of small messages. The best series counts, and they go on until one is good: a busy host loses many in one second."""

    def __init__(self) -> None:
        self.series = 0
        self.lost: int | None = None
        self.trip: float | None = None
        self._sent, self._next, self._last = 0, 0.0, 0.0
        self._trips: list[float] = []

    @property
    def settled(self) -> bool:
        """Whether a series was good."""
        return self.lost is not None and self.lost <= MOST_LOST

    def due(self, now: float) -> bool:
        """Whether to send one now; if so, it counts as sent."""
        if self.settled or now < self._next:
            return False
        if self._sent == PINGS:
            if len(self._trips) == PINGS or now - self._last > _LOST:
                self._conclude(now)
            return False
        self._sent, self._last = self._sent + 1, now
        return True

    def answered(self, series: int, seconds: float) -> None:
        """One of a series was answered, after so long."""
        if series == self.series:
            self._trips.append(seconds)

    def _conclude(self, now: float) -> None:
        lost = PINGS - len(self._trips)
        if self.lost is None or lost < self.lost:
            self.lost = lost
            trips = sorted(self._trips)
            self.trip = round(1000 * trips[len(trips) // 2], 2) if trips else None
        self.series += 1
        self._sent, self._next, self._trips = 0, now + 1.0, []


class Peer:
    """Another task of the probe, by its address."""

    def __init__(self, address: str, found_by: str) -> None:
        self.address, self.found_by = address, found_by
        self.node = -1
        self.tcp = ""
        self.unchecked = False
        self.pings = Pings()
        self.sizes: Sizes | None = None
        self.asking = False
        self.next = 0.0

    @property
    def settled(self) -> bool:
        """Whether there is nothing left to find out."""
        sizes = self.sizes is not None and self.sizes.settled
        return self.tcp == "ok" and self.pings.settled and sizes

    def value(self) -> dict[str, Any]:
        """What is known of it, as data."""
        return {
            "node": self.node,
            "by": self.found_by,
            "udp": self.node >= 0,
            "tcp": self.tcp,
            "unchecked": self.unchecked,
            "mtu": self.sizes.found if self.sizes else None,
            "lost": self.pings.lost,
            "trip": self.pings.trip,
        }


class OverlayProbe:
    """The tasks, the names and the virtual address of this service, in one overlay network."""

    def __init__(self, loop: Loop, request: dict[str, Any], index: int, where: str) -> None:
        overlay = request["overlays"][where]
        self._loop, self._index, self._run = loop, index, request["run"].encode().ljust(8, b"-")
        self.facts = Facts(request["run"], index, where)
        self._names = {"tasks": f"tasks.{overlay['service']}", "service": overlay["service"]}
        self._subnet = ipaddress.ip_network(overlay["subnet"]) if overlay["subnet"] else None
        self._own, self._vip = overlay["own"], overlay["vip"]
        self._expected = set(request["expected"]) - {index}
        self._peers: dict[str, Peer] = {}
        self._asked: dict[int, tuple[Peer, str, int, float]] = {}
        self._number = 0
        self._began = time.monotonic()
        self._addresses = {address for _name, address, _mtu in interfaces()}
        self._answers = Answers(loop, index)
        self._server = self._socket(PORT)
        self._client = self._socket(0)
        self._client.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PROBE_MTU)
        self._plain = self._socket(0)
        self._plain.setsockopt(socket.SOL_SOCKET, _NO_CHECKSUM, 1)
        self._names_seen: dict[str, list[str]] = {}
        self._vip_asked = 0
        self._vip_counts: dict[str, int] = {}
        self._vip_settled = not self._vip
        self._resolver = Resolver(loop, resolver_address(), self._resolved)
        self._mtu = self._own_mtu()
        loop.every(0.1, self._tick)
        loop.every(1.0, self._ask_names)
        loop.every(3.0, self._search)
        loop.every(1.0, self._report)

    def _own_mtu(self) -> int:
        for _name, address, mtu in interfaces():
            own = self._subnet is None or ipaddress.ip_address(address) in self._subnet
            if own and not address.startswith("127."):
                self.facts.set("self", "", {"address": address, "mtu": mtu})
                return mtu
        return 1500

    def _socket(self, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind(("0.0.0.0", port))
        self._loop.watch(sock, selectors.EVENT_READ, lambda: self._receive(sock))
        return sock

    def _receive(self, sock: socket.socket) -> None:
        for _turn in range(200):
            try:
                data, address = sock.recvfrom(65536)
            except OSError:
                return
            if not is_message(data, self._run):
                continue
            _magic, _run, kind, sender, number = _MESSAGE.unpack_from(data)
            if kind == _ASK:
                self.facts.set("heard", sender, 1)
                answer = _MESSAGE.pack(MAGIC, self._run, _ACK, self._index, number)
                self._send(self._server, answer, address)
                # Whoever cannot verify checksums gets an answer that has none.
                if sock is self._server and data[_MESSAGE.size : _MESSAGE.size + 1] == b"u":
                    self._send(self._plain, answer, address)
            elif kind == _ACK and number in self._asked:
                self._acknowledged(*self._asked.pop(number), sender, address[0])

    def _acknowledged(
        self, peer: Peer, what: str, size: int, when: float, sender: int, source: str
    ) -> None:
        took = time.monotonic() - when
        if what == "unchecked":
            peer.unchecked = True
            return
        if peer.address == "":  # of a search
            peer = self._peer(source, "search") or peer
        peer.node = sender
        if peer.sizes is None:
            peer.sizes = Sizes(self._mtu)
        if what == "size":
            peer.sizes.arrived(size)
        elif what == "ping":
            peer.pings.answered(size, took)

    def _send(self, sock: socket.socket, data: bytes, address: Address) -> None:
        # It is too large for this interface, or there is no way: then it does not arrive.
        with contextlib.suppress(OSError):
            sock.sendto(data, address)

    def _ask(self, peer: Peer, what: str, address: str, size: int = 0) -> None:
        """Send a message. Of a ping, `size` is its series."""
        self._number += 1
        now = time.monotonic()
        self._asked[self._number] = (peer, what, size, now)
        if len(self._asked) > 200000:
            del self._asked[next(iter(self._asked))]
        data = _MESSAGE.pack(MAGIC, self._run, _ASK, self._index, self._number)
        if what == "unchecked":
            self._send(self._plain, data + b"u", (address, PORT))
            return
        length = size - _HEADERS if what == "size" else 0
        self._send(self._client, data.ljust(length, b"."), (address, PORT))

    def _peer(self, address: str, found_by: str) -> Peer | None:
        if address in self._addresses:
            return None
        if address not in self._peers:
            self._peers[address] = Peer(address, found_by)
        return self._peers[address]

    def _tick(self) -> None:
        now = time.monotonic()
        for peer in list(self._peers.values()):
            if not peer.asking:
                peer.asking = True
                self._connect(peer)
            if peer.node < 0:
                if now >= peer.next:
                    peer.next = now + _AGAIN
                    self._ask(peer, "hello", peer.address)
                    self._ask(peer, "unchecked", peer.address)
                continue
            if peer.pings.due(now):
                self._ask(peer, "ping", peer.address, peer.pings.series)
            for size in peer.sizes.due(now) if peer.sizes else ():
                self._ask(peer, "size", peer.address, size)

    def _connect(self, peer: Peer) -> None:
        def note(_index: int, why: str) -> None:
            peer.tcp = why

        Until(self._loop, (peer.address, PORT), True, note)

    # Names

    def _ask_names(self) -> None:
        tasks = self._names_seen.get("tasks") or []
        complete = len(tasks) > len(self._expected) and bool(self._names_seen.get("service"))
        if not complete or (self._vip and not self._vip_asked):
            for key, name in self._names.items():
                self._resolver.ask(key, name)

    def _resolved(self, key: str, code: str, addresses: list[str]) -> None:
        self.facts.set("name", key, {"code": code, "addresses": addresses})
        if addresses or key not in self._names_seen:
            self._names_seen[key] = addresses
        if key == "tasks":
            for address in addresses:
                self._peer(address, "name")
        elif addresses and self._vip and not self._vip_asked:
            # The table of the virtual address is complete when the names are, more or less.
            complete = len(self._names_seen.get("tasks") or []) > len(self._expected)
            if complete or time.monotonic() - self._began > _LATE:
                self._ask_vip(addresses[0])

    def _ask_vip(self, address: str) -> None:
        """Connect often enough that each task is chosen more than once."""
        self._vip_asked = min(_MOST_CONNECTIONS, 3 * (len(self._expected) + 1))

        def answered(index: int, why: str) -> None:
            key = str(index) if index >= 0 else why
            self._vip_counts[key] = self._vip_counts.get(key, 0) + 1
            self.facts.set("vip", "", {"address": address, "answers": self._vip_counts})
            if sum(self._vip_counts.values()) < self._vip_asked:
                connect()
            elif any(key.isdigit() for key in self._vip_counts):
                self._vip_settled = True
            else:
                # Until it answers: the table of the kernel may come later than the name.
                self._vip_counts = {}
                self._vip_asked = 2
                self._loop.later(0.5, connect)

        def connect() -> None:
            Ask(self._loop, (address, PORT), True, answered)

        connect()

    def _search(self) -> None:
        """Find the tasks that DNS does not name, in a network that is only there for the probe."""
        found = {peer.node for peer in self._peers.values()}
        late = time.monotonic() - self._began > _LATE
        if self._expected <= found or not late or not self._own or self._subnet is None:
            return
        if self._subnet.num_addresses <= _MOST_ADDRESSES:
            anybody = Peer("", "search")
            for address in self._subnet.hosts():
                if str(address) not in self._peers and str(address) not in self._addresses:
                    self._ask(anybody, "search", str(address))

    def _report(self) -> None:
        for peer in self._peers.values():
            self.facts.set("peer", peer.address, peer.value())
        settled = {peer.node for peer in self._peers.values() if peer.settled}
        names = all(self._names_seen.get(key) for key in self._names)
        complete = len(self._names_seen.get("tasks") or []) > len(self._expected)
        if self._expected <= settled and names and complete and self._vip_settled:
            self.facts.set("settled", "", True)
        self.facts.flush()


def resolver_address() -> str:
    """The resolver of this container: the engine's own."""
    try:
        with open("/etc/resolv.conf", encoding="ascii", errors="replace") as file:
            for line in file:
                words = line.split()
                if len(words) > 1 and words[0] == "nameserver":
                    return words[1]
    except OSError:
        pass
    return "127.0.0.11"


class Resolver:
    """Asks the engine for names. `done` gets the key of the question, what came of it, and the addresses."""

    def __init__(
        self, loop: Loop, server: str, done: Callable[[str, str, list[str]], None]
    ) -> None:
        self._loop, self._server, self._done = loop, server, done
        self._waiting: dict[int, str] = {}
        self._socket = socket.socket(family_of(server), socket.SOCK_DGRAM)
        loop.watch(self._socket, selectors.EVENT_READ, self._receive)

    def ask(self, key: str, name: str) -> None:
        """Ask for the IPv4 addresses of a name, once at a time."""
        if key in self._waiting.values():
            return
        number = random.randrange(65536)
        self._waiting[number] = key
        with contextlib.suppress(OSError):
            self._socket.sendto(question(number, name), (self._server, 53))
        self._loop.later(_ATTEMPT, lambda: self._give_up(number))

    def _give_up(self, number: int) -> None:
        key = self._waiting.pop(number, None)
        if key is not None:
            self._done(key, "timeout", [])

    def _receive(self) -> None:
        try:
            data = self._socket.recv(65536)
            number, code, addresses = parse_answer(data)
        except (OSError, ValueError, struct.error, IndexError):
            return
        key = self._waiting.pop(number, None)
        if key is not None:
            self._done(key, code, addresses)


def question(number: int, name: str) -> bytes:
    """A question for the IPv4 addresses of a name, which allows an answer of any size."""
    parts = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    head = struct.pack("!6H", number, 0x0100, 1, 0, 0, 1)
    return (
        head + parts + b"\0" + struct.pack("!HH", 1, 1) + struct.pack("!BHHIH", 0, 41, 65000, 0, 0)
    )


def parse_answer(data: bytes) -> tuple[int, str, list[str]]:
    """The number, what came of the question (ok, nxdomain, or error and a number), and the addresses, sorted."""
    number, flags, questions, answers = struct.unpack_from("!4H", data)
    at = 12
    for _each in range(questions):
        at = _after_name(data, at) + 4
    found = []
    for _each in range(answers):
        at = _after_name(data, at)
        kind, _class, _life, size = struct.unpack_from("!HHIH", data, at)
        at += 10
        if kind == 1 and size == 4:
            found.append(socket.inet_ntoa(data[at : at + 4]))
        at += size
    code = {0: "ok", 3: "nxdomain"}.get(flags & 15, f"error {flags & 15}")
    return number, code, sorted(found)


def _after_name(data: bytes, at: int) -> int:
    while data[at]:
        if data[at] & 0xC0:
            return at + 2
        at += data[at] + 1
    return at + 1


def main(request: dict[str, Any], words: list[str]) -> int:
    """Probe until the task is stopped, or until the longest time of a run. The arguments: where, and the published port."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))
    where, published, node = words[0], int(words[1]), os.environ.get("NODE", "")
    index = next((n for n, each in enumerate(request["nodes"]) if each[0] == node), -1)
    if index < 0:
        say({"probe": request["run"], "error": f"node {node} is not of this run"})
        return 0
    loop = Loop()
    try:
        if where == "host":
            HostProbe(loop, request, index, published)
        else:
            OverlayProbe(loop, request, index, where)
    except OSError as error:
        say({"probe": request["run"], "node": index, "where": where, "error": str(error)})
        return 1
    loop.run(time.monotonic() + request["limit"])
    return 0
