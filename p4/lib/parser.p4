// Frame to headers on v1model; a parser error is the reason, and the declared order is the order of the checks.
// SPDX-License-Identifier: Apache-2.0
#ifndef DPU_LIB_PARSER_P4
#define DPU_LIB_PARSER_P4

#include "headers.p4"
#include "packet.p4"

// Beside PacketTooShort, which is packet_truncated.
error {
    Truncated,
    VlanDepth,
    IpVersion,
    IpHeaderLength,
    IpLength,
    Address,
    Fragment,
    Extensions,
    L4Truncated,
    Icmp // no fault, but it ends the parse
}

struct meta_t {
    packet_t packet;
    bit<8> next_header; // of IPv6, of the header that comes next
    bit<8> extensions; // of IPv6 that were read
    bit<32> left; // bytes of the frame, then of the IP length, that were not read yet
    @field_list(1)
    bit<1> is_question; // came as packet-out
    @field_list(1)
    bit<16> ingress; // what the packet-out says
}

parser Parse(packet_in frame, out headers_t headers, inout meta_t meta, inout standard_metadata_t standard) {
    state start {
        transition select(standard.ingress_port) {
            CPU_PORT: question;
            default: ethernet;
        }
    }

    // Only takes the header off; the frame itself comes round again (see ToPort).
    state question {
        frame.extract(headers.question);
        transition accept;
    }

    state ethernet {
        meta.left = standard.packet_length - 14;
        frame.extract(headers.ethernet);
        transition select(headers.ethernet.type) {
            TYPE_VLAN: tag;
            TYPE_QINQ: tag;
            TYPE_IPV4: ipv4;
            TYPE_IPV6: ipv6;
            default: accept;
        }
    }

    state tag {
        meta.left = meta.left - 4;
        frame.extract(headers.tags[0]);
        transition select(headers.tags[0].type) {
            TYPE_VLAN: second_tag;
            TYPE_QINQ: second_tag;
            TYPE_IPV4: ipv4;
            TYPE_IPV6: ipv6;
            default: accept;
        }
    }

    state second_tag {
        meta.left = meta.left - 4;
        frame.extract(headers.tags[1]);
        transition select(headers.tags[1].type) {
            TYPE_VLAN: third_tag;
            TYPE_QINQ: third_tag;
            TYPE_IPV4: ipv4;
            TYPE_IPV6: ipv6;
            default: accept;
        }
    }

    state third_tag {
        verify(false, error.VlanDepth);
        transition accept;
    }

    state ipv4 {
        frame.extract(headers.ipv4);
        verify(headers.ipv4.version == 4, error.IpVersion);
        verify(headers.ipv4.words >= 5, error.IpHeaderLength);
        bit<32> header_bytes = (bit<32>)headers.ipv4.words * 4;
        bit<32> total_bytes = (bit<32>)headers.ipv4.total_length;
        verify(total_bytes >= header_bytes && total_bytes <= meta.left, error.IpLength);
        meta.left = total_bytes - header_bytes;
        meta.packet.source = MAPPED ++ headers.ipv4.source;
        meta.packet.destination = MAPPED ++ headers.ipv4.destination;
        verify(headers.ipv4.fragment == 0, error.Fragment);
        frame.extract(headers.ipv4_options, (header_bytes - 20) * 8);
        transition select(headers.ipv4.protocol) {
            PROTOCOL_TCP: tcp;
            PROTOCOL_UDP: udp;
            PROTOCOL_ICMP: icmp;
            default: accept;
        }
    }

    state ipv6 {
        frame.extract(headers.ipv6);
        verify(headers.ipv6.version == 6, error.IpVersion);
        verify((bit<32>)headers.ipv6.payload_length + 40 <= meta.left, error.IpLength);
        meta.left = (bit<32>)headers.ipv6.payload_length;
        meta.packet.is_ipv6 = true;
        meta.packet.source = headers.ipv6.source;
        meta.packet.destination = headers.ipv6.destination;
        verify(headers.ipv6.source[127:32] != MAPPED && headers.ipv6.destination[127:32] != MAPPED, error.Address);
        meta.next_header = headers.ipv6.next_header;
        transition ipv6_next;
    }

    state ipv6_next {
        transition select(meta.next_header) {
            0: extension;
            43: extension;
            44: extension;
            60: extension;
            PROTOCOL_TCP: tcp;
            PROTOCOL_UDP: udp;
            PROTOCOL_ICMP6: icmp;
            default: accept;
        }
    }

    state extension {
        verify(meta.extensions < (bit<8>)IP6_EXTENSIONS_MAX, error.Extensions);
        verify(meta.left >= 8, error.Truncated);
        bit<32> ahead = frame.lookahead<bit<32>>();
        bool is_fragment = meta.next_header == 44;
        bit<32> size = is_fragment ? 32w8 : ((bit<32>)ahead[23:16] + 1) * 8;
        verify(size <= meta.left, error.Truncated);
        // Offset above 0 or M set; the two bits between them are reserved.
        verify(!is_fragment || (ahead[15:0] & 0xfff9) == 0, error.Fragment);
        meta.extensions = meta.extensions + 1;
        meta.left = meta.left - size;
        meta.next_header = ahead[31:24];
        frame.extract(headers.extensions.next, size * 8 - 32);
        transition ipv6_next;
    }

    state icmp {
        verify(false, error.Icmp);
        transition accept;
    }

    state tcp {
        verify(meta.left >= 20, error.L4Truncated);
        frame.extract(headers.tcp);
        meta.packet.l4_bytes = (bit<16>)meta.left;
        meta.packet.protocol = PROTOCOL_TCP;
        meta.packet.source_port = headers.tcp.source_port;
        meta.packet.destination_port = headers.tcp.destination_port;
        meta.packet.tcp_offset = headers.tcp.offset;
        meta.packet.tcp_flags = headers.tcp.flags;
        transition accept;
    }

    state udp {
        verify(meta.left >= 8, error.L4Truncated);
        frame.extract(headers.udp);
        meta.packet.l4_bytes = (bit<16>)meta.left;
        meta.packet.protocol = PROTOCOL_UDP;
        meta.packet.source_port = headers.udp.source_port;
        meta.packet.destination_port = headers.udp.destination_port;
        meta.packet.udp_length = headers.udp.length;
        transition accept;
    }
}

#endif
