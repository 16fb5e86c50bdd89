"""The network that the sample is captured in: hosts, switches, routers and links, each in its own network namespace.

    office LAN   198.51.100.0/25    2001:db8:a::/64  ---+                                   (1500 and 9000 byte MTU)
    branch LAN   198.51.100.128/25  2001:db8:b::/64  -- branch ==7 ms, MTU 1400==+
    near LAN     203.0.113.0/26     2001:db8:c::/64  -- isp-near ==12 ms=========+-- core --*-- servers 192.0.2.0/26
    far LAN      203.0.113.64/26    2001:db8:d::/64  -- isp-far -- transit ==38 ms+              2001:db8:5::/64
                                                                                          +-- inner -- 192.0.2.64/26
    * the one interface that is captured; === an emulated long link (link.py)                        2001:db8:6::/64

All addresses are from the documentation ranges (RFC 5737, RFC 3849), and nothing is connected to the machine's own
network. Offloads are off, so that a captured packet is a packet as it was on the wire, checksum included.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

PREFIX = "nscap-"  # of every namespace made here, so that nothing else is ever touched
CAPTURE_POINT = ("core", "srv")
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Host:
    """An end host. `ttl` is the initial TTL and hop limit; without `timestamps` TCP headers are shorter."""

    name: str
    number: int  # last part of both addresses
    ttl: int = 64
    timestamps: bool = True
    ecn: bool = False
    mtu: int = 1500


@dataclass(frozen=True)
class Lan:
    """A switched network with one router on it."""

    name: str
    net4: str  # first three parts of the IPv4 addresses
    prefix4: int
    net6: str  # the /64, up to "::"
    gateway: int
    router: str
    hosts: tuple[Host, ...]

    def address4(self, host: Host) -> str:
        """The host's IPv4 address."""
        return f"{self.net4}.{host.number}"

    def address6(self, host: Host) -> str:
        """The host's IPv6 address: the same number, in decimal digits."""
        return f"{self.net6}{host.number}"


@dataclass(frozen=True)
class LongLink:
    """An emulated link between two routers, each end with an address."""

    a: str
    b: str
    net4: str
    first: int  # a's number; b's is one higher
    net6: str
    mtu: int = 1500
    emulate: tuple[str, ...] = ()  # options of link.py; empty: a plain wire


OFFICE = Lan("office", "198.51.100", 25, "2001:db8:a::", 1, "core", (
    Host("monitor", 5), Host("backup", 9, mtu=9000), Host("pc1", 21, 128, False), Host("pc2", 22, 128, False),
    Host("pc3", 23), Host("pc4", 24, ecn=True),
))  # fmt: skip
BRANCH = Lan("branch", "198.51.100", 25, "2001:db8:b::", 129, "branch", (
    Host("desk1", 140, 128, False), Host("desk2", 141), Host("desk3", 142),
))  # fmt: skip
NEAR = Lan("near", "203.0.113", 26, "2001:db8:c::", 1, "isp-near", (
    Host("home1", 10), Host("home2", 17, 128, False), Host("home3", 33, ecn=True),
))  # fmt: skip
FAR = Lan("far", "203.0.113", 26, "2001:db8:d::", 65, "isp-far", (
    Host("abroad1", 70), Host("abroad2", 99, 128, False), Host("scanner", 113),
))  # fmt: skip
SERVERS = Lan("servers", "192.0.2", 26, "2001:db8:5::", 1, "core", (
    Host("web1", 10), Host("web2", 11, 128), Host("ssh", 22), Host("mail", 25), Host("bulk", 52, mtu=9000),
    Host("dns1", 53), Host("dns2", 54, 255), Host("ntp", 12, 255),
))  # fmt: skip
INNER = Lan("inner", "192.0.2", 26, "2001:db8:6::", 65, "inner", (Host("redis", 79), Host("postgres", 80, ecn=True)))

