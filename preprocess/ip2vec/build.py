"""Build the IP2Vec model that ships with the package, from public facts and, if given, public sample traffic.

    python -m preprocess.ip2vec.build --traffic examples/sample/sample.pcap.gz -o preprocess/ip2vec/default

is how the shipped model was made; without `--traffic` the facts alone are learnt.

As in IP2Vec (Ring et al., 2017) and NetShare (section 4.2), a flow is a sentence, and words that stand in one sentence
get similar vectors (gensim's Word2Vec, skip-gram, one worker, fixed seed and hash function: the same arguments build
the same bytes). A sentence names a destination port, the protocol, the class of service, and the range that the
client's port comes from. The facts are two tables beside this file: `services.csv` (ports, from IANA's Service Name and
Transport Protocol Port Number Registry, and where `source` says "usual" from common practice) and `protocols.csv`
(IANA's Assigned Internet Protocol Numbers); and the port ranges of RFC 6335 and of Linux.

A port without a service of its own shares the word of its range, so its vector would be that of thousands of ports.
Two further dimensions, the upper and the lower byte of the port, tell them apart: an error of a generator lands on
a port nearby in the same range, a named service keeps its distance in the other ten. Values are k / 255:
12 bytes a port.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from netshare.preprocess.errors import NetshareError
from netshare.preprocess.ip2vec.model import PORTS, PROTOCOLS, IP2Vec
from netshare.preprocess.ip2vec.registry import TABLES, read_table

VECTOR_SIZE = 10  # as in NetShare
EPOCHS = 15
WINDOW = 5  # a sentence is shorter: all its words are context of one another
SEED = 1
FACT_REPEATS = 12
TRAFFIC_LIMIT = 20_000  # flows
TRAFFIC_PORT_FLOWS = 5  # flows to a port that is in no registry, from which on it is a word of its own
RANGES = (  # first port of each; RFC 6335, section 6; Linux' ip_local_port_range is 32768-60999
    (0, "system"),
    (1024, "user low"),
    (4096, "user"),
    (8192, "user"),
    (12288, "user"),
    (16384, "user"),
    (20480, "user"),
    (24576, "user"),
    (28672, "user"),
    (32768, "user, Linux ephemeral"),
    (36864, "user, Linux ephemeral"),
    (40960, "user, Linux ephemeral"),
    (45056, "user, Linux ephemeral"),
    (49152, "dynamic, Linux ephemeral"),
    (53248, "dynamic, Linux ephemeral"),
    (57344, "dynamic, Linux ephemeral"),
    (61000, "dynamic"),
)
CLIENT_RANGES = tuple(start for start, name in RANGES if "ephemeral" in name or "dynamic" in name)
Sentence = list[str]


def build(traffic: Sequence[Path] = (), *, seed: int = SEED, epochs: int = EPOCHS) -> IP2Vec:
    """Train on the registry facts and on the flows of `traffic` (captures or flow CSVs, which must be public).

    Raises:
        InputError: a traffic file cannot be read.
    """
    services, protocols = read_table("services.csv"), read_table("protocols.csv")
    sentences = [*_fact_sentences(services, protocols, seed), *_range_sentences()]
    named = {int(row["port"]) for row in services}
    facts = len(sentences)
    for path in traffic:
        more, ports = _traffic_sentences(path, services, named)
        sentences += more
        named |= ports
    words = _train(sentences, seed, epochs)
    port_words = [f"port {port}" if port in named else f"range {_range_of(port)}" for port in range(PORTS)]
    known = {int(row["protocol"]) for row in protocols}
    protocol_words = [f"protocol {number}" if number in known else "protocol" for number in range(PROTOCOLS)]
    numbers = np.arange(PORTS)
    details = {
        "algorithm": "Word2Vec skip-gram over flows, then upper and lower byte (of protocols: half byte) of the number",
        "vector_size": VECTOR_SIZE,
        "seed": seed,
        "epochs": epochs,
        "services": len(services),
        "protocols": len(protocols),
        "words": len(words),
        "fact_sentences": facts,
        "traffic_sentences": len(sentences) - facts,
        "traffic": [{"name": path.name, "sha256": _file_hash(path)} for path in traffic],
        "tables": {name: _file_hash(TABLES / name) for name in ("services.csv", "protocols.csv")},
    }
    return IP2Vec(
        _in_levels(words, port_words, np.stack([numbers >> 8, numbers & 255], axis=1) / 255),
        _in_levels(words, protocol_words, np.stack([numbers[:256] >> 4, numbers[:256] & 15], axis=1) / 15),
        details=details,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: build and save."""
    parser = argparse.ArgumentParser(prog="python -m preprocess.ip2vec.build", description="Build the IP2Vec model.")
    parser.add_argument(
        "--traffic", nargs="*", type=Path, default=[], help="public captures or flow CSVs to learn from"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write the model to")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of training (default {SEED})")
    options = parser.parse_args(arguments)
    try:
        model = build(options.traffic, seed=options.seed)
    except NetshareError as error:
        parser.exit(error.exit_code, f"{error}\n")
    model.save(options.output)
    print(f"{options.output}: {PORTS} ports and {PROTOCOLS} protocols, {model.size} values each, sha256 {model.sha256}")


