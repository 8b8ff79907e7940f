# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Helpers of connection tracking: connections that FTP, PPTP and TFTP announce, and no other."""

from __future__ import annotations

import re
import struct
import time

from shows import QUIET, of, shown, syn
from wires import IP, SERVER, TCP, UDP, UPLINK, Packet, Wire
from workbench import PAIRED, Bench

GRE = 47
MAGIC = 0x1A2B3C4D


class Control:
    """A TCP connection of a client to a port of the server, segment by segment."""

    def __init__(self, bench: Bench, wire: Wire, sport: int, dport: int) -> None:
        self.bench, self.wire, self.sport, self.dport = bench, wire, sport, dport
        came = bench.passes(wire, syn(wire.address, SERVER, sport, dport), bench.upstream, of(TCP, dport=dport))
        self.port = came[TCP].sport
        bench.passes(bench.upstream, syn(SERVER, UPLINK, dport, self.port, "SA", ack=101), wire, of(TCP))
        self.sent = self.seen = self.got = 101  # a helper may change how long something is: what the server has seen
        self._client(b"", "A")

    def _client(self, data: bytes, flags: str) -> Packet:
        segment = TCP(sport=self.sport, dport=self.dport, flags=flags, seq=self.sent, ack=self.got)
        packet = IP(src=self.wire.address, dst=SERVER) / segment / data
        return self.bench.passes(self.wire, packet, self.bench.upstream, of(TCP, dport=self.dport))

    def say(self, data: bytes) -> bytes:
        """What the server gets of what the client says."""
        came = self._client(data, "PA")
        self.sent += len(data)
        self.seen += len(came[TCP].payload)
        return bytes(came[TCP].payload)

    def answer(self, data: bytes) -> bytes:
        """What the client gets of what the server says."""
        segment = TCP(sport=self.dport, dport=self.port, flags="PA", seq=self.got, ack=self.seen)
        packet = IP(src=SERVER, dst=UPLINK) / segment / data
        came = self.bench.passes(self.bench.upstream, packet, self.wire, of(TCP, sport=self.dport))
        self.got += len(data)
        return bytes(came[TCP].payload)


def port_command(address: str, port: int) -> bytes:
    return f"PORT {address.replace('.', ',')},{port >> 8},{port & 255}\r\n".encode()


def announced(said: bytes) -> tuple[str, int]:
    """(address, port) of a PORT command."""
    found = re.fullmatch(rb"PORT (\d+,\d+,\d+,\d+),(\d+),(\d+)\r\n", said)
    assert found, said
    return found[1].decode().replace(",", "."), int(found[2]) << 8 | int(found[3])


def logged_in(bench: Bench, wire: Wire, sport: int) -> Control:
    control = Control(bench, wire, sport, 21)
    control.say(b"USER me\r\n")
    return control


@shown(PAIRED)
def active_ftp_serves_two_clients(bench: Bench) -> None:
    """Which announce the same port: each gets its own data, from that server only, and once."""
    ports = {}
    for number, wire in enumerate((bench.laptop, bench.printer)):
        control = logged_in(bench, wire, 5500 + number)
        address, ports[wire.name] = announced(control.say(port_command(wire.address, 51210)))
        assert address == UPLINK
    assert len(set(ports.values())) == 2
    for wire in (bench.laptop, bench.printer):
        port = ports[wire.name]
        bench.refused(bench.upstream, syn("198.51.100.7", UPLINK, 20, port), by="needs_helper")
        came = bench.passes(bench.upstream, syn(SERVER, UPLINK, 20, port), wire, of(TCP, dport=51210))
        assert (came[IP].src, came[IP].dst) == (SERVER, wire.address)
        back = bench.passes(wire, syn(wire.address, SERVER, 51210, 20, "SA", ack=101), bench.upstream, of(TCP))
        assert (back[IP].src, back[TCP].sport) == (UPLINK, port)
        bench.refused(bench.upstream, syn(SERVER, UPLINK, 2020, port), by="to_router")
    bench.no_client_left()


