"""Make `links.csv.gz`: daily volumes of 160 made-up network links over 12 weeks, long form.

    python examples/timeseries/make.py

Residential links carry most in the evening and at weekends, business links on workdays; volumes differ between links by
orders of magnitude, and a few links were put into service late. Everything is drawn at random from a fixed seed.
"""

from pathlib import Path

import numpy as np
import pandas as pd

LINKS, DAYS = 160, 84


def main() -> None:
    """Write the table beside this script."""
    rng = np.random.default_rng(20240101)
    day = pd.date_range("2024-01-01", periods=DAYS)
    weekend = np.asarray(day.day_of_week >= 5)
    tables = []
    for link in range(LINKS):
        is_business = bool(rng.random() < 0.4)
        capacity = int(rng.choice([100, 1_000, 10_000], p=[0.3, 0.5, 0.2]))
        level = capacity * 2.0 * rng.lognormal(-1 if is_business else 0, 1.0)
        week = np.where(weekend, 0.35, 1.0) if is_business else np.where(weekend, 1.25, 1.0)
        wander = np.exp(np.cumsum(rng.normal(0, 0.02, DAYS)))
        volume = level * week * wander * rng.lognormal(0, 0.12, DAYS)
        first = int(rng.integers(1, DAYS // 2)) if rng.random() < 0.2 else 0
        drops = rng.poisson(np.minimum(volume / capacity, 20) * 3)
        table = pd.DataFrame(
            {
                "link": f"link-{link:03d}",
                "day": day.strftime("%Y-%m-%d"),
                "use": "business" if is_business else "residential",
                "capacity_mbps": capacity,
                "gigabytes": volume.round(2),
                "drops": drops,
            }
        )
        tables.append(table.iloc[first:])
    pd.concat(tables).to_csv(
        Path(__file__).parent / "links.csv.gz", index=False, compression={"method": "gzip", "mtime": 0}
    )


if __name__ == "__main__":
    main()