def _fact_sentences(services: list[dict[str, str]], protocols: list[dict[str, str]], seed: int) -> list[Sentence]:
    """A flow to each service over each of its protocols, from clients of every range; then the protocols' classes."""
    rng = np.random.default_rng(seed)
    sentences: list[Sentence] = []
    for row in services:
        port, kind = row["port"], f"class {row['class']}"
        for protocol in row["protocols"].split():
            if kind == "class none":
                client = ["port 0"] * FACT_REPEATS
            else:
                client = [f"range {start}" for start in rng.choice(CLIENT_RANGES, FACT_REPEATS)]
            sentences += [[f"port {port}", f"protocol {protocol}", kind, source] for source in client]
    for row in protocols:
        sentences += [[f"protocol {row['protocol']}", f"protocol class {row['class']}"]] * FACT_REPEATS
    sentences += [["protocol", "protocol class unassigned"]] * FACT_REPEATS
    return [sentences[index] for index in rng.permutation(len(sentences))]


def _range_sentences() -> list[Sentence]:
    """Each range with its kind and with its neighbour, so that neighbouring ranges get similar vectors."""
    sentences: list[Sentence] = []
    for (start, name), (following, _) in pairwise(RANGES):
        sentences += [[f"range {start}", f"range {following}"]] * FACT_REPEATS * 2
        sentences += [[f"range {start}", *(f"kind {kind}" for kind in name.split(", "))]] * FACT_REPEATS
    return sentences + [[f"range {RANGES[-1][0]}", "kind dynamic"]] * FACT_REPEATS


def _traffic_sentences(path: Path, services: list[dict[str, str]], named: set[int]) -> tuple[list[Sentence], set[int]]:
    """One sentence for each distinct flow of a trace, the likelier service first; and the ports that it adds as words.

    A record does not hold which side is the service: it is the named port, or else the lower one.
    """
    from netshare.preprocess.readers import read_trace

    trace = read_trace(path)
    flows = np.unique(np.stack([trace[name] for name in ("src_port", "dst_port", "protocol")], axis=1), axis=0)
    flows = flows[:TRAFFIC_LIMIT]
    ends = np.sort(flows[:, :2], axis=1)
    is_named = np.isin(ends, np.fromiter(named, np.int64))
    swap = is_named[:, 1] & ~is_named[:, 0]
    server, client = np.where(swap, ends[:, 1], ends[:, 0]), np.where(swap, ends[:, 0], ends[:, 1])
    ports, counts = np.unique(server, return_counts=True)
    often = {int(port) for port in ports[counts >= TRAFFIC_PORT_FLOWS]} - named
    kinds = {(int(row["port"]), number): row["class"] for row in services for number in row["protocols"].split()}
    words = named | often
    sentences = []
    for port, other, protocol in zip(server.tolist(), client.tolist(), flows[:, 2].tolist(), strict=True):
        service = f"port {port}" if port in words else f"range {_range_of(port)}"
        source = f"port {other}" if other in words else f"range {_range_of(other)}"
        kind = [f"class {kinds[port, str(protocol)]}"] if (port, str(protocol)) in kinds else []
        sentences.append([service, f"protocol {protocol}", *kind, source])
    return sentences, often


def _range_of(port: int) -> int:
    """The first port of the range that `port` is in."""
    return max(start for start, _ in RANGES if start <= port)


def _train(sentences: list[Sentence], seed: int, epochs: int) -> dict[str, np.ndarray]:
    """float32[10] for each word."""
    from gensim.models import Word2Vec

    logging.getLogger("gensim").setLevel(logging.WARNING)
    model = Word2Vec(
        sentences,
        vector_size=VECTOR_SIZE,
        window=WINDOW,
        min_count=1,
        sg=1,
        workers=1,
        seed=seed,
        hashfxn=_stable_hash,
        epochs=epochs,
    )
    return {word: model.wv[word] for word in model.wv.index_to_key}


def _stable_hash(word: str) -> int:
    """A hash that, unlike Python's own, is the same in every process."""
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")


def _in_levels(words: dict[str, np.ndarray], names: list[str], number: np.ndarray) -> np.ndarray:
    """float32[n, 12] in multiples of 1/255: the words' vectors scaled to [0, 1] per dimension, then `number`."""
    fallback = np.stack(list(words.values())).mean(axis=0)
    distinct = sorted(set(names))
    table = np.stack([words.get(name, fallback) for name in distinct]).astype(np.float64)
    table = (table - table.min(axis=0)) / np.maximum(np.ptp(table, axis=0), 1e-9)
    position = {name: index for index, name in enumerate(distinct)}
    vectors = np.hstack([table[[position[name] for name in names]], number])
    return (np.rint(vectors * 255) / 255).astype(np.float32)


def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
