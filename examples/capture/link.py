"""A long-distance link between two interfaces: rate, delay, jitter, a finite queue and random loss, in user space.

`network.py` starts one of these in a namespace between two routers, so that the capture needs no kernel module
(many kernels come without `sch_netem`). Every Ethernet frame that arrives on one interface leaves on the other one
after queueing and propagation; frames of one direction never overtake each other.

    python3 link.py left right --delay-ms 12 --jitter-ms 2 --loss 0.002 --rate-mbit 20 --queue-kbyte 128 --seed 1
"""

from __future__ import annotations

import argparse
import heapq
import random
import select
import socket
import time

ETH_P_ALL = 0x0003  # linux/if_ether.h
SOL_PACKET = 263  # linux/socket.h
PACKET_IGNORE_OUTGOING = 23  # linux/if_packet.h
LARGEST_FRAME = 65_549


def main() -> None:
    """Forward frames between two interfaces until killed."""
    options = parse_arguments()
    sockets = {name: raw_socket(name) for name in (options.left, options.right)}
    forward(sockets[options.left], sockets[options.right], options)


def forward(left: socket.socket, right: socket.socket, options: argparse.Namespace) -> None:
    """Move frames both ways; `waiting` is a heap of (departure time, order, frame, socket to leave by)."""
    chance = random.Random(options.seed)
    other = {left: right, right: left}
    line_free = {left: 0.0, right: 0.0}  # when the transmitter of each direction is idle again
    last_departure = {left: 0.0, right: 0.0}
    bytes_per_second = options.rate_mbit * 1e6 / 8
    longest_queue = options.queue_kbyte * 1024 / bytes_per_second
    waiting: list[tuple[float, int, bytes, socket.socket]] = []
    order = 0
    while True:
        pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for source in select.select([left, right], [], [], pause)[0]:
            frame = source.recv(LARGEST_FRAME)
            now = time.monotonic()
            sink = other[source]
            if line_free[sink] - now > longest_queue or chance.random() < options.loss:
                continue
            line_free[sink] = max(now, line_free[sink]) + len(frame) / bytes_per_second
            propagation = max(0.0, chance.gauss(options.delay_ms, options.jitter_ms)) / 1e3
            last_departure[sink] = max(last_departure[sink], line_free[sink] + propagation)
            heapq.heappush(waiting, (last_departure[sink], order, frame, sink))
            order += 1
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, frame, sink = heapq.heappop(waiting)
            sink.send(frame)


def raw_socket(interface: str) -> socket.socket:
    """A packet socket that sees what arrives on `interface`, not what leaves by it."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    raw.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    raw.bind((interface, 0))
    return raw


def parse_arguments() -> argparse.Namespace:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("left")
    parser.add_argument("right")
    parser.add_argument("--delay-ms", type=float, default=10.0, help="mean one-way propagation delay")
    parser.add_argument("--jitter-ms", type=float, default=1.0, help="standard deviation of the delay")
    parser.add_argument("--loss", type=float, default=0.0, help="probability that a frame is lost")
    parser.add_argument("--rate-mbit", type=float, default=20.0)
    parser.add_argument("--queue-kbyte", type=float, default=128.0, help="frames beyond this backlog are dropped")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
