"""What a run spends, and what it may claim: accountant, plan, ledger, statement."""