@shown(PAIRED)
def a_lying_ftp_client_opens_a_way_to_nobody(bench: Bench) -> None:
    """PORT with another client's address, or the router's, is passed on as it is and expected by nobody."""
    laptop, printer, upstream = bench.laptop, bench.printer, bench.upstream
    control = logged_in(bench, laptop, 5600)
    for address in (printer.address, bench.outsider.address, laptop.router, UPLINK):
        assert announced(control.say(port_command(address, 51300))) == (address, 51300)
        bench.refused(upstream, syn(SERVER, UPLINK, 20, 51300), by="needs_helper")
        bench.refused(upstream, syn(SERVER, UPLINK, 3000, 51300), by="to_router")
        bench.refused(upstream, syn(SERVER, printer.address, 20, 51300), by="from_uplink")
    assert not printer.packets()


@shown(PAIRED)
def a_lying_ftp_server_leads_no_client_to_another(bench: Bench) -> None:
    """Its answer to PASV is passed on as it is; what the client then opens is refused like any other such packet."""
    laptop, printer = bench.laptop, bench.printer
    control = logged_in(bench, laptop, 5650)
    control.answer(b"230 hello\r\n")
    control.say(b"PASV\r\n")
    octets = bench.outsider.address.replace(".", ",")
    lie = f"227 Entering Passive Mode ({octets},200,10)\r\n".encode()
    assert control.answer(lie) == lie
    bench.refused(printer, syn(printer.address, laptop.address, 5651, 51210), by="isolated")
    octets = SERVER.replace(".", ",")
    control.say(b"PASV\r\n")
    control.answer(f"227 Entering Passive Mode ({octets},200,10)\r\n".encode())
    came = bench.passes(laptop, syn(laptop.address, SERVER, 5652, 51210), bench.upstream, of(TCP))
    assert (came[IP].src, came[TCP].dport) == (UPLINK, 51210)


@shown(PAIRED)
def no_expected_connection_takes_a_forwarded_port(bench: Bench) -> None:
    """An FTP client cannot have its server reach it by a port that is another client's."""
    printer, upstream = bench.printer, bench.upstream
    control = logged_in(bench, printer, 5700)
    assert announced(control.say(port_command(printer.address, 8080))) == (UPLINK, 8080)
    bench.refused(upstream, syn(SERVER, UPLINK, 20, 8080), by="forward_expected")
    came = bench.passes(upstream, syn("198.51.100.8", UPLINK, 20, 8080), bench.laptop, of(TCP))
    assert came[TCP].dport == 80


@shown(PAIRED)
def no_expected_connection_comes_by_a_standby(bench: Bench) -> None:
    """Nor to a client that is not there."""
    laptop = bench.laptop
    control = logged_in(bench, laptop, 5750)
    _, port = announced(control.say(port_command(laptop.address, 51400)))
    bench.ip("link set up0 group 3")
    try:
        bench.refused(bench.upstream, syn(SERVER, UPLINK, 20, port), by="from_uplink")
    finally:
        bench.ip("link set up0 group 2")
    bench.forget_all()
    control = logged_in(bench, laptop, 5751)
    _, port = announced(control.say(port_command(laptop.address, 51401)))
    pair = bench.pairs.pop("c735c00")
    bench.tell_elements()
    try:
        bench.refused(bench.upstream, syn(SERVER, UPLINK, 20, port), by="from_uplink")
    finally:
        bench.pairs["c735c00"] = pair
        bench.tell_elements()


@shown(PAIRED)
def expected_connections_count(bench: Bench) -> None:
    """Those that come in, and those that go out."""
    laptop, upstream = bench.laptop, bench.upstream
    control = logged_in(bench, laptop, 5800)
    _, port = announced(control.say(port_command(laptop.address, 51500)))
    control.answer(b"200 ok\r\n")
    for sport in range(5801, 5840):
        laptop.send(IP(src=laptop.address, dst=SERVER) / UDP(sport=sport, dport=9))
    time.sleep(QUIET)
    bench.refused(upstream, syn(SERVER, UPLINK, 20, port), by="too_many_connections")
    control.say(b"PASV\r\n")
    octets = SERVER.replace(".", ",")
    control.answer(f"227 Entering Passive Mode ({octets},200,11)\r\n".encode())
    bench.refused(laptop, syn(laptop.address, SERVER, 5841, 51211), by="too_many_connections")


