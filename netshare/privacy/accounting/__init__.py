"""What a private run spends, and what it may claim.

| entry | what it gives |
|---|---|
| `make_plan(config)` | a `Plan`: mechanisms, noise and cost, from the config alone |
| `make_ledger(config, plan, ...)` | a `Ledger`: what was released, how, at what cost; kept in the run folder |
| `read_ledger(folder)`, `statement(ledger, title)` | the guarantee of a finished run, in words and in symbols |
| `epsilon_of`, `noise_multiplier_for` | the accountant behind them |

No data are looked at here: all inputs are public.
"""

from netshare.privacy.accounting.accountant import Mechanism, epsilon_of, noise_multiplier_for
from netshare.privacy.accounting.ledger import LEDGER, Ledger, make_ledger, read_ledger
from netshare.privacy.accounting.plan import Plan, alternatives, make_plan
from netshare.privacy.accounting.statement import statement

__all__ = [
    "LEDGER",
    "Ledger",
    "Mechanism",
    "Plan",
    "alternatives",
    "epsilon_of",
    "make_ledger",
    "make_plan",
    "noise_multiplier_for",
    "read_ledger",
    "statement",
]