LANS = (OFFICE, BRANCH, NEAR, FAR, SERVERS, INNER)
ROUTERS = {"core": 64, "branch": 255, "isp-near": 64, "isp-far": 64, "transit": 255, "inner": 64}
LINKS = (
    LongLink("core", "branch", "203.0.113", 249, "2001:db8:f1::", 1400,
             ("--delay-ms", "7", "--jitter-ms", "0.6", "--loss", "0.001", "--rate-mbit", "30", "--seed", "1")),
    LongLink("core", "isp-near", "203.0.113", 245, "2001:db8:f2::", 1500,
             ("--delay-ms", "12", "--jitter-ms", "2", "--loss", "0.003", "--rate-mbit", "20", "--seed", "2")),
    LongLink("core", "transit", "203.0.113", 241, "2001:db8:f3::", 1500,
             ("--delay-ms", "38", "--jitter-ms", "5", "--loss", "0.006", "--rate-mbit", "10", "--seed", "3")),
    LongLink("transit", "isp-far", "203.0.113", 253, "2001:db8:f4::"),
)  # fmt: skip
# router -> (destination LAN, or None for "everything else"; LAN or link to go over, and the next hop's number there)
ROUTES = {
    "core": ((BRANCH, LINKS[0], 250), (NEAR, LINKS[1], 246), (FAR, LINKS[2], 242), (INNER, SERVERS, 2)),
    "branch": ((None, LINKS[0], 249),),
    "isp-near": ((None, LINKS[1], 245),),
    "transit": ((None, LINKS[2], 241), (FAR, LINKS[3], 254)),
    "isp-far": ((None, LINKS[3], 253),),
    "inner": ((None, SERVERS, 1),),
}


@dataclass
class Network:
    """The running network; a context manager that removes whatever it made."""

    name_servers: Sequence[str]
    links: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Network:
        remove_leftovers()
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.links:
            process.kill()
        remove_leftovers()

    def _build(self) -> None:
        for router, ttl in ROUTERS.items():
            add_namespace(router, ttl)
            sysctl(router, "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        for link in LINKS:
            self._add_link(link)
        for lan in LANS:
            self._add_lan(lan)
        connect("inner", "srv", "sw-servers", "inner", 1500)
        ip("inner", "addr", "add", "192.0.2.2/26", "dev", "srv")
        ip("inner", "addr", "add", "2001:db8:5::2/64", "dev", "srv", "nodad")
        ip("sw-servers", "link", "set", "inner", "master", "bridge")
        for router, routes in ROUTES.items():
            for target, over, number in routes:
                add_route(router, target, over, number)

    def _add_link(self, link: LongLink) -> None:
        if link.emulate:
            middle = f"link-{link.b}"
            add_namespace(middle, 64)
            sysctl(middle, "net.ipv6.conf.all.disable_ipv6=1")
            connect(link.a, f"to-{link.b}", middle, "left", link.mtu)
            connect(link.b, f"to-{link.a}", middle, "right", link.mtu)
            command = [sys.executable, str(HERE / "link.py"), "left", "right", *link.emulate]
            self.links.append(subprocess.Popen(inside(middle, command)))
        else:
            connect(link.a, f"to-{link.b}", link.b, f"to-{link.a}", link.mtu)
        for end, other, number in ((link.a, link.b, link.first), (link.b, link.a, link.first + 1)):
            ip(end, "addr", "add", f"{link.net4}.{number}/30", "dev", f"to-{other}")
            ip(end, "addr", "add", f"{link.net6}{number}/64", "dev", f"to-{other}", "nodad")

    def _add_lan(self, lan: Lan) -> None:
        switch = f"sw-{lan.name}"
        add_namespace(switch, 64)
        sysctl(switch, "net.ipv6.conf.all.disable_ipv6=1")
        ip(switch, "link", "add", "bridge", "type", "bridge", "mcast_snooping", "0")
        ip(switch, "link", "set", "bridge", "mtu", "9000")
        ip(switch, "link", "set", "bridge", "up")
        mtu = max(host.mtu for host in lan.hosts)
        interface = "srv" if (lan.router, "srv") == CAPTURE_POINT and lan is SERVERS else lan.name
        connect(lan.router, interface, switch, "router", mtu)
        ip(switch, "link", "set", "router", "master", "bridge")
        ip(lan.router, "addr", "add", f"{lan.net4}.{lan.gateway}/{lan.prefix4}", "dev", interface)
        ip(lan.router, "addr", "add", f"{lan.net6}{lan.gateway}/64", "dev", interface, "nodad")
        for host in lan.hosts:
            self._add_host(lan, host, switch)

    def _add_host(self, lan: Lan, host: Host, switch: str) -> None:
        add_namespace(host.name, host.ttl)
        sysctl(host.name, f"net.ipv4.tcp_timestamps={int(host.timestamps)}", f"net.ipv4.tcp_ecn={1 if host.ecn else 2}")
        connect(host.name, "eth0", switch, host.name, host.mtu)
        ip(switch, "link", "set", host.name, "master", "bridge")
        ip(host.name, "addr", "add", f"{lan.address4(host)}/{lan.prefix4}", "dev", "eth0")
        ip(host.name, "addr", "add", f"{lan.address6(host)}/64", "dev", "eth0", "nodad")
        ip(host.name, "route", "add", "default", "via", f"{lan.net4}.{lan.gateway}")
        ip(host.name, "-6", "route", "add", "default", "via", f"{lan.net6}{lan.gateway}")
        resolver = Path("/etc/netns") / f"{PREFIX}{host.name}"  # ip-netns(8) mounts these files over /etc
        resolver.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"nameserver {address}\n" for address in self.name_servers)
        (resolver / "resolv.conf").write_text(lines + "options timeout:2 attempts:2\n")