def pptp(kind: int, body: bytes) -> bytes:
    """A control message of PPTP (RFC 2637)."""
    return struct.pack(">HHIHH", len(body) + 12, 1, MAGIC, kind, 0) + body


def call(bench: Bench, wire: Wire, sport: int, own: int, servers: int) -> int:
    """A call of a client by PPTP, with its own number and the server's; returns the number that the server knows."""
    control = Control(bench, wire, sport, 1723)
    capabilities = struct.pack(">IIHH", 3, 3, 0, 1)
    control.say(pptp(1, struct.pack(">HH", 0x100, 0) + capabilities + bytes(128)))
    control.answer(pptp(2, struct.pack(">HBB", 0x100, 1, 0) + capabilities + bytes(128)))
    request = struct.pack(">HHIIIIHHHH", own, 1, 300, 100_000_000, 3, 3, 64, 0, 0, 0) + bytes(128)
    said = control.say(pptp(7, request))
    (told,) = struct.unpack_from(">H", said, 12)
    reply = struct.pack(">HHBBHIHHI", servers, told, 1, 0, 0, 64000, 64, 0, 0)
    got = control.answer(pptp(8, reply))
    assert struct.unpack_from(">HH", got, 12) == (servers, own)
    return int(told)


def data_of(number: int) -> bytes:
    """GRE as PPTP has it, to a call with that number."""
    return struct.pack(">HHHHI", 0x3001, 0x880B, 4, number, 1) + b"ppp!"


@shown(PAIRED)
def pptp_serves_two_clients_of_one_server(bench: Bench) -> None:
    """With the same call number, and whichever side sends first; of another server nothing comes in."""
    upstream, known = bench.upstream, {}
    for number, wire in enumerate((bench.laptop, bench.printer)):
        known[wire.name] = call(bench, wire, 5900 + number, 7, 100 + number)
    assert len(set(known.values())) == 2
    bench.refused(upstream, IP(src="198.51.100.9", dst=UPLINK, proto=GRE) / data_of(known["laptop"]), by="needs_helper")
    first = bench.passes(upstream, IP(src=SERVER, dst=UPLINK, proto=GRE) / data_of(known["laptop"]), bench.laptop)
    assert (first[IP].dst, bytes(first[IP].payload)[6:8]) == (bench.laptop.address, b"\0\7")
    for number, wire in enumerate((bench.laptop, bench.printer)):
        came = bench.passes(wire, IP(src=wire.address, dst=SERVER, proto=GRE) / data_of(100 + number), upstream)
        assert (came[IP].src, came[IP].proto) == (UPLINK, GRE)
        answer = IP(src=SERVER, dst=UPLINK, proto=GRE) / data_of(known[wire.name])
        back = bench.passes(upstream, answer, wire)
        assert (back[IP].src, bytes(back[IP].payload)[6:8]) == (SERVER, b"\0\7")
    bench.no_client_left()


@shown(PAIRED)
def tftp_answers_from_another_port(bench: Bench) -> None:
    """Of the server that was asked only, and to the client that asked."""
    upstream = bench.upstream
    for number, wire in enumerate((bench.laptop, bench.printer)):
        asked = IP(src=wire.address, dst=SERVER) / UDP(sport=6900, dport=69) / b"\0\1file\0octet\0"
        port = bench.passes(wire, asked, upstream, of(UDP, dport=69))[UDP].sport
        answer = UDP(sport=3000 + number, dport=port) / b"\0\3\0\1data"
        bench.refused(upstream, IP(src="198.51.100.9", dst=UPLINK) / answer, by="to_router")
        back = bench.passes(upstream, IP(src=SERVER, dst=UPLINK) / answer, wire, of(UDP, dport=6900))
        assert (back[IP].src, back[IP].dst) == (SERVER, wire.address)
