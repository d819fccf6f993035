// What the stages tell each other about one frame; both mains have it.
// SPDX-License-Identifier: Apache-2.0
#ifndef DPU_LIB_PACKET_P4
#define DPU_LIB_PACKET_P4

#include "../gen/packet.p4"

const bit<8> PROTOCOL_ICMP = 1;
const bit<8> PROTOCOL_TCP = 6;
const bit<8> PROTOCOL_UDP = 17;
const bit<8> PROTOCOL_ICMP6 = 58;

// The first 96 bits of ::ffff:0:0/96, in which IPv4 addresses are keys.
const bit<96> MAPPED = 0xffff;

struct packet_t {
    bit<1> bank;
    bit<8> verdict; // 0 until it is decided
    bit<16> reason; // with a verdict of 0: the reason to drop with if the address is a VIP's
    bit<16> service;
    bit<16> group;
    bit<16> group_port; // 0 where nothing was steered
    bool is_ipv6;
    bit<128> source;
    bit<128> destination;
    bit<8> protocol; // 0, like the ports, where no whole TCP or UDP header was found
    bit<16> source_port;
    bit<16> destination_port;
    bit<16> l4_bytes; // that the IP length leaves for TCP or UDP and what they carry
    bit<4> tcp_offset;
    bit<8> tcp_flags;
    bit<16> udp_length;
}

void pass_as(inout packet_t packet, in bit<16> reason) {
    packet.verdict = (bit<8>)VERDICT_PASS;
    packet.reason = reason;
}

void drop_as(inout packet_t packet, in bit<16> reason) {
    packet.verdict = (bit<8>)VERDICT_DROP;
    packet.reason = reason;
}

#endif
