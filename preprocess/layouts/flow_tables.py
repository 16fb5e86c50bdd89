"""The layouts of flow records in text that are read and written, column by column.

Readers parse and writers express columns by these declarations. What a layout has beyond one column after the other
(counters that stand for both directions, for instance) is added where it is read (`tables.flow_dialects`) and written
(`postprocess.writers.flow_layouts`). docs/formats.md says where the layouts come from.
"""

from __future__ import annotations

from netshare.preprocess.layouts.flow_forms import UNIT_NS, Column, FlowTable, Form
from netshare.preprocess.protocols import ICMP, ICMPV6, TCP, UDP


def _names(text: str) -> tuple[str, ...]:
    """Names that have no blanks in them."""
    return tuple(text.split())


def _one(name: str, holds: str, form: Form, *, integer: bool = False, may_be_unset: bool = False) -> Column:
    return Column((name,), holds, form, integer=integer, may_be_unset=may_be_unset)


def _optional(name: str, holds: str, form: Form, *, integer: bool = False, may_be_unset: bool = False) -> Column:
    return Column((name,), holds, form, required=False, integer=integer, may_be_unset=may_be_unset)


ZEEK_PROTOCOLS = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMPV6: "icmp"}
_S, _MS, _US = UNIT_NS["s"], UNIT_NS["ms"], UNIT_NS["us"]

NETSHARE = FlowTable(
    "netshare-csv",
    (("srcip", "dstip"),),
    (
        _one("srcip", "src", Form.ADDRESS),
        _one("dstip", "dst", Form.ADDRESS),
        _one("srcport", "src_port", Form.PORT, integer=True),
        _one("dstport", "dst_port", Form.PORT, integer=True),
        _one("proto", "protocol", Form.PROTOCOL),
        _one("ts", "time", Form.EPOCH_NUMBER, integer=True),
        _one("td", "duration", Form.SECONDS),
        _one("pkt", "packets", Form.COUNT, integer=True),
        _one("byt", "bytes", Form.COUNT, integer=True),
        _optional("label", "label", Form.LABEL),
        _optional("type", "attack_type", Form.LABEL),
    ),
    _names("srcip dstip srcport dstport proto ts td pkt byt"),
    no_label="",
    unset_labels=frozenset({""}),
)

NFDUMP = FlowTable(
    "nfdump-csv",
    (("sa", "da"),),
    (
        _one("ts", "time", Form.UTC_TEXT),
        _one("td", "duration", Form.MILLI_SECONDS),
        _one("sa", "src", Form.ADDRESS),
        _one("da", "dst", Form.ADDRESS),
        _one("sp", "src_port", Form.PORT, integer=True),
        _one("dp", "dst_port", Form.PORT_OR_ICMP),
        _one("pr", "protocol", Form.PROTOCOL),
        _one("ipkt", "packets", Form.COUNT, integer=True),
        _one("ibyt", "bytes", Form.COUNT, integer=True),
        _optional("flg", "tcp_flags", Form.FLAG_LETTERS),
        _optional("stos", "tos", Form.BYTE, integer=True),
        _optional("opkt", "packets_rev", Form.COUNT, integer=True),
        _optional("obyt", "bytes_rev", Form.COUNT, integer=True),
    ),
    _names(
        "ts te td sa da sp dp pr flg fwd stos ipkt ibyt opkt obyt in out sas das smk dmk dtos dir nh nhb svln dvln "
        "ismc odmc idmc osmc mpls1 mpls2 mpls3 mpls4 mpls5 mpls6 mpls7 mpls8 mpls9 mpls10 cl sl al ra eng exid tr"
    ),
    unset={
        **dict.fromkeys(("nh", "nhb", "ra"), "0.0.0.0"),
        **dict.fromkeys(("ismc", "odmc", "idmc", "osmc"), "00:00:00:00:00:00"),
        **{f"mpls{number}": "0-0-0" for number in range(1, 11)},
        **dict.fromkeys(("cl", "sl", "al"), "0.000"),
        "eng": "0/0",
    },
    unset_else="0",
    reads_all=False,
    time_step=_MS,
    duration_step=_MS,
)

