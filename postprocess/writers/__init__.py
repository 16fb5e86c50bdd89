"""Writers: a trace to the file that a user asked for."""

from netshare.postprocess.writers.write import WriteReport, write_trace

__all__ = ["WriteReport", "write_trace"]
