"""The budget of an input: every private look at it, by whatever run, in one ledger outside all run folders.

    budget = InputBudget.open()
    budget.charge(Look(identity, contents, "host", plan, plan.mechanisms, True), limit=2.0)  # before looking
    budget.spent([identity], plan).epsilon                                                   # of all looks at that input

Two releases of the same input cost more than one, whether they come from one run folder or two, and whether or not an
earlier one was removed by `--fresh`. So each look (noisy counts, private training) is written down before it happens,
and never removed.

An input is recognised by *marks*: fingerprints of its files and of its records, keyed with a secret of this ledger, so
that the ledger tells nobody which inputs it knows. Inputs that share a mark count as one. So do inputs that are linked
by a third, such as two files that were once read together: the sum is then too high for some units, never too low.

Kept in the user's state folder (`$NETSHARE_STATE`, else `$XDG_STATE_HOME/netshare`, else `~/.local/state/netshare`):

    key             32 random bytes
    looks.jsonl     one line a look
    lock            held while the ledger is read and added to, so that runs at the same time see one another

Private: which inputs there were; the marks hide it. Public: the mechanisms and their noise.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from netshare.fingerprints import fingerprint, kept_secret
from netshare.preprocess.errors import ConfigError, RunFolderError
from netshare.privacy.accounting.accountant import Mechanism, epsilon_of
from netshare.privacy.accounting.plan import Plan

STATE, LOOKS, KEY, LOCK = "NETSHARE_STATE", "looks.jsonl", "key", "lock"


@dataclass(frozen=True)
class Look:
    """One private look at an input, entered before it happens.

    Attributes:
        identity: 32 random hexadecimal digits; a look that was interrupted and goes on keeps its own.
        contents: fingerprints of the input's files and of its records, without a key; `charge` keys them.
        unit: what the plan accounts for, such as `bidirectional flow` or `host`.
        plan: of the run.
        mechanisms: those of the plan that this look is made of.
        secure: whether the noise comes from the system's cryptographic generator.
    """

    identity: str
    contents: tuple[str, ...]
    unit: str
    plan: Plan
    mechanisms: tuple[Mechanism, ...]
    secure: bool


@dataclass(frozen=True)
class Spent:
    """What all looks at one input have cost together.

    Attributes:
        epsilon, delta: for one unit of the plan that it was worked out for.
        looks: how many there were.
        units: what the looks were accounted for; the sum is each look's own guarantee added up, so with
            several of them it holds for nobody who is protected by some of the looks only.
        insecure: looks whose noise followed from a seed; they guarantee nothing, and no sum does.
    """

    epsilon: float
    delta: float
    looks: int
    units: tuple[str, ...]
    insecure: int

    def text(self) -> str:
        """The sum in one sentence or two."""
        line = (
            f"{self.looks} private look(s) at this input in all: epsilon {self.epsilon:.4g}, delta {self.delta:.3g} "
            "together"
        )
        if len(self.units) > 1:
            line += f"; they were accounted for different units ({', '.join(self.units)})"
        if self.insecure:
            line += f"; the noise of {self.insecure} of them followed from a seed, so the sum guarantees nothing"
        return line

    def to_json(self) -> dict[str, Any]:
        """JSON-able; an epsilon beyond what can be worked out is null."""
        return {**asdict(self), "epsilon": self.epsilon if math.isfinite(self.epsilon) else None}


class InputBudget:
    """The ledger of all inputs of one user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def open(cls) -> InputBudget:
        """The ledger in the user's state folder; made when something is first entered."""
        named = os.environ.get(STATE)
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return cls(Path(named) if named else Path(state) / "netshare")

    def charge(self, look: Look, *, limit: float | None, upcoming: Sequence[Mechanism] = ()) -> Spent:
        """Enter a look, unless it has been entered already; what all looks at its input cost, this one included.

        Args:
            look: which input, and by what mechanisms.
            limit: the most epsilon that all looks at the input may cost together; None for no limit.
            upcoming: mechanisms that the same run will enter later; they count against the limit already.

        Raises:
            ConfigError: the limit would be exceeded; nothing is entered.
            RunFolderError: the ledger cannot be read or written.
        """
        with self._held():
            secret, looks = self._secret(), self._read()
            marks = sorted(fingerprint("input", content, secret=secret) for content in look.contents)
            before = _linked(looks, marks)
            entry = {
                "look": look.identity,
                "day": datetime.now(UTC).date().isoformat(),
                "marks": marks,
                "unit": look.unit,
                "secure": look.secure,
                "mechanisms": [asdict(each) for each in look.mechanisms],
            }
            if any(each["look"] == look.identity for each in before):
                return _sum(before, look.plan)
            after = [*before, entry]
            if limit is not None:
                planned = [*after, {**entry, "mechanisms": [asdict(each) for each in upcoming]}]
                total = _sum(planned, look.plan).epsilon
                if total > limit:
                    spent = _sum(before, look.plan).epsilon
                    raise ConfigError(
                        f"privacy.lifetime_epsilon is {limit:g}: {len(before)} look(s) at this input have spent epsilon "
                        f"{spent:.4g}, and this run would bring it to {total:.4g}; lower privacy.epsilon, or raise the limit"
                    )
            self._append(entry)
            return _sum(after, look.plan)

    def spent(self, identities: Iterable[str], plan: Plan) -> Spent | None:
        """What all looks at the input of these looks cost so far; None where the ledger does not know all of them.

        Raises:
            RunFolderError: the ledger cannot be read.
        """
        if not (self.folder / LOOKS).exists():
            return None
        with self._held():
            looks, asked = self._read(), set(identities)
        found = [each for each in looks if each["look"] in asked]
        if not asked or {each["look"] for each in found} != asked:
            return None
        return _sum(_linked(looks, [mark for each in found for mark in each["marks"]]), plan)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """The ledger, for this process alone."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self.folder / LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            where = error.filename or self.folder
            raise RunFolderError(
                f"{where}: {error.strerror or error}; the budget of inputs is kept there, make it writable or set {STATE}"
            ) from None

    def _secret(self) -> bytes:
        try:
            return kept_secret(self.folder / KEY)
        except ValueError as error:
            raise RunFolderError(f"{error}; restore it, or no earlier look can be recognised") from None

    def _read(self) -> list[dict[str, Any]]:
        """All looks, the earliest first; half a line at the end is of a look that never happened."""
        path = self.folder / LOOKS
        if not path.exists():
            return []
        lines = path.read_bytes().split(b"\n")[:-1]
        try:
            looks = [json.loads(line) for line in lines]
            for look in looks:
                _ = look["look"], look["marks"], look["unit"], look["secure"], _mechanisms([look])
        except (ValueError, KeyError, TypeError, ConfigError):
            raise RunFolderError(
                f"{path}: damaged; restore it, since what was spent cannot be told without it"
            ) from None
        return looks

    def _append(self, entry: dict[str, Any]) -> None:
        descriptor = os.open(self.folder / LOOKS, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as stream:
            whole = stream.read().rfind(b"\n") + 1
            stream.seek(whole)
            stream.truncate()
            stream.write(json.dumps(entry).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())


def _linked(looks: Sequence[dict[str, Any]], marks: Iterable[str]) -> list[dict[str, Any]]:
    """Looks at inputs that have one of these marks, or are linked to one that has by looks at both."""
    known: set[str] = set(marks)
    while True:
        found = [each for each in looks if known.intersection(each["marks"])]
        grown = known.union(*(each["marks"] for each in found))
        if grown == known:
            return found
        known = grown


def _mechanisms(looks: Iterable[dict[str, Any]]) -> list[Mechanism]:
    return [Mechanism(**each) for look in looks for each in look["mechanisms"]]


def _sum(looks: Sequence[dict[str, Any]], plan: Plan) -> Spent:
    """The cost of looks for one unit of a plan, at the delta that the plan accounts for."""
    epsilon = _composed(_mechanisms(looks), plan) if looks else 0.0
    identities = {each["look"] for each in looks}
    units = tuple(sorted({each["unit"] for each in looks}))
    insecure = len({each["look"] for each in looks if not each["secure"]})
    own = sum(math.exp(min(k * epsilon, 700.0)) for k in range(plan.group))  # group privacy, as in `budget_of_groups`
    return Spent(plan.group * epsilon, min(1.0, own * plan.unit_delta), len(identities), units, insecure)


def _composed(mechanisms: Sequence[Mechanism], plan: Plan) -> float:
    """Epsilon at the plan's delta; infinite where the accountant cannot work it out.

    Gaussian mechanisms over all units compose to one, whose squared signal is the sum of theirs (Dong, Roth, Su 2022).
    """
    whole = [each for each in mechanisms if each.sampling_rate == 1 and each.steps]
    signal = sum(each.steps / each.noise_multiplier**2 for each in whole)
    one = [Mechanism("all counts", 1 / math.sqrt(signal), 1.0, 1)] if whole else []
    try:
        return epsilon_of(
            [*one, *(each for each in mechanisms if each.sampling_rate < 1)], plan.unit_delta, plan.accountant
        )
    except ConfigError:
        return math.inf
