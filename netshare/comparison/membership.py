"""Membership inference by retraining: how often does a release give away which flows it was made from?

As in Lin et al., "Using GANs for sharing networked time series data: challenges, initial promise, and open questions"
(IMC 2020), 6.2, the success rate is measured over the size of the training set: models of little data recite it. The
attackers hold the synthetic trace alone, never the model:

- *nearest*: real flows that lie nearest to the synthetic trace are guessed to have been trained on;
- *shadow models*: with real traffic of the same kind of its own, the attacker trains the same method on traces of the
  same size, learns from them how members differ from others when seen from a release (Shokri et al., "Membership
  inference attacks against machine learning models", S&P 2017), and applies that to the release.

The conversations of a trace are dealt into the attacker's reference, its pool for shadow models, members and others.
Candidates are one flow a conversation, as many members as others, so that 50% right is what chance gives.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from netshare.comparison.compare import check_methods, finished_row, settings_of
from netshare.comparison.training import synthesise
from netshare.config.input import read_input
from netshare.config.schema import Config
from netshare.console import Console
from netshare.evaluation.tasks.neighbours import MAX_SUCCESS, describe_flows
from netshare.fingerprints import file_fingerprint, fingerprint
from netshare.preprocess.atomic import write_text
from netshare.preprocess.errors import ConfigError, InputError
from netshare.preprocess.flows import group_flows_by_hash
from netshare.preprocess.hashing import conversation_hashes, five_tuple_hashes, hash_columns
from netshare.preprocess.readers import list_files
from netshare.preprocess.trace import Trace
from netshare.recipe.preparation import MIN_FLOWS
from netshare.runs.folder import RunFolder, versions
from netshare.seeds import derive_seed

VERSION = 1
MIN_CONVERSATIONS = 40  # conversations to train on: fewer candidates say nothing
NEIGHBOURS = 5
FIVE_TUPLE = 13  # first columns of `describe_flows`: addresses, ports, protocol


@dataclass(frozen=True)
class Success:
    """How often guesses were right.

    method, size: what made the release, and from how many conversations
    attack: `"nearest"` or `"shadow"`
    right: share of guesses; 0.5 by chance
    interval: 95%, of that share
    candidates: flows guessed at, half of them members
    """

    method: str
    size: int
    attack: str
    right: float
    interval: tuple[float, float]
    candidates: int

    @property
    def found_out(self) -> bool:
        """Whether the attack distinguishes members from others: clearly above chance, and by more than five points."""
        return self.interval[0] > 0.5 and self.right > MAX_SUCCESS


def membership(
    config: Config,
    *,
    methods: Sequence[str] = ("autoregressive",),
    sizes: Sequence[int] | None = None,
    shadows: int = 2,
    budget: float = 20.0,
    folder: Path | str | None = None,
    fresh: bool = False,
    console: Console | None = None,
) -> tuple[Success, ...]:
    """Attack releases of each method and size; write membership.json and membership.md.

    Args:
        config: of a run, as for `compare`.
        methods: names, see `netshare.baselines.all_methods`.
        sizes: conversations to train on; by default a sixteenth, a quarter and all of what the trace allows (a fifth of
            its conversations).
        shadows: models that the attacker trains for each release; at least 1.
        budget: CPU seconds of training, for each model.
        folder: where results go, by default beside the run folder, its name ending in `-membership`; finished
            attacks are kept there.
        fresh: forget what the folder holds.

    Raises:
        ConfigError: an option is out of range, a method unknown, or the config is private or of time series.
        InputError: the trace is too small for a size.
    """
    console = console or Console.default()
    check_methods(methods, budget, config)
    if shadows < 1:
        raise ConfigError(f"--shadows is {shadows}; give at least 1 shadow model")
    files = [(each.name, file_fingerprint(each)) for each in list_files(config.input.files)]
    trace = read_input(config.input).sorted_by_time()
    dealt = _deal(trace, config.seed)
    sizes = _sizes(sizes, len(dealt), config.input.files[0])
    assert config.output.folder is not None
    run = Path(config.output.folder)
    path = Path(folder) if folder else run.with_name(run.name.removesuffix("-run") + "-membership")
    found: list[Success] = []
    with RunFolder.open(path, fresh=fresh, kind="membership", owned=("attacks", "membership.json", "membership.md")):
        (path / "attacks").mkdir(exist_ok=True)
        for method in methods:
            for size in sizes:
                key = fingerprint(VERSION, files, config.input.limit, size, shadows, budget, config.seed,
                                  *settings_of(config))  # fmt: skip
                where = path / "attacks" / f"{method}-{size}.json"
                finished = finished_row(where, key)
                if finished is not None:
                    successes = [
                        Success(method, size, name, one["right"], tuple(one["interval"]), one["candidates"])
                        for name, one in finished["attacks"].items()
                    ]
                else:
                    console.say(f"{method}, {size:,} conversations: {1 + shadows} models ...")
                    successes = attack(method, trace, dealt, size, shadows, config, budget)
                    attacks = {
                        each.attack: {name: getattr(each, name) for name in ("right", "interval", "candidates")}
                        for each in successes
                    }
                    row = {"fingerprint": key, "method": method, "size": size, "attacks": attacks}
                    write_text(where, json.dumps(row, indent=1) + "\n")
                found += successes
                console.say("  " + _line(successes))
        facts = {"trace": trace.kind, "shadows": shadows, "budget": budget, "seed": config.seed, "versions": versions()}
        rows = [asdict(each) | {"found_out": each.found_out} for each in found]
        write_text(path / "membership.json", json.dumps({**facts, "attacks": rows}, indent=1) + "\n")
        write_text(path / "membership.md", format_membership(found, budget, shadows))
    return tuple(found)


def attack(
    method: str, trace: Trace, dealt: np.ndarray, size: int, shadows: int, config: Config, budget: float
) -> list[Success]:
    """Both attacks on one release.

    Args:
        dealt: uint64[n_conversations], keys in random order: the first two times `size` are members and others, the
            next fifth of all is the attacker's reference, and the rest its pool for shadow models.
    """
    whole = conversation_hashes(trace)
    members, others = dealt[:size], dealt[size : 2 * size]
    fifth = len(dealt) // 5
    reference, pool = dealt[2 * fifth : 3 * fifth], dealt[3 * fifth :]
    known = describe_flows(_part(trace, whole, reference))
    scaler = StandardScaler().fit(known)
    seen, member = [], []
    for number in range(shadows):
        drawn = np.random.default_rng(derive_seed(config.seed, "shadow", method, size, number)).permutation(pool)
        inside, outside = drawn[:size], drawn[size : 2 * size]
        part, is_member = _candidates(trace, whole, inside, outside, config.seed)
        seen.append(_seen(_release(method, _part(trace, whole, inside), config, budget, number), part, known, scaler))
        member.append(is_member)
    part, is_member = _candidates(trace, whole, members, others, config.seed)
    target = _seen(_release(method, _part(trace, whole, members), config, budget, -1), part, known, scaler)
    learnt = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    learnt.fit(np.concatenate(seen), np.concatenate(member))
    jitter = np.random.default_rng(config.seed).random(len(is_member)) * 1e-9  # ties are guessed by chance
    scores = {"nearest": -target[:, 0] + jitter, "shadow": learnt.decision_function(target) + jitter}
    return [Success(method, size, name, *_judged(each, is_member)) for name, each in scores.items()]


def format_membership(found: Sequence[Success], budget: float, shadows: int) -> str:
    """The results as Markdown."""
    lines = [
        "# Membership inference from the released trace",
        "",
        f"Share of right guesses which flows were trained on (50% by chance), with its 95% interval; {budget:g} CPU "
        f"seconds of training a model, {shadows} shadow models. *Found out*: above {MAX_SUCCESS:.0%}, and clearly above "
        "chance.",
        "",
        "| method | conversations trained on | attack | right | 95% interval | candidates | |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {s.method} | {s.size:,} | {s.attack} | {s.right:.1%} | {s.interval[0]:.1%} to {s.interval[1]:.1%} | "
        f"{s.candidates:,} | {'found out' if s.found_out else ''} |"
        for s in found
    ]
    return "\n".join(lines) + "\n"


def _release(method: str, train: Trace, config: Config, budget: float, number: int) -> np.ndarray:
    """Flows of a release, described."""
    seeded = config.model_copy(update={"seed": derive_seed(config.seed, "membership", number) % 2**31})
    return describe_flows(synthesise(method, train, seeded, budget).trace)


def _seen(release: np.ndarray, flows: np.ndarray, known: np.ndarray, scaler: StandardScaler) -> np.ndarray:
    """float64[n, 6]: log distances of real flows to the release, near and over a neighbourhood, by all columns and by
    the five-tuple alone, and how much nearer the release is than the attacker's own traffic."""
    who = slice(0, FIVE_TUPLE)
    flows, release, known = (scaler.transform(each) for each in (flows, release, known))
    near = _nearest(flows, release)
    usual = _nearest(flows, known)
    names = _nearest(flows[:, who], release[:, who])[:, 0]
    logs = np.log(np.maximum(np.column_stack([near[:, 0], near.mean(axis=1), names, usual[:, 0]]), 1e-6))
    return np.column_stack([logs, logs[:, 0] - logs[:, 3], logs[:, 1] - logs[:, 3]])


