"""How data are laid out, declared once: readers take them apart and writers build them by these declarations.

fields        what a layout is: a packed numpy type
ethernet      link types, EtherTypes, the Ethernet header and its VLAN tag
ip            IPv4, IPv6 and its extension headers
transport     TCP, UDP, ICMP
captures      the headers of pcap, pcapng and ERF files
exports       the elements, records and message headers of NetFlow v5, v9 and IPFIX
flow_tables   the columns of flow records in text
"""
