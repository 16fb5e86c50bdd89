"""From generated columns to files that network tools read: repair, headers, writers.

trace, report = repair(trace)
write_trace(trace, "synthetic.pcap")
"""

from postprocess.repair import RepairReport, repair

__all__ = ["RepairReport", "repair"]
