"""`netshare compare`: our generators and the baselines on one trace, at the same CPU budget.

result = compare(load_config("config.json"), methods=("autoregressive", "hmm"), budget=60)
print(format_table(result))
"""

from netshare.comparison.compare import compare
from netshare.comparison.membership import membership
from netshare.comparison.table import Comparison, format_table

__all__ = ["Comparison", "compare", "format_table", "membership"]
