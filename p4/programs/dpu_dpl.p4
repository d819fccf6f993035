// The packet stage in DPL, for BlueField; written from NVIDIA's public pages and never compiled by their compiler.
// SPDX-License-Identifier: Apache-2.0
//
// p4/README.md lists the page of each construct, what is a guess, and what DPL lacks. In short: tables, actions and their
// numbers are those of v1model (lib/), without packet I/O and meters other than bytes; IPv6 extension headers, a third tag
// and lying lengths are what BlueField's own parser makes of them.
#include <doca_model.p4>
#include <doca_headers.p4>
#include <doca_externs.p4>
#include <doca_parser.p4>

#include "../lib/acl.p4"
#include "../lib/epoch.p4"
#include "../lib/programmed.p4"
#include "../lib/reverse.p4"
#include "../lib/sane.p4"
#include "../lib/steer.p4"
#include "../lib/vip.p4"

// P4 port ids; the service's configuration gives them to devices.
const nv_logical_port_t WIRE_PORT = 0;
const nv_logical_port_t HOST_PORT = 1;

struct headers_t {
    NV_FIXED_HEADERS
}

parser Parse(packet_in frame, out headers_t headers) {
    NV_FIXED_PARSER(frame, headers)
}

// From BlueField's headers to what the tables read.
control Describe(inout headers_t headers, inout packet_t packet) {
    @hidden
    action as_ipv4() {
        packet.source = MAPPED ++ headers.ipv4.src_addr;
        packet.destination = MAPPED ++ headers.ipv4.dst_addr;
        packet.l4_bytes = headers.ipv4.total_len - (bit<16>)headers.ipv4.ihl * 4;
    }

    @hidden
    action as_ipv6() {
        packet.is_ipv6 = true;
        packet.source = headers.ipv6.src_addr;
        packet.destination = headers.ipv6.dst_addr;
        packet.l4_bytes = headers.ipv6.payload_len;
    }

    @hidden
    action as_tcp() {
        packet.protocol = PROTOCOL_TCP;
        packet.source_port = headers.tcp.src_port;
        packet.destination_port = headers.tcp.dst_port;
        packet.tcp_offset = headers.tcp.data_offset;
        packet.tcp_flags = headers.tcp.flags;
    }

    @hidden
    action as_udp() {
        packet.protocol = PROTOCOL_UDP;
        packet.source_port = headers.udp.src_port;
        packet.destination_port = headers.udp.dst_port;
        packet.udp_length = headers.udp.length;
    }

    apply {
        if (headers.ipv4.isValid()) {
            as_ipv4();
        } else if (headers.ipv6.isValid()) {
            as_ipv6();
        } else {
            pass_as(packet, REASON_PACKET_NOT_IP);
        }
        if (headers.ipv4.isValid() && headers.ipv4.fragment_offset_mf != 0) {
            packet.reason = REASON_PACKET_FRAGMENT;
        } else if (headers.tcp.isValid()) {
            as_tcp();
        } else if (headers.udp.isValid()) {
            as_udp();
        } else if (headers.ipv4.isValid() && headers.ipv4.protocol == PROTOCOL_ICMP
                   || headers.ipv6.isValid() && headers.ipv6.next_header == PROTOCOL_ICMP6) {
            pass_as(packet, REASON_PACKET_ICMP);
        } else if (packet.verdict == 0) {
            pass_as(packet, REASON_PACKET_NOT_VIP);
        }
    }
}

// Two of the six buckets: what counts packets or connections is refused when a plan is made for this target.
control MeterBytes(inout packet_t packet) {
    @name(".source_bytes") @id(0x14000002)
    NvMeter(METER_CELLS_MAX, NvMeterType.BYTES) source_bytes;
    @name(".service_bytes") @id(0x14000005)
    NvMeter(SERVICES_MAX, NvMeterType.BYTES) service_bytes;
    NvHash(NvHashAlgorithm.CRC32) crc;

    bit<32> cell = 0;

    @name(".meters") @id(0x01000006)
    action meters(bit<32> mask_ipv4, bit<128> mask_ipv6, bit<32> cell_base, bit<32> cells) {
        bit<32> ipv4 = packet.source[31:0] & mask_ipv4;
        bit<128> ipv6 = packet.source & mask_ipv6;
        bit<32> sum = crc.get_hash({ packet.service, ipv4 });
        if (packet.is_ipv6) {
            sum = crc.get_hash({ packet.service, ipv6 });
        }
        // `cells` is a power of two.
        cell = cell_base + (sum & (cells - 1));
    }

    @name(".meter_source") @id(0x02000005)
    table meter_source {
        key = {
            packet.bank: exact @name("bank");
            packet.service: exact @name("service");
        }
        actions = { meters; @defaultonly NoAction; }
        default_action = NoAction();
        size = 128;
    }

    apply {
        if (meter_source.apply().hit) {
            if (source_bytes.execute(cell) != NvMeterColor.GREEN) {
                drop_as(packet, REASON_METER_SOURCE_BYTES);
            } else if (service_bytes.execute((bit<32>)packet.service) != NvMeterColor.GREEN) {
                drop_as(packet, REASON_METER_SERVICE_BYTES);
            }
        }
    }
}

// A frame from the wire: verdict, reason, group.
control Judge(inout headers_t headers, inout packet_t packet) {
    NvHash(NvHashAlgorithm.CRC32) crc;

    apply {
        if (packet.verdict == 0) {
            Vip.apply(packet);
        }
        if (packet.verdict == 0) {
            Sane.apply(packet);
        }
        if (packet.verdict == 0) {
            Acl.apply(packet);
        }
        if (packet.verdict == 0) {
            MeterBytes.apply(packet);
        }
        if (packet.verdict == 0) {
            pass_as(packet, REASON_NONE);
            bit<32> sum;
            if (packet.is_ipv6) {
                sum = crc.get_hash({ packet.source, packet.destination, packet.source_port, packet.destination_port });
            } else {
                sum = crc.get_hash({ packet.source[31:0], packet.destination[31:0],
                                     packet.source_port, packet.destination_port });
            }
            Steer.apply(packet, (bit<16>)(sum & (STEER_BUCKETS - 1)));
            if (packet.group_port != 0 && packet.group_port != packet.destination_port) {
                nv_set_l4_dst_port(headers, packet.group_port);
            }
        }
    }
}

control PacketStage(inout headers_t headers, in nv_standard_metadata_t standard, inout packet_t packet,
                    inout nv_empty_metadata_t to_controller) {
    @name(".reasons") @id(0x12000001)
    NvCounter(REASONS_MAX, NvCounterType.PACKETS_AND_BYTES) reasons;

    apply {
        Epoch.apply(packet);
        Programmed.apply();
        Describe.apply(headers, packet);
        if (standard.ingress_port == HOST_PORT) {
            if (packet.protocol != 0) {
                bit<16> vip_port = packet.source_port;
                Reverse.apply(packet, vip_port);
                if (vip_port != packet.source_port) {
                    nv_set_l4_src_port(headers, vip_port);
                }
            }
            nv_send_to_port(WIRE_PORT);
        } else {
            Judge.apply(headers, packet);
            reasons.count((bit<32>)packet.reason);
            if (packet.verdict == (bit<8>)VERDICT_DROP) {
                nv_drop();
            } else {
                nv_send_to_port(HOST_PORT);
            }
        }
    }
}

NvDocaPipeline(Parse(), PacketStage()) main;
