"""What a private step costs beside a plain one: DoppelGANger's critics, and the autoregressive nets.

    python -m benchmarks.privacy.step [-o benchmarks/privacy]

Each case runs in a process of its own, on one thread: seconds a step (the least of three rounds) and peak memory.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.machine import provenance

HERE = Path(__file__).resolve().parent
STEPS, ROUNDS = 20, 3
CASES = ("critic_plain", "critic_private", "critic_private_loop", "nets_plain", "nets_private")
WIDTH, BATCH = 4_000, 128  # units of a row of metadata and records; samples a step


def main() -> None:
    """Run the cases and write `step.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    options = parser.parse_args()
    found: dict[str, Any] = {}
    for case in CASES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[case] = pool.apply(_measured, (case,))
        print(case, found[case], flush=True)
    found["critic_ratio"] = _ratio(found, "critic_private", "critic_plain")
    found["nets_ratio"] = _ratio(found, "nets_private", "nets_plain")
    print(found["critic_ratio"], found["nets_ratio"])
    (options.output / "step.json").write_text(json.dumps({**found, "machine": provenance()}, indent=1) + "\n")


def critic_plain() -> Callable[[], None]:
    """WGAN-GP step of a critic as in ordinary training."""
    import torch

    from netshare.generators.doppelganger.losses import critic_loss

    critic, real, fake, mixing = _critic()
    optimizer = torch.optim.Adam(critic.parameters(), 1e-3, fused=True)

    def step() -> None:
        loss, _ = critic_loss(critic, real, fake, mixing, 10.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def critic_private() -> Callable[[], None]:
    """The same with exact clipping and noise."""
    import torch

    from netshare.privacy.gradients.critic_clipping import CriticInput, clipped_critic_sums

    critic, real, fake, mixing = _critic()
    optimizer = torch.optim.Adam(critic.parameters(), 1e-3, fused=True)

    def step() -> None:
        sums, _ = clipped_critic_sums([CriticInput(critic, real, fake)], mixing, penalty_weight=10.0, clip_norm=1.0)
        for parameter, value in sums.items():
            parameter.grad = (value + torch.randn_like(value)) / BATCH
        optimizer.step()

    return step


def critic_private_loop() -> Callable[[], None]:
    """The same, sample by sample."""
    import torch

    from netshare.generators.doppelganger.losses import critic_loss

    critic, real, fake, mixing = _critic()
    parameters = list(critic.parameters())

    def step() -> None:
        sums = [torch.zeros_like(p) for p in parameters]
        for i in range(BATCH):
            loss, _ = critic_loss(critic, real[i : i + 1], fake[i : i + 1], mixing[i : i + 1], 10.0)
            own = torch.autograd.grad(loss, parameters)
            factor = (1 / torch.sqrt(sum(g.square().sum() for g in own))).clamp(max=1.0)  # type: ignore[arg-type]
            for total, gradient in zip(sums, own, strict=True):
                total += gradient * factor

    return step


def nets_plain() -> Callable[[], None]:
    """A step of the three autoregressive nets over 128 flows of the sample, as in ordinary training."""
    import numpy as np
    import torch

    from netshare.generators.autoregressive.parts import ColumnsPart, RecordPart

    generator, data = _nets()
    metadata, tokens = generator._metadata_tokens(data.metadata), generator._length_tokens(data.metadata, data.lengths)
    shared = (data, generator.settings, generator.device)
    everything, nothing = np.arange(len(data)), np.zeros(0, np.int64)
    split = {"train": everything, "held": nothing, "conversations": everything}
    parts = [
        ColumnsPart(generator.metadata_net, metadata, *shared, **split),
        ColumnsPart(generator.length_net, tokens, *shared, **split),
        RecordPart(generator.record_net, metadata, *shared),
    ]
    optimizers = [torch.optim.AdamW(part.net.parameters(), fused=True) for part in parts]
    rng = np.random.default_rng(0)

    def step() -> None:
        chosen = np.sort(rng.permutation(len(data))[:BATCH])
        for part, optimizer in zip(parts, optimizers, strict=True):
            (batch,) = part.batches(chosen, 10**9, rng)
            loss = torch.stack([one for one in part.losses(batch, 0.0)[0] if one is not None]).sum()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(part.net.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return step


def nets_private() -> Callable[[], None]:
    """A private step over as many flows on average, noise from the system's generator."""
    import numpy as np

    from netshare.privacy.gradients import PrivateAutoregressive, PrivateSchedule
    from netshare.privacy.noise import SecureRandomness

    generator, data = _nets()
    schedule = PrivateSchedule(1.0, BATCH / len(data), 1.0, BATCH)
    private = PrivateAutoregressive(
        data.schema, generator.settings, schedule=schedule, units=np.arange(len(data)), randomness=SecureRandomness()
    )
    private.prepare(data, seed=0, steps=10_000)
    return lambda: private.step() and None


def _critic() -> Any:
    import torch

    from netshare.generators.doppelganger.modules import Critic
    from netshare.generators.doppelganger.settings import DoppelGANgerSettings

    torch.manual_seed(0)
    settings = DoppelGANgerSettings()
    critic = Critic(WIDTH, settings.critic_layers, settings.critic_units)
    return critic, torch.rand(BATCH, WIDTH), torch.rand(BATCH, WIDTH), torch.rand(BATCH, 1)


def _nets() -> Any:
    from netshare.config.private_runs import SMALL_NETS
    from netshare.generators.autoregressive.generator import AutoregressiveGenerator
    from netshare.generators.autoregressive.settings import AutoregressiveSettings
    from netshare.preprocess import read_trace
    from netshare.preprocess.chunks import cut_series, plan_chunks
    from netshare.preprocess.codec import Codec
    from netshare.preprocess.flows import group_flows

    trace = read_trace(HERE.parents[1] / "examples" / "sample" / "sample.pcap.gz")
    tables = cut_series(trace, group_flows(trace), plan_chunks(trace["time"], count=1), max_records_per_segment=256)
    data = Codec.fit(list(tables.values()), style="autoregressive", public=True, max_length=256).encode(tables[0])
    return AutoregressiveGenerator(data.schema, AutoregressiveSettings(recall=False, **SMALL_NETS)), data


def _measured(name: str) -> dict[str, float]:
    import torch

    torch.set_num_threads(1)
    step = globals()[name]()
    count = 2 if name.endswith("loop") else STEPS
    step()
    base, best = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(count):
            step()
        best = min(best, (time.process_time() - begun) / count)
    return {"cpu_seconds": round(best, 5), "peak_mib": round(max(base, _peak()) / 1024, 1)}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _ratio(found: dict[str, Any], private: str, plain: str) -> dict[str, float]:
    return {key: round(found[private][key] / found[plain][key], 3) for key in ("cpu_seconds", "peak_mib")}


if __name__ == "__main__":
    main()
