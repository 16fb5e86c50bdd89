"""Private runs by noisy counts: one function in, a trace out.

`draw_private_table` counts the input with noise and draws a trace from the noisy counts, the private synthetic table. It
is all that a run needs: whatever is trained on that table, and however, is post-processing.

| module | what is in it |
|---|---|
| `private_table` | the whole of it: bound units, count, draw |
| `counting` | the Gaussian mechanism on tables; the only place where noise is added to counts |
| `flow_marginals`, with `time_`, `length_`, `host_marginals`, `strata` | what is counted of flows; flows drawn from it |
| `record_marginals` | what is counted of the records of flow traces; records drawn from it |
| `packet_marginals`, `packet_drawing` | what is counted of packets; packets that follow a public trace's |
| `tries` | frequent values of large domains, digit by digit |
| `denoising`, `posterior`, `bins` | arithmetic on noisy counts; no data |
"""

from netshare.privacy.counts.counting import CountingNoise
from netshare.privacy.counts.private_table import Window, draw_private_table, tables_of

__all__ = ["CountingNoise", "Window", "draw_private_table", "tables_of"]