def find(name: str) -> tuple[Lan, Host]:
    """The host of this name and the LAN it is on."""
    return next((lan, host) for lan in LANS for host in lan.hosts if host.name == name)


def inside(node: str, command: Sequence[str]) -> list[str]:
    """The command line that runs `command` in a node's namespace."""
    return ["ip", "netns", "exec", PREFIX + node, *command]


def add_namespace(node: str, ttl: int) -> None:
    """A namespace with this initial TTL and hop limit; addresses are usable at once (no duplicate detection)."""
    subprocess.run(["ip", "netns", "add", PREFIX + node], check=True)
    sysctl(
        node,
        f"net.ipv4.ip_default_ttl={ttl}",
        f"net.ipv6.conf.default.hop_limit={ttl}",
        f"net.ipv6.conf.all.hop_limit={ttl}",
        "net.ipv6.conf.default.accept_dad=0",
        "net.ipv6.conf.default.accept_ra=0",
        "net.ipv4.icmp_ratelimit=0",
    )
    ip(node, "link", "set", "lo", "up")


def connect(a: str, a_interface: str, b: str, b_interface: str, mtu: int) -> None:
    """A wire between two nodes."""
    ip(a, "link", "add", a_interface, "type", "veth", "peer", "name", b_interface, "netns", PREFIX + b)
    for node, interface in ((a, a_interface), (b, b_interface)):
        off = [word for name in ("tx", "rx", "tso", "gso", "gro") for word in (name, "off")]
        subprocess.run(inside(node, ["ethtool", "-K", interface, *off]), check=True, stdout=subprocess.DEVNULL)
        ip(node, "link", "set", interface, "mtu", str(mtu))
        ip(node, "link", "set", interface, "up")


def add_route(router: str, target: Lan | None, over: Lan | LongLink, number: int) -> None:
    """IPv4 and IPv6 route of a router towards a LAN, or the default route."""
    net4 = "default" if target is None else f"{target.net4}.{target.gateway - 1}/{target.prefix4}"
    net6 = "default" if target is None else f"{target.net6}/64"
    ip(router, "route", "add", net4, "via", f"{over.net4}.{number}")
    ip(router, "-6", "route", "add", net6, "via", f"{over.net6}{number}")


def remove_leftovers() -> None:
    """Remove the namespaces of this or an interrupted run, the processes in them and their resolver files."""
    for name in namespaces():
        pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split()
        if pids:
            subprocess.run(["kill", "-9", *pids], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "netns", "delete", name], check=False)
    for folder in Path("/etc/netns").glob(f"{PREFIX}*"):
        shutil.rmtree(folder)


def namespaces() -> list[str]:
    """Names of the namespaces that carry our prefix."""
    listing = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in listing.splitlines() if line.startswith(PREFIX)]


def ip(node: str, *arguments: str) -> None:
    """ip(8) in a node."""
    subprocess.run(["ip", "-n", PREFIX + node, *arguments], check=True)


def sysctl(node: str, *settings: str) -> None:
    """Settings of a node's own network stack."""
    subprocess.run(inside(node, ["sysctl", "-q", "-w", *settings]), check=True)
