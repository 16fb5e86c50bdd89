"""Attacks on what a private run claims: each bounds epsilon from below with a stated confidence.

| module | what it attacks |
|---|---|
| `counts` | `audit_counts`: noisy counts, by a canary in every table |
| `canaries` | `audit_gradients`: private training, by a canary in every step |
| `membership` | `audit_membership`: trained models, by the likelihood of flows that were trained on and of others |

An audit can refute a claim (`AuditResult.broken`), never confirm it.
"""

from netshare.privacy.audit.canaries import audit_gradients
from netshare.privacy.audit.counts import audit_counts
from netshare.privacy.audit.lower_bounds import AuditResult
from netshare.privacy.audit.membership import AttackedModels, audit_membership

__all__ = ["AttackedModels", "AuditResult", "audit_counts", "audit_gradients", "audit_membership"]
