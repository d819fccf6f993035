// Our stand-in for DPL's fixed parser: enough of one for p4test.
// SPDX-License-Identifier: Apache-2.0
#ifndef DOCA_PARSER_P4
#define DOCA_PARSER_P4
#define NV_FIXED_PARSER(packet, headers) \
    state start { \
        packet.extract(headers.ethernet); \
        transition select(headers.ethernet.ether_type) { 0x0800: nv_parse_ipv4; 0x86dd: nv_parse_ipv6; default: accept; } \
    } \
    state nv_parse_ipv4 { \
        packet.extract(headers.ipv4); \
        transition select(headers.ipv4.protocol) { 6: nv_parse_tcp; 17: nv_parse_udp; default: accept; } \
    } \
    state nv_parse_ipv6 { \
        packet.extract(headers.ipv6); \
        transition select(headers.ipv6.next_header) { 6: nv_parse_tcp; 17: nv_parse_udp; default: accept; } \
    } \
    state nv_parse_tcp { packet.extract(headers.tcp); transition accept; } \
    state nv_parse_udp { packet.extract(headers.udp); transition accept; }
#endif
