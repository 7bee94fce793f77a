"""Thousands of connections that do nothing, hundreds that do it slowly, and HTTP/2 peers that mean harm: an ordinary
request is answered within a second all the while, and the memory that they cost comes back."""

import base64
import resource
import socket
import struct
import threading
import time

import pytest
from harness.events import event
from harness.process import wait_until

IDLE, SLOW = 4000, 200
LIMIT = 1.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, RST, SETTINGS, PING, CONTINUATION, DATA = 1, 3, 4, 6, 9, 0


def allow_files(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def connect(gateway):
    peer = socket.socket()
    peer.settimeout(20)
    peer.connect(("127.0.0.1", gateway.port))
    return peer


def ordinary(gateway, number):
    """Seconds that a PUT, a PROPFIND and a GET take, each on a new connection, the slowest of them."""
    slowest = 0
    for ask in (
        lambda dav, path: dav.put(path, event(f"flood-{number}")).status in (201, 204),
        lambda dav, path: dav.request("PROPFIND", gateway.unified(), headers={"Depth": "0"}).status == 207,
        lambda dav, path: dav.request("GET", path).status == 200,
    ):
        dav = gateway.dav()
        begun = time.monotonic()
        assert ask(dav, f"{gateway.unified()}flood-{number}.ics")
        slowest = max(slowest, time.monotonic() - begun)
        dav.close()
    return slowest


def measure(gateway, rounds, what):
    # The first signs in slowly, as it should.
    ordinary(gateway, 0)
    times = sorted(ordinary(gateway, number) for number in range(rounds))
    middle, slowest = times[len(times) // 2], times[-1]
    print(f"{what}: {1000 * middle:.0f} ms, at most {1000 * slowest:.0f} ms, {gateway.memory():.0f} MiB resident")
    # The machine may have other things to do for a moment; a server that is held up is held up each time.
    assert middle < LIMIT, f"{what}: {middle:.2f} s"


def test_idle_and_slow_connections_keep_nobody_out(gateway):
    allow_files(IDLE + SLOW + 500)
    measure(gateway, 5, "alone")
    before = gateway.memory()
    idle = [connect(gateway) for _ in range(IDLE)]
    measure(gateway, 10, f"{IDLE} idle connections")
    login = base64.b64encode(f"ana:{gateway.password}".encode()).decode()
    slow, stop = [], threading.Event()
    for number in range(SLOW):
        peer = connect(gateway)
        if number % 2:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        else:
            peer.sendall(
                f"PUT {gateway.unified()}slow-{number}.ics HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\n"
                f"Content-Type: text/calendar\r\nContent-Length: 100000\r\n\r\n".encode()
            )
        slow.append(peer)

    def trickle():
        while not stop.wait(0.5):
            for peer in slow:
                try:
                    peer.send(b"x")
                except OSError:
                    pass

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        measure(gateway, 20, f"{IDLE} idle and {SLOW} slow connections")
    finally:
        stop.set()
        thread.join()
    for peer in idle + slow:
        peer.close()
    wait_until(lambda: gateway.memory() < before + 48, seconds=60, what=f"memory near {before:.0f} MiB again")
    measure(gateway, 5, "afterwards")


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def attacks():
    head = b"\x82\x86\x04\x08/healthz\x41\x01x"
    field = b"\x00\x04evil\x7f\x81\x07" + b"x" * 1024
    reset = b"".join(frame(HEADERS, 5, n, head) + frame(RST, 0, n, b"\0\0\0\x08") for n in range(1, 4001, 2))
    return {
        "rapid reset": reset,
        "a header without an end": frame(HEADERS, 0, 1, head) + frame(CONTINUATION, 0, 1, field) * 2000,
        "empty data": frame(HEADERS, 4, 1, b"\x83" + head[1:]) + frame(DATA, 0, 1) * 50000,
        "pings": frame(PING, 0, 0, b"12345678") * 50000,
        "settings": frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64") * 50000,
        "answers that nobody takes": frame(SETTINGS, 0, 0, b"\0\x04\0\0\0\0")
        + b"".join(frame(HEADERS, 5, n, head) for n in range(1, 2001, 2)),
    }


def test_http_2_attacks_keep_nobody_out(gateway):
    measure(gateway, 5, "alone")
    before = gateway.memory()
    for name, octets in attacks().items():
        stop, sent = threading.Event(), []

        def attack(octets=octets, sent=sent, stop=stop):
            while not stop.is_set():
                peer = connect(gateway)
                peer.settimeout(2)
                try:
                    peer.sendall(PREFACE + frame(SETTINGS, 0, 0) + octets)
                except OSError:
                    pass
                sent.append(1)
                peer.close()

        threads = [threading.Thread(target=attack) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            measure(gateway, 5, name)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert sent, f"{name}: nothing was sent"
    wait_until(lambda: gateway.memory() < before + 48, seconds=60, what=f"memory near {before:.0f} MiB again")