NFDUMP_SHORT = FlowTable(  # `-o csv` since nfdump 1.7.3, and `-o csv-fast`, which has the end instead of the duration
    "nfdump-short-csv",
    (("firstseen", "srcaddr"),),
    (
        _one("firstSeen", "time", Form.UTC_TEXT),
        _one("proto", "protocol", Form.PROTOCOL),
        _one("srcAddr", "src", Form.ADDRESS),
        _one("srcPort", "src_port", Form.PORT),
        _one("dstAddr", "dst", Form.ADDRESS),
        _one("dstPort", "dst_port", Form.DOTTED_ICMP_PORT),
        _one("packets", "packets", Form.COUNT),
        _one("bytes", "bytes", Form.COUNT),
        _optional("duration", "duration", Form.MILLI_SECONDS),
        _optional("lastSeen", "end", Form.UTC_TEXT),
        _optional("flags", "tcp_flags", Form.FLAG_NUMBER),
        _optional("srcTos", "tos", Form.BYTE),
    ),
    _names("firstSeen duration proto srcAddr srcPort dstAddr dstPort packets bytes bps bpp flows flags srcTos"),
    unset_else="0",
    time_step=_MS,
    duration_step=_MS,
)

UGR16 = FlowTable(  # without a header line: known by its first row
    "ugr16-csv",
    (),
    (
        _one("te", "end", Form.UTC_SECONDS_TEXT),
        _one("td", "duration", Form.MILLI_SECONDS),
        _one("sa", "src", Form.ADDRESS),
        _one("da", "dst", Form.ADDRESS),
        _one("sp", "src_port", Form.PORT, integer=True),
        _one("dp", "dst_port", Form.PORT_OR_ICMP),
        _one("pr", "protocol", Form.PROTOCOL),
        _one("flg", "tcp_flags", Form.SIX_FLAG_LETTERS),
        _one("stos", "tos", Form.BYTE, integer=True),
        _one("pkt", "packets", Form.COUNT, integer=True),
        _one("byt", "bytes", Form.COUNT, integer=True),
        _one("label", "label", Form.LABEL),
    ),
    _names("te td sa da sp dp pr flg fwd stos pkt byt label"),
    unset_else="0",
    no_label="background",
    time_step=_S,
    duration_step=_MS,
    has_header=False,
)

ZEEK = FlowTable(
    "zeek-csv",
    (("id.orig_h", "id.resp_h"),),
    (
        _one("ts", "time", Form.EPOCH_SECONDS),
        _one("id.orig_h", "src", Form.ADDRESS),
        _one("id.orig_p", "src_port", Form.PORT, integer=True),
        _one("id.resp_h", "dst", Form.ADDRESS),
        _one("id.resp_p", "dst_port", Form.PORT, integer=True),
        _one("proto", "protocol", Form.ZEEK_PROTOCOL),
        _one("duration", "duration", Form.SECONDS, may_be_unset=True),
        _one("orig_pkts", "packets", Form.COUNT, integer=True, may_be_unset=True),
        Column(("orig_ip_bytes", "orig_bytes"), "bytes", Form.COUNT, required=False, integer=True, may_be_unset=True),
        _optional("resp_pkts", "packets_rev", Form.COUNT, may_be_unset=True),
        Column(("resp_ip_bytes", "resp_bytes"), "bytes_rev", Form.COUNT, required=False, may_be_unset=True),
        _optional("label", "label", Form.LABEL),
        _optional("detailed-label", "attack_type", Form.LABEL),
    ),
    _names(
        "ts id.orig_h id.orig_p id.resp_h id.resp_p proto duration orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes "
        "label detailed-label"
    ),
    unset_else="-",
)

