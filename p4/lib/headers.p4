// The headers that the packet stage reads on v1model, and those of the CPU port.
// SPDX-License-Identifier: Apache-2.0
#ifndef DPU_LIB_HEADERS_P4
#define DPU_LIB_HEADERS_P4

#include "../gen/packet.p4"

const bit<9> WIRE_PORT = 0;
const bit<9> HOST_PORT = 1;
const bit<9> CPU_PORT = 510;

const bit<16> TYPE_IPV4 = 0x0800;
const bit<16> TYPE_IPV6 = 0x86dd;
const bit<16> TYPE_VLAN = 0x8100;
const bit<16> TYPE_QINQ = 0x88a8;

header ethernet_t {
    bit<48> destination;
    bit<48> source;
    bit<16> type;
}

header tag_t {
    bit<16> control_information;
    bit<16> type;
}

header ipv4_t {
    bit<4> version;
    bit<4> words; // header length in 32 bits
    bit<8> traffic_class;
    bit<16> total_length;
    bit<16> identification;
    bit<2> flags; // reserved, DF
    bit<14> fragment; // MF and the offset: 0 is a whole packet
    bit<8> ttl;
    bit<8> protocol;
    bit<16> checksum;
    bit<32> source;
    bit<32> destination;
}

header ipv4_options_t {
    varbit<320> options;
}

header ipv6_t {
    bit<4> version;
    bit<8> traffic_class;
    bit<20> flow_label;
    bit<16> payload_length;
    bit<8> next_header;
    bit<8> hop_limit;
    bit<128> source;
    bit<128> destination;
}

// Hop-by-hop, routing and destination options: 8 x (length + 1) bytes. A fragment header has no length, and 8 bytes.
header extension_t {
    bit<8> next_header;
    bit<8> length;
    bit<16> fragment; // of a fragment header: offset, two reserved bits, M
    varbit<16352> rest;
}

header tcp_t {
    bit<16> source_port;
    bit<16> destination_port;
    bit<32> sequence;
    bit<32> acknowledgement;
    bit<4> offset;
    bit<4> reserved;
    bit<8> flags;
    bit<16> window;
    bit<16> checksum;
    bit<16> urgent;
}

header udp_t {
    bit<16> source_port;
    bit<16> destination_port;
    bit<16> length;
    bit<16> checksum;
}

@controller_header("packet_in") @id(0x04000001)
header answer_t {
    bit<8> verdict;
    bit<8> pad;
    bit<16> reason;
    bit<16> group;
    bit<16> port;
}

@controller_header("packet_out") @id(0x04000002)
header question_t {
    bit<16> ingress;
}

struct headers_t {
    answer_t answer;
    question_t question;
    ethernet_t ethernet;
    tag_t[2] tags;
    ipv4_t ipv4;
    ipv4_options_t ipv4_options;
    ipv6_t ipv6;
    extension_t[4] extensions; // IP6_EXTENSIONS_MAX
    tcp_t tcp;
    udp_t udp;
}

#endif
