"""The servers of the capture: Debian's own daemons, each in its namespace, configured from a temporary folder.

`start` returns the running processes; all of them stay in the foreground and are stopped by `stop`. Nothing listens
outside the namespaces, and no configuration of the machine itself is touched.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from network import LANS, find, inside

SITES = {  # name -> the web server that answers for it
    "www.example.net": "web1",
    "static.example.net": "web1",
    "shop.example.org": "web2",
    "api.example.org": "web2",
}
DOMAIN_OF = {"web1": "example.net", "web2": "example.org"}
OBJECTS = 240  # web objects, by popularity
MAIL_DOMAIN = "example.com"


def start(folder: Path, seed: int) -> list[subprocess.Popen[bytes]]:
    """Start every server; `folder` takes their configurations, data and logs."""
    folder.chmod(0o755)
    make_certificate(folder)
    make_documents(folder / "www", seed)
    make_ssh_keys(folder)
    return [
        *(start_web(folder, name) for name in ("web1", "web2")),
        *(start_dns(folder, name) for name in ("dns1", "dns2")),
        start_ntp(folder),
        start_ssh(folder),
        start_mail(folder),
        start_redis(folder),
        start_postgres(folder),
        *(spawn(folder, "bulk", ["iperf3", "-s", "-p", str(port)], f"iperf{port}") for port in (5201, 5202, 5203)),
    ]


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask every server to end; what does not is killed with its namespace."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()


def make_certificate(folder: Path) -> None:
    """A self-signed certificate for HTTPS and SMTP."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=www.example.net",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")],
        check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def make_documents(folder: Path, seed: int) -> None:
    """Web objects with heavy-tailed sizes, 150 bytes to 700 kB; object 0 is the most popular."""
    chance = random.Random(seed)
    folder.mkdir()
    for number in range(OBJECTS):
        size = int(min(700_000, 150 + chance.lognormvariate(8.3, 1.5)))
        (folder / f"{number}.bin").write_bytes(chance.randbytes(size))


def make_ssh_keys(folder: Path) -> None:
    """Host key and user key, for this run only."""
    for name in ("host_key", "user_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")


def start_web(folder: Path, name: str) -> subprocess.Popen[bytes]:
    """nginx with HTTP (80, 8080) and HTTPS (443); /upload takes a body."""
    own = folder / name
    own.mkdir()
    (own / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; pid {own}/pid; error_log {own}/error.log; user www-data;
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_timeout 8s; client_max_body_size 8m; client_body_temp_path {own}/body;
  proxy_temp_path {own}/proxy; fastcgi_temp_path {own}/fastcgi; uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;
  server {{
    listen 80; listen [::]:80; listen 8080; listen [::]:8080; listen 443 ssl; listen [::]:443 ssl;
    ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;
    root {folder}/www;
    location /upload {{ return 204; }}
  }}
}}
""")
    return spawn(folder, name, ["nginx", "-e", str(own / "error.log"), "-c", str(own / "nginx.conf")])


def start_dns(folder: Path, name: str) -> subprocess.Popen[bytes]:
    """dnsmasq, authoritative for the documentation names; every other name does not exist."""
    lines = ["no-resolv", "no-hosts", "no-daemon", "local=/#/", "bind-interfaces", "cache-size=0", "local-ttl=300"]
    for site, server in SITES.items():
        lan, host = find(server)
        lines.append(f"host-record={site},{lan.address4(host)},{lan.address6(host)}")
    for lan in LANS:
        for host in lan.hosts:
            lines.append(f"host-record={host.name}.{MAIL_DOMAIN},{lan.address4(host)},{lan.address6(host)}")
    lines += [f"mx-host={MAIL_DOMAIN},mail.{MAIL_DOMAIN},10"]
    lines += [f"txt-record=long{i}.{MAIL_DOMAIN}," + ",".join([f"{i}" * 200] * (2 + i % 3)) for i in range(1, 9)]
    lines += [f"srv-host=_ldap._tcp.{MAIL_DOMAIN},dns1.{MAIL_DOMAIN},389"]
    config = folder / f"{name}.conf"
    config.write_text("\n".join(lines) + "\n")
    return spawn(folder, name, ["dnsmasq", f"--conf-file={config}", "--user=root"])


def start_ntp(folder: Path) -> subprocess.Popen[bytes]:
    """chronyd, serving this machine's clock without ever setting it (-x)."""
    config = folder / "chrony.conf"
    config.write_text(f"local stratum 3\nallow all\ncmdport 0\nbindcmdaddress /\npidfile {folder}/chrony.pid\n")
    return spawn(folder, "ntp", ["chronyd", "-x", "-d", "-u", "root", "-f", str(config)])