ZEEK_LOG_HEADER = _names(  # of Zeek's own conn.log
    "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes resp_bytes conn_state "
    "local_orig local_resp missed_bytes history orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes tunnel_parents"
)

CIDDS = FlowTable(
    "cidds-csv",
    (("date first seen", "src ip addr"),),
    (
        _one("Date first seen", "time", Form.UTC_TEXT),
        _one("Duration", "duration", Form.MILLI_SECONDS),
        _one("Proto", "protocol", Form.PADDED_PROTOCOL),
        _one("Src IP Addr", "src", Form.ADDRESS),
        _one("Src Pt", "src_port", Form.PORT),
        _one("Dst IP Addr", "dst", Form.ADDRESS),
        _one("Dst Pt", "dst_port", Form.DOTTED_ICMP_PORT),
        _one("Packets", "packets", Form.ABBREVIATED_COUNT),
        _one("Bytes", "bytes", Form.ABBREVIATED_COUNT),
        _optional("Flags", "tcp_flags", Form.SIX_FLAG_LETTERS),
        _optional("Tos", "tos", Form.BYTE),
        Column(("class", "label"), "label", Form.LABEL, required=False),
        _optional("attackType", "attack_type", Form.LABEL),
    ),
    ("Date first seen", "Duration", "Proto", "Src IP Addr", "Src Pt", "Dst IP Addr", "Dst Pt", "Packets", "Bytes",
     "Flows", "Flags", "Tos", "class", "attackType", "attackID", "attackDescription"),
    unset_else="---",
    no_label="---",
    unset_labels=frozenset({"", "---"}),
    time_step=_MS,
    duration_step=_MS,
)  # fmt: skip

TON_IOT = FlowTable(
    "ton-iot-csv",
    (("src_ip", "dst_ip", "src_ip_bytes"),),
    (
        _one("ts", "time", Form.EPOCH_SECONDS),
        _one("src_ip", "src", Form.ADDRESS),
        _one("src_port", "src_port", Form.PORT),
        _one("dst_ip", "dst", Form.ADDRESS),
        _one("dst_port", "dst_port", Form.PORT),
        _one("proto", "protocol", Form.LOWER_PROTOCOL),
        _one("duration", "duration", Form.SECONDS, may_be_unset=True),
        _one("src_pkts", "packets", Form.COUNT, may_be_unset=True),
        _one("src_ip_bytes", "bytes", Form.COUNT, may_be_unset=True),
        _one("dst_pkts", "packets_rev", Form.COUNT, may_be_unset=True),
        _one("dst_ip_bytes", "bytes_rev", Form.COUNT, may_be_unset=True),
        _optional("label", "label", Form.LABEL),
        _optional("type", "attack_type", Form.LABEL),
    ),
    _names(
        "ts src_ip src_port dst_ip dst_port proto service duration src_bytes dst_bytes conn_state missed_bytes "
        "src_pkts src_ip_bytes dst_pkts dst_ip_bytes label type"
    ),
    unset_else="-",
)

