"""What the clients do: a random but repeatable plan of real client programs, each with a start time.

Clients differ in popularity (Zipf, so that a few hosts make most of the traffic), in the address family they prefer,
and in habits: people browse and mail, one host watches all servers at regular times, one makes backups, one scans.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from network import BRANCH, OFFICE, find
from servers import MAIL_DOMAIN, OBJECTS, SITES

POPULARITY_EXPONENT = 1.1  # of the Zipf law over clients
OBJECT_EXPONENT = 0.9  # of the Zipf law over web objects
PREFERS_IPV6 = {"pc2", "pc4", "desk1", "home1", "home3", "abroad2"}
PEOPLE = ("pc1", "home1", "pc4", "desk1", "pc2", "home2", "abroad1", "pc3", "desk2", "home3", "abroad2", "desk3")


@dataclass(frozen=True)
class Action:
    """A command that a client starts `start` seconds into the capture and that may take `limit` seconds."""

    start: float
    kind: str
    client: str
    command: tuple[str, ...]
    limit: float = 25.0
    may_fail: bool = False  # it is meant to meet a closed port, a missing name, a refusal


class Planner:
    """Draws the plan; `plan` is what others need."""

    def __init__(self, folder: Path, seconds: float, seed: int) -> None:
        self.folder = folder
        self.seconds = seconds
        self.chance = random.Random(seed)

    def plan(self) -> list[Action]:
        """All actions, by start time."""
        counts: list[tuple[int, Callable[[], Iterator[Action]]]] = [
            (330, self.browse), (22, self.upload), (110, self.look_up), (45, self.ask_time), (16, self.ssh_session),
            (8, self.copy_file), (45, self.send_mail), (14, self.use_redis), (16, self.use_postgres), (22, self.ping),
            (10, self.trace_route), (40, self.knock), (6, self.call),
        ]  # fmt: skip
        actions = [action for count, draw in counts for _ in range(count) for action in draw()]
        actions += [*self.watch(), *self.large_pings(), *self.bulk(), *self.scan()]
        return sorted(actions, key=lambda action: action.start)

    def browse(self) -> Iterator[Action]:
        """A page visit: some objects of one site over one connection."""
        client = self.person()
        site = self.chance.choices(list(SITES), (8, 4, 2, 1))[0]
        base = self.chance.choices(("http://", "https://"), (5, 4))[0] + site
        if site == "api.example.org" and self.chance.random() < 0.5:
            base = f"http://{site}:8080"
        objects = self.chance.choices(range(OBJECTS), [1 / (i + 1) ** OBJECT_EXPONENT for i in range(OBJECTS)],
                                      k=min(9, int(self.chance.paretovariate(1.1))))  # fmt: skip
        urls = [f"{base}/{number}.bin" for number in objects]
        family = self.family(client)
        if self.chance.random() < 0.15:
            yield self.action("web", client, "wget", "-q", "--no-check-certificate", "-T", "10", f"-{family}",
                              "-O", "/dev/null", *urls)  # fmt: skip
        else:
            outputs = [word for url in urls for word in ("-o", "/dev/null", url)]
            yield self.action("web", client, "curl", "-sk", "--max-time", "20", f"-{family}", *outputs)

    def upload(self) -> Iterator[Action]:
        """A POST of a form or a file."""
        client = self.person()
        body = self.folder / "www" / f"{self.chance.randrange(OBJECTS)}.bin"
        yield self.action("upload", client, "curl", "-sk", "--max-time", "20", f"-{self.family(client)}", "-o",
                          "/dev/null", "--data-binary", f"@{body}", "https://shop.example.org/upload")  # fmt: skip

    def look_up(self) -> Iterator[Action]:
        """A burst of DNS questions of mixed types, one in five for a name that does not exist."""
        client = self.person()
        words: list[str] = []
        for _ in range(self.chance.randint(2, 12)):
            name = self.chance.choice(
                [*SITES, f"{self.person()}.{MAIL_DOMAIN}", f"long{self.chance.randint(1, 8)}.{MAIL_DOMAIN}"]
            )
            if self.chance.random() < 0.2:
                name = f"{self.chance.randbytes(self.chance.randint(2, 12)).hex()}.{name}"
            words += [name, self.chance.choices(("A", "AAAA", "TXT", "MX", "SRV"), (6, 4, 2, 1, 1))[0]]
        server = self.server(client, self.chance.choices(("dns1", "dns2"), (4, 1))[0])
        transport = "+tcp" if self.chance.random() < 0.06 else "+notcp"
        yield self.action("dns", client, "dig", f"@{server}", "+tries=2", "+time=2", transport, *words)

    def ask_time(self) -> Iterator[Action]:
        """An SNTP query, or a few."""
        client = self.person()
        samples = str(self.chance.choice((1, 1, 2, 4)))
        yield self.action("ntp", client, "ntpdig", "-t", "3", "-p", samples, self.server(client, "ntp"))

    def ssh_session(self) -> Iterator[Action]:
        """A shell in which somebody types: some commands with pauses between."""
        client = self.person()
        lines = self.chance.choices(
            ("id", "uptime", "ls -l /usr/bin | head -60", "cat /proc/cpuinfo", "df", "seq 1 2000"),
            k=self.chance.randint(2, 9),
        )
        typed = "; ".join(f"echo '{line}'; sleep {self.chance.expovariate(1.2):.2f}" for line in lines)
        shell = f"({typed}; echo exit) | ssh -tt {self.ssh_options()} root@{self.server(client, 'ssh')}"
        yield self.action("ssh", client, "sh", "-c", shell, limit=40)

    def copy_file(self) -> Iterator[Action]:
        """scp, one way or the other."""
        client = self.person()
        server = self.server(client, "ssh")
        remote = f"root@[{server}]" if ":" in server else f"root@{server}"
        file = self.folder / "www" / f"{self.chance.randrange(OBJECTS)}.bin"
        ends = self.chance.choice(
            ((f"{remote}:{file}", f"{self.folder}/fetched"), (str(file), f"{remote}:{self.folder}/got"))
        )
        yield self.action("scp", client, "sh", "-c", f"scp -q {self.ssh_options()} {' '.join(ends)}")

    def send_mail(self) -> Iterator[Action]:
        """A mail of some kB; some over TLS, some to a domain that the server refuses."""
        client = self.person()
        refused = self.chance.random() < 0.12
        to = "someone@example.edu" if refused else f"{self.person()}@{MAIL_DOMAIN}"
        body = "".join(
            f"{self.chance.randbytes(36).hex()}\\n" for _ in range(int(self.chance.lognormvariate(3.2, 1.0)))
        )
        options = ["-tls"] if self.chance.random() < 0.5 else []
        yield Action(self.when(), "mail", client, (
            "swaks", "--server", self.server(client, "mail"), "--port", self.chance.choice(("25", "25", "587")),
            "--from", f"{client}@example.net", "--to", to, "--body", body, "--timeout", "10", *options,
        ), may_fail=refused)  # fmt: skip

    def use_redis(self) -> Iterator[Action]:
        """A short run of redis-benchmark: small requests over a few connections."""
        client = self.worker()
        yield self.action("redis", client, "redis-benchmark", "-h", self.server(client, "redis"), "-q",
                          "-n", str(self.chance.randint(30, 110)), "-c", str(self.chance.randint(1, 3)),
                          "-d", str(self.chance.choice((3, 64, 700))), "-r", "500", "-t", "set,get,lpush")  # fmt: skip

    def use_postgres(self) -> Iterator[Action]:
        """pgbench transactions, or one query with a larger answer."""
        client = self.worker()
        host = self.server(client, "postgres")
        if self.chance.random() < 0.5:
            yield self.action("postgres", client, "pgbench", "-n", "-h", host, "-U", "postgres", "-c", "2",
                              "-t", str(self.chance.randint(4, 16)), "postgres")  # fmt: skip
        else:
            query = f"select * from pgbench_accounts limit {int(self.chance.lognormvariate(5, 1))}"
            yield self.action(
                "postgres", client, "psql", "-h", host, "-U", "postgres", "-qAtc", query, "-o", "/dev/null"
            )

    def ping(self) -> Iterator[Action]:
        """ICMP echo; large ones come as fragments."""
        client = self.person()
        target = self.chance.choice(("web1", "web2", "ssh", "redis", "ntp"))
        size = self.chance.choices(("56", "32", "1000", "3200"), (6, 2, 1, 1))[0]
        tos = self.chance.choice(("0", "0", "0x28"))
        count = str(self.chance.randint(3, 12))
        yield self.action("ping", client, "ping", "-q", "-c", count, "-i", "0.3", "-s", size, "-Q", tos,
                          self.server(client, target), may_fail=True)  # fmt: skip

    def trace_route(self) -> Iterator[Action]:
        """UDP probes with growing TTL, answered by routers and, at last, by a port unreachable."""
        client = self.person()
        target = self.chance.choice(("redis", "postgres", "web1"))
        yield self.action("traceroute", client, "traceroute", "-n", "-q", "2", "-w", "2", self.server(client, target))

    def knock(self) -> Iterator[Action]:
        """Connections to ports where nobody listens: TCP resets and ICMP port unreachables."""
        client = self.person()
        server = self.server(client, self.chance.choice(("web1", "web2", "mail", "bulk", "postgres")))
        port = str(
            self.chance.choice((23, 81, 110, 139, 445, 3306, 3389, 5900, 8443, self.chance.randint(1024, 65000)))
        )
        udp = ["-u"] if self.chance.random() < 0.25 else []
        yield self.action("knock", client, "nc", "-z", "-w", "2", *udp, server, port, may_fail=True)

    def call(self) -> Iterator[Action]:
        """A voice-like stream: small UDP datagrams at 50 a second, marked EF (RFC 3246)."""
        client = self.person()
        yield self.iperf("5203", client, self.chance.uniform(6, self.seconds - 20), "-u", "-l", "172", "-b", "69k",
                         "-t", str(self.chance.randint(5, 14)), "-S", "0xb8", kind="call")  # fmt: skip

    def watch(self) -> Iterator[Action]:
        """The monitor: every server is pinged and the web and DNS servers are asked, at regular times."""
        for round_ in range(int(self.seconds / 12)):
            start = 3 + 12.0 * round_
            for i, server in enumerate(("web1", "web2", "ssh", "mail", "dns1", "dns2", "ntp", "redis", "postgres")):
                version = 4 if (i + round_) % 2 else 6
                command = ("ping", "-q", "-c", "1", "-W", "2", address(server, version))
                yield Action(start + 0.2 * i, "watch", "monitor", command)
            for server in ("web1", "web2"):
                url = f"http://{address(server, 4)}/0.bin"
                yield Action(start + 2, "watch", "monitor", ("curl", "-s", "-I", "-o", "/dev/null", "-m", "5", url))
            yield Action(start + 2.5, "watch", "monitor", ("dig", f"@{address('dns2', 6)}", "www.example.net", "A"))

    def large_pings(self) -> Iterator[Action]:
        """Pings larger than the MTU: every one is three fragments there and three back."""
        for start, client, version in ((15, "pc3", 4), (65, "home2", 4), (85, "desk2", 6)):
            command = ("ping", "-q", "-c", "4", "-i", "0.5", "-s", "4000", address("web2", version))
            yield Action(start, "ping", client, command, may_fail=True)

    def bulk(self) -> Iterator[Action]:
        """Large transfers: a backup in jumbo frames, downloads and uploads over the long links, a UDP stream."""
        yield self.iperf("5201", "backup", 20, "-n", "4M", "-b", "40M")
        yield self.iperf("5202", "backup", 70, "-n", "3M", "-b", "30M", "-R", version=6)
        yield self.iperf("5201", "home1", 40, "-n", "1500K", "-R", version=6)
        yield self.iperf("5201", "abroad1", 60, "-n", "1200K", "-R", "-S", "0x20")
        yield self.iperf("5202", "desk1", 30, "-n", "1300K", "-R")
        yield self.iperf("5202", "home2", 95, "-n", "1M")
        yield self.iperf("5201", "pc4", 110, "-n", "1500K", "-b", "20M", version=6)
        yield self.iperf("5202", "home3", 50, "-u", "-b", "1200k", "-l", "1200", "-t", "10", "-R", version=4)

    def scan(self) -> Iterator[Action]:
        """The scanner: a SYN scan over IPv4, a connect scan over IPv6, some UDP ports."""
        slow = ("nmap", "-n", "-Pn", "--max-retries", "1", "--host-timeout", "40s", "--max-rate", "45")
        v4 = [address(server, 4) for server in ("web1", "mail", "postgres")]
        yield Action(25, "scan", "scanner", (*slow, "-sS", "-p", "1-130", *v4), limit=45)
        yield Action(75, "scan", "scanner", (*slow, "-6", "-sT", "-F", address("web2", 6), address("ssh", 6)), limit=45)
        yield Action(100, "scan", "scanner", (*slow, "-sU", "--top-ports", "30", v4[0]), limit=45)
        yield Action(105, "scan", "scanner", (*slow, "-sn", "-PE", "-PS443", "192.0.2.0/26"), limit=45, may_fail=True)

    def iperf(self, port: str, client: str, start: float, *options: str, version: int | None = None,
              kind: str = "bulk") -> Action:  # fmt: skip
        """One iperf3 transfer; each port serves one at a time, so that a busy server is retried a little later."""
        host = address("bulk", version) if version else self.server(client, "bulk")
        once = " ".join(("iperf3", "-c", host, "-p", port, *options))
        return Action(start, kind, client, ("sh", "-c", f"{once} || (sleep 4; {once}) || (sleep 5; {once})"), limit=40)

    def action(self, kind: str, client: str, *command: str, limit: float = 25.0, may_fail: bool = False) -> Action:
        """An action at a random time."""
        return Action(self.when(), kind, client, command, limit, may_fail)

    def when(self) -> float:
        """A start time: busier in the middle of the capture than at its ends."""
        return (
            self.chance.uniform(1, self.seconds)
            if self.chance.random() < 0.6
            else self.chance.triangular(1, self.seconds)
        )

    def person(self) -> str:
        """A client, by Zipf popularity."""
        return self.chance.choices(PEOPLE, [1 / rank**POPULARITY_EXPONENT for rank in range(1, len(PEOPLE) + 1)])[0]

    def worker(self) -> str:
        """A client of the office or the branch, for the databases."""
        near = {host.name for lan in (OFFICE, BRANCH) for host in lan.hosts}
        while (client := self.person()) not in near:
            pass
        return client

    def family(self, client: str) -> int:
        """4 or 6, as the client prefers."""
        return 6 if self.chance.random() < (0.85 if client in PREFERS_IPV6 else 0.15) else 4

    def server(self, client: str, name: str) -> str:
        """A server's address in the family that the client takes this time."""
        return address(name, self.family(client))

    def ssh_options(self) -> str:
        """Options that use this run's key and leave no trace in the user's own files."""
        return (
            f"-q -F none -i {self.folder}/user_key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
            "-o ConnectTimeout=8 -o BatchMode=yes"
        )


def address(name: str, version: int) -> str:
    """A host's address of this IP version."""
    lan, host = find(name)
    return lan.address6(host) if version == 6 else lan.address4(host)
