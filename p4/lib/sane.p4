// What no honest client sends to a VIP.
// SPDX-License-Identifier: Apache-2.0
#ifndef DPU_LIB_SANE_P4
#define DPU_LIB_SANE_P4

#include "packet.p4"

const bit<8> TCP_JUDGED = (bit<8>)(TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK);

control Sane(inout packet_t packet) {
    apply {
        bit<8> first = packet.source[31:24];
        if (packet.is_ipv6) {
            first = packet.source[127:120];
        }
        bit<8> flags = packet.tcp_flags & TCP_JUDGED;
        if (packet.source == packet.destination) {
            drop_as(packet, REASON_PACKET_ADDRESS);
        } else if (packet.is_ipv6 && (first == 0xff || packet.source <= 1)) {
            drop_as(packet, REASON_PACKET_ADDRESS);
        } else if (!packet.is_ipv6 && (first == 0 || first == 127 || first >= 224)) {
            drop_as(packet, REASON_PACKET_ADDRESS);
        } else if (packet.protocol == PROTOCOL_TCP) {
            if (packet.tcp_offset < 5 || (bit<16>)packet.tcp_offset * 4 > packet.l4_bytes) {
                drop_as(packet, REASON_PACKET_TCP_OFFSET);
            } else if (flags != (bit<8>)TCP_SYN && flags != (bit<8>)TCP_ACK && flags != (bit<8>)(TCP_FIN | TCP_ACK)
                       && flags != (bit<8>)TCP_RST && flags != (bit<8>)(TCP_RST | TCP_ACK)) {
                drop_as(packet, REASON_PACKET_TCP_FLAGS);
            }
        } else if (packet.udp_length < 8 || packet.udp_length > packet.l4_bytes) {
            drop_as(packet, REASON_PACKET_UDP_LENGTH);
        }
    }
}

#endif
