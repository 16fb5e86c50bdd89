"""What a private run spends, and what it may claim.

| entry | what it gives |
|---|---|
| `make_plan(config)` | a `Plan`: mechanisms, noise and cost, from the config alone |
| `make_ledger(config, plan, ...)` | a `Ledger`: what was released, how, at what cost; kept in the run folder |
| `read_ledger(folder)`, `statement(ledger, title)` | the guarantee of a finished run, in words and in symbols |
| `InputBudget.open()` | every look at an input by any run, what they cost together, and its limit |
| `epsilon_of`, `noise_multiplier_for` | the accountant behind them |

No data are looked at here: all inputs are public.
"""

from netshare.privacy.accounting.accountant import Mechanism, epsilon_of, noise_multiplier_for
from netshare.privacy.accounting.input_budget import InputBudget, Look, Spent
from netshare.privacy.accounting.ledger import LEDGER, Ledger, make_ledger, read_ledger
from netshare.privacy.accounting.plan import ADJACENCY, Plan, alternatives, make_plan
from netshare.privacy.accounting.statement import NOT_COVERED, declared_public, in_symbols, plain_words, statement

__all__ = [
    "ADJACENCY",
    "LEDGER",
    "NOT_COVERED",
    "InputBudget",
    "Ledger",
    "Look",
    "Mechanism",
    "Plan",
    "Spent",
    "alternatives",
    "declared_public",
    "epsilon_of",
    "in_symbols",
    "make_ledger",
    "make_plan",
    "noise_multiplier_for",
    "plain_words",
    "read_ledger",
    "statement",
]
