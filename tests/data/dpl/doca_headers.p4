// Our declaration of DPL's fixed headers. Their examples show addresses, ports and `protocol`; the other names are guesses.
// SPDX-License-Identifier: Apache-2.0
#ifndef DOCA_HEADERS_P4
#define DOCA_HEADERS_P4
typedef bit<48> nv_mac_addr_t;
typedef bit<32> nv_ipv4_addr_t;
typedef bit<128> nv_ipv6_addr_t;

header nv_ethernet_t {
    nv_mac_addr_t dst_addr;
    nv_mac_addr_t src_addr;
    bit<16> ether_type;
}

header nv_ipv4_t {
    bit<4> version;
    bit<4> ihl;
    bit<8> diffserv;
    bit<16> total_len;
    bit<16> identification;
    bit<2> flags;
    bit<14> fragment_offset_mf;
    bit<8> ttl;
    bit<8> protocol;
    bit<16> hdr_checksum;
    nv_ipv4_addr_t src_addr;
    nv_ipv4_addr_t dst_addr;
}

header nv_ipv6_t {
    bit<4> version;
    bit<8> traffic_class;
    bit<20> flow_label;
    bit<16> payload_len;
    bit<8> next_header;
    bit<8> hop_limit;
    nv_ipv6_addr_t src_addr;
    nv_ipv6_addr_t dst_addr;
}

header nv_tcp_t {
    bit<16> src_port;
    bit<16> dst_port;
    bit<32> seq_no;
    bit<32> ack_no;
    bit<4> data_offset;
    bit<4> reserved;
    bit<8> flags;
    bit<16> window;
    bit<16> checksum;
    bit<16> urgent_ptr;
}

header nv_udp_t {
    bit<16> src_port;
    bit<16> dst_port;
    bit<16> length;
    bit<16> checksum;
}

#define NV_FIXED_HEADERS \
    nv_ethernet_t ethernet; \
    nv_ipv4_t ipv4; \
    nv_ipv6_t ipv6; \
    nv_tcp_t tcp; \
    nv_udp_t udp;
#endif
