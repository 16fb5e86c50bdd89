"""From generated columns to files that network tools read: repair, headers, writers.

trace, report = repair(trace)
write_trace(trace, "synthetic.pcap")
"""

from netshare.postprocess.netflow import flows_from_packets
from netshare.postprocess.repair import RepairReport, broken_conventions, repair
from netshare.postprocess.writers import WriteReport, write_trace

__all__ = ["RepairReport", "WriteReport", "broken_conventions", "flows_from_packets", "repair", "write_trace"]
