// A port and the checksum over it, changed as RFC 1624 says, on v1model.
// SPDX-License-Identifier: Apache-2.0
#ifndef DPU_LIB_REWRITE_P4
#define DPU_LIB_REWRITE_P4

#include "headers.p4"

// RFC 1624, eqn. 3. What the checksum covers beyond the port is neither read nor repaired.
bit<16> checksum_with(in bit<16> checksum, in bit<16> before, in bit<16> after) {
    bit<32> sum = (bit<32>)(~checksum) + (bit<32>)(~before) + (bit<32>)after;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return ~sum[15:0];
}

// UDP's 0 means that there is none (RFC 768), so a sum of 0 is written as its other form.
bit<16> udp_checksum_with(in bit<16> checksum, in bit<16> before, in bit<16> after) {
    bit<16> sum = checksum_with(checksum, before, after);
    return checksum == 0 ? 16w0 : (sum == 0 ? 16w0xffff : sum);
}

control RewriteDestination(inout headers_t headers, in bit<16> port) {
    apply {
        if (headers.tcp.isValid() && headers.tcp.destination_port != port) {
            headers.tcp.checksum = checksum_with(headers.tcp.checksum, headers.tcp.destination_port, port);
            headers.tcp.destination_port = port;
        } else if (headers.udp.isValid() && headers.udp.destination_port != port) {
            headers.udp.checksum = udp_checksum_with(headers.udp.checksum, headers.udp.destination_port, port);
            headers.udp.destination_port = port;
        }
    }
}

control RewriteSource(inout headers_t headers, in bit<16> port) {
    apply {
        if (headers.tcp.isValid() && headers.tcp.source_port != port) {
            headers.tcp.checksum = checksum_with(headers.tcp.checksum, headers.tcp.source_port, port);
            headers.tcp.source_port = port;
        } else if (headers.udp.isValid() && headers.udp.source_port != port) {
            headers.udp.checksum = udp_checksum_with(headers.udp.checksum, headers.udp.source_port, port);
            headers.udp.source_port = port;
        }
    }
}

#endif