def _nearest(flows: np.ndarray, among: np.ndarray) -> np.ndarray:
    """float64[n, k]: distances to the k nearest."""
    count = min(NEIGHBOURS, len(among))
    return NearestNeighbors(n_neighbors=count, algorithm="brute").fit(among).kneighbors(flows)[0]


def _judged(scores: np.ndarray, member: np.ndarray) -> tuple[float, tuple[float, float], int]:
    """The better half guessed to be members: share of right guesses, its bootstrap interval, and the guesses."""
    guessed = np.zeros(len(scores), bool)
    guessed[np.argsort(-scores, kind="stable")[: int(member.sum())]] = True
    right = guessed == member
    drawn = np.random.default_rng(0).integers(0, len(right), (1000, len(right)))
    low, high = np.quantile(right[drawn].mean(axis=1), [0.025, 0.975])
    return float(right.mean()), (float(low), float(high)), len(right)


def _candidates(
    trace: Trace, whole: np.ndarray, inside: np.ndarray, outside: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """One flow of each conversation, described, and whether it is a member; as many members as others."""
    described = []
    for number, keys in enumerate((inside, outside)):
        part = _part(trace, whole, keys)
        flows = group_flows_by_hash(part)
        first = flows.order[flows.offsets[:-1]]
        drawn = np.argsort(hash_columns([np.full(len(flows), seed % 2**63 + number, np.int64),
                                         five_tuple_hashes(part)[first]]), kind="stable")  # fmt: skip
        _, one = np.unique(conversation_hashes(part)[first][drawn], return_index=True)
        described.append(describe_flows(part)[drawn[one]])
    count = min(len(each) for each in described)
    return np.concatenate([each[:count] for each in described]), np.arange(2 * count) < count


def _part(trace: Trace, whole: np.ndarray, keys: np.ndarray) -> Trace:
    return trace.take(np.flatnonzero(np.isin(whole, keys)))


def _deal(trace: Trace, seed: int) -> np.ndarray:
    return np.random.default_rng(derive_seed(seed, "membership")).permutation(np.unique(conversation_hashes(trace)))


def _sizes(sizes: Sequence[int] | None, conversations: int, name: str) -> list[int]:
    most = conversations // 5
    if most < max(MIN_CONVERSATIONS, MIN_FLOWS):
        raise InputError(
            f"{name}: its {conversations} conversations are too few for membership inference; give a trace of at least "
            f"{5 * MIN_CONVERSATIONS}"
        )
    if sizes is None:
        return sorted({max(most // 16, MIN_CONVERSATIONS), max(most // 4, MIN_CONVERSATIONS), most})
    for size in sizes:
        if not MIN_CONVERSATIONS <= size <= most:
            raise ConfigError(
                f"--sizes: {size} conversations to train on, but {name} allows {MIN_CONVERSATIONS} to {most} (a fifth of its)"
            )
    return list(dict.fromkeys(sizes))


def _line(found: Sequence[Success]) -> str:
    return "; ".join(f"{s.attack}: {s.right:.1%} right ({s.interval[0]:.1%} to {s.interval[1]:.1%})" for s in found)