CICFLOWMETER = FlowTable(  # names as published with CSE-CIC-IDS2018, with CIC-IDS2017, and of its Python port
    "cicflowmeter-csv",
    (("timestamp", "flow duration"), ("timestamp", "flow_duration")),
    (
        Column(("Src IP", "source ip", "src_ip"), "src", Form.ADDRESS),
        Column(("Dst IP", "destination ip", "dst_ip"), "dst", Form.ADDRESS),
        Column(("Src Port", "source port", "src_port"), "src_port", Form.PORT),
        Column(("Dst Port", "destination port", "dst_port"), "dst_port", Form.PORT),
        Column(("Protocol",), "protocol", Form.PROTOCOL_NUMBER),
        Column(("Timestamp",), "time", Form.DAY_FIRST_TEXT),
        Column(("Flow Duration", "flow_duration"), "duration", Form.WHOLE_MICROSECONDS),
        Column(("Tot Fwd Pkts", "total fwd packets", "total fwd packet", "tot_fwd_pkts"), "packets", Form.COUNT),
        Column(
            ("Tot Bwd Pkts", "total backward packets", "total bwd packets", "tot_bwd_pkts"), "packets_rev", Form.COUNT
        ),
        Column(
            ("TotLen Fwd Pkts", "total length of fwd packets", "total length of fwd packet", "totlen_fwd_pkts"),
            "bytes",
            Form.COUNT,
        ),
        Column(
            ("TotLen Bwd Pkts", "total length of bwd packets", "total length of bwd packet", "totlen_bwd_pkts"),
            "bytes_rev",
            Form.COUNT,
        ),
        _optional("Label", "label", Form.LABEL),
    ),
    ("Flow ID", "Src IP", "Src Port", "Dst IP", "Dst Port", "Protocol", "Timestamp", "Flow Duration", "Tot Fwd Pkts",
     "Tot Bwd Pkts", "TotLen Fwd Pkts", "TotLen Bwd Pkts", "Label"),
    unset_else="0",
    time_step=_S,
    duration_step=_US,
)  # fmt: skip

ARGUS = FlowTable(
    "argus-csv",
    (("starttime", "srcaddr", "totpkts"),),
    (
        _one("StartTime", "time", Form.SLASHED_TEXT),
        _one("Dur", "duration", Form.MICRO_SECONDS),
        _one("Proto", "protocol", Form.LOWER_PROTOCOL),
        _one("SrcAddr", "src", Form.ADDRESS),
        _one("Sport", "src_port", Form.LOOSE_PORT),
        _one("DstAddr", "dst", Form.ADDRESS),
        _one("Dport", "dst_port", Form.LOOSE_PORT),
        _one("TotPkts", "packets_both", Form.COUNT),
        _one("TotBytes", "bytes_both", Form.COUNT),
        _optional("SrcPkts", "packets", Form.COUNT),
        _optional("SrcBytes", "bytes", Form.COUNT),
        _optional("sTos", "tos", Form.BYTE, may_be_unset=True),
        _optional("Label", "label", Form.LABEL),
    ),
    _names(
        "StartTime Dur Proto SrcAddr Sport Dir DstAddr Dport State sTos dTos TotPkts TotBytes SrcPkts SrcBytes Label"
    ),
    time_step=_US,
    duration_step=_US,
)

UNSW = FlowTable(  # only read
    "unsw-nb15-csv",
    (("srcip", "dstip", "stime"),),
    (
        _one("srcip", "src", Form.ADDRESS),
        _one("sport", "src_port", Form.LOOSE_PORT),
        _one("dstip", "dst", Form.ADDRESS),
        _one("dsport", "dst_port", Form.LOOSE_PORT),
        _one("proto", "protocol", Form.LOWER_PROTOCOL),
        _one("dur", "duration", Form.SECONDS),
        _one("sbytes", "bytes", Form.COUNT),
        _one("dbytes", "bytes_rev", Form.COUNT),
        _one("spkts", "packets", Form.COUNT),
        _one("dpkts", "packets_rev", Form.COUNT),
        _one("stime", "time", Form.WHOLE_EPOCH_SECONDS),
        _optional("label", "label", Form.LABEL),
        _optional("attack_cat", "attack_type", Form.LABEL),
    ),
)
UNSW_COLUMNS = _names(  # of its raw files, which have no header line
    "srcip sport dstip dsport proto state dur sbytes dbytes sttl dttl sloss dloss service sload dload spkts dpkts "
    "swin dwin stcpb dtcpb smeansz dmeansz trans_depth res_bdy_len sjit djit stime ltime sintpkt dintpkt tcprtt "
    "synack ackdat is_sm_ips_ports ct_state_ttl ct_flw_http_mthd is_ftp_login ct_ftp_cmd ct_srv_src ct_srv_dst "
    "ct_dst_ltm ct_src_ltm ct_src_dport_ltm ct_dst_sport_ltm ct_dst_src_ltm attack_cat label"
)