def start_ssh(folder: Path) -> subprocess.Popen[bytes]:
    """sshd for the key made in this run, with a file to fetch."""
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd's fixed place for privilege separation
    config = folder / "sshd_config"
    config.write_text(
        f"HostKey {folder}/host_key\nAuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\n"
        f"PermitRootLogin prohibit-password\nPidFile {folder}/sshd.pid\nMaxStartups 50\nSubsystem sftp internal-sftp\n"
    )
    return spawn(folder, "ssh", ["/usr/sbin/sshd", "-D", "-e", "-f", str(config)])


def start_mail(folder: Path) -> subprocess.Popen[bytes]:
    """Postfix: takes mail for one domain on 25 and 587, with STARTTLS, and throws it away."""
    config, spool, data = folder / "postfix", folder / "spool", folder / "postfix-data"
    for path in (config, spool, data):
        path.mkdir()
    shutil.chown(data, "postfix", "postfix")
    services = [line.split() for line in Path("/etc/postfix/master.cf").read_text().splitlines()
                if line.strip() and not line.startswith(("#", " ", "\t"))]  # fmt: skip
    for words in services:
        words[4] = "n"  # no chroot
    services.append(["587", "inet", "n", "-", "n", "-", "-", "smtpd"])
    (config / "master.cf").write_text("\n".join(" ".join(words) for words in services) + "\n")
    (config / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {spool}
data_directory = {data}
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
myhostname = mail.{MAIL_DOMAIN}
mydestination = {MAIL_DOMAIN}
local_recipient_maps =
local_transport = discard:
alias_maps =
inet_interfaces = all
inet_protocols = all
mynetworks = 127.0.0.0/8
smtpd_tls_cert_file = {folder}/certificate.pem
smtpd_tls_key_file = {folder}/key.pem
smtpd_tls_security_level = may
smtpd_client_connection_rate_limit = 0
""")
    return spawn(folder, "mail", ["postfix", "-c", str(config), "start-fg"])


def start_redis(folder: Path) -> subprocess.Popen[bytes]:
    """redis without persistence."""
    options = ["--bind", "0.0.0.0", "::", "--protected-mode", "no", "--save", "", "--dir", str(folder)]
    return spawn(folder, "redis", ["redis-server", *options])


def start_postgres(folder: Path) -> subprocess.Popen[bytes]:
    """PostgreSQL with pgbench's tables, filled over the local socket."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    data = folder / "postgres"
    data.mkdir()
    shutil.chown(data, "postgres", "postgres")
    as_postgres = ["runuser", "-u", "postgres", "--"]
    initdb = [str(programs / "initdb"), "-D", str(data), "-A", "trust", "--no-sync"]
    subprocess.run(as_postgres + initdb, check=True, stdout=subprocess.DEVNULL, cwd=data)
    with (data / "pg_hba.conf").open("a") as access:
        access.write("host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n")
    options = ["-c", "listen_addresses=*", "-c", f"unix_socket_directories={data}", "-c", "fsync=off"]
    command = [*as_postgres, str(programs / "postgres"), "-D", str(data), *options]
    server = spawn(folder, "postgres", command)
    ready = [*as_postgres, "pg_isready", "-q", "-h", str(data)]
    subprocess.run(["timeout", "20", "sh", "-c", f"until {' '.join(ready)}; do sleep 0.2; done"], check=True)
    fill = [*as_postgres, "pgbench", "-q", "-i", "-s", "1", "-h", str(data), "postgres"]
    subprocess.run(fill, check=True, stderr=subprocess.DEVNULL, cwd=data)
    return server


def spawn(folder: Path, node: str, command: Sequence[str], log_name: str | None = None) -> subprocess.Popen[bytes]:
    """Run a server in a node, its output in a log of the folder."""
    with (folder / f"{log_name or node}.log").open("wb") as log:
        return subprocess.Popen(
            inside(node, command), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=folder
        )
