// What v1model's parser found, as a verdict and a reason.
// SPDX-License-Identifier: Apache-2.0
#ifndef DPU_LIB_CLASSIFY_P4
#define DPU_LIB_CLASSIFY_P4

#include "parser.p4"

// A reason without a verdict: the vip table decides. Ours are dropped with it, those of others pass.
control Classify(in headers_t headers, inout packet_t packet, in error problem) {
    apply {
        if (problem == error.NoError) {
            if (!headers.ipv4.isValid() && !headers.ipv6.isValid()) {
                pass_as(packet, REASON_PACKET_NOT_IP);
            } else if (!headers.tcp.isValid() && !headers.udp.isValid()) {
                pass_as(packet, REASON_PACKET_NOT_VIP);
            }
        } else if (problem == error.VlanDepth) {
            drop_as(packet, REASON_PACKET_VLAN_DEPTH);
        } else if (problem == error.IpVersion) {
            drop_as(packet, REASON_PACKET_IP_VERSION);
        } else if (problem == error.IpHeaderLength) {
            drop_as(packet, REASON_PACKET_IP_HEADER_LENGTH);
        } else if (problem == error.IpLength) {
            drop_as(packet, REASON_PACKET_IP_LENGTH);
        } else if (problem == error.Address) {
            drop_as(packet, REASON_PACKET_ADDRESS);
        } else if (problem == error.Icmp) {
            pass_as(packet, REASON_PACKET_ICMP);
        } else if (problem == error.Fragment) {
            packet.reason = REASON_PACKET_FRAGMENT;
        } else if (problem == error.Extensions) {
            packet.reason = REASON_PACKET_IP6_EXTENSIONS;
        } else if (problem == error.L4Truncated) {
            packet.reason = REASON_PACKET_L4_TRUNCATED;
        } else {
            // Truncated, and PacketTooShort of the architecture's own extract.
            drop_as(packet, REASON_PACKET_TRUNCATED);
        }
    }
}

#endif
