"""Differential privacy of synthetic traces; docs/privacy.md has the guarantee, its assumptions, and why it holds.

| room | what is in it | entry |
|---|---|---|
| `accounting` | plan, ledger, statement, budget of an input | `make_plan`, `make_ledger`, `statement`, `InputBudget` |
| `counts` | the method `marginals`: noisy counts, and a trace drawn from them | `draw_private_table` |
| `gradients` | the method `gradients`: DP-SGD, one class for each kind of generator | `private_generator` |
| `audit` | attacks that bound epsilon from below | `audit_counts`, `audit_gradients`, `audit_membership` |
| `units`, `public` | what a unit may contribute; the public trace | |
| `noise`, `discrete_gaussian` | random numbers; exact noise of counts | |

Every module's docstring says which inputs are private and which public, and where something is counted or summed, by how
much one unit can change it (its sensitivity).
"""
