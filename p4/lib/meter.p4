// Six token buckets of v1model, asked one after the other; the first that is empty ends the frame.
// SPDX-License-Identifier: Apache-2.0
#ifndef DPU_LIB_METER_P4
#define DPU_LIB_METER_P4

#include "packet.p4"

// Whoever sets a bucket sets committed and peak alike, so red and yellow are one: not all of the tokens were there.
const bit<2> GREEN = 0;

control Meter(inout packet_t packet) {
    @name(".source_packets") @id(0x14000001)
    meter<bit<32>>(METER_CELLS_MAX, MeterType.packets) source_packets;
    @name(".source_bytes") @id(0x14000002)
    meter<bit<32>>(METER_CELLS_MAX, MeterType.bytes) source_bytes;
    @name(".source_connections") @id(0x14000003)
    meter<bit<32>>(METER_CELLS_MAX, MeterType.packets) source_connections;
    @name(".service_packets") @id(0x14000004)
    meter<bit<32>>(SERVICES_MAX, MeterType.packets) service_packets;
    @name(".service_bytes") @id(0x14000005)
    meter<bit<32>>(SERVICES_MAX, MeterType.bytes) service_bytes;
    @name(".service_connections") @id(0x14000006)
    meter<bit<32>>(SERVICES_MAX, MeterType.packets) service_connections;

    bit<32> base = 0;
    bit<32> count = 0;
    bit<32> ipv4 = 0;
    bit<128> ipv6 = 0;

    @name(".meters") @id(0x01000006)
    action meters(bit<32> mask_ipv4, bit<128> mask_ipv6, bit<32> cell_base, bit<32> cells) {
        base = cell_base;
        count = cells;
        ipv4 = packet.source[31:0] & mask_ipv4;
        ipv6 = packet.source & mask_ipv6;
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
        if (!meter_source.apply().hit) {
            return;
        }
        bit<32> cell;
        if (packet.is_ipv6) {
            hash(cell, HashAlgorithm.crc32, base, { packet.service, ipv6 }, count);
        } else {
            hash(cell, HashAlgorithm.crc32, base, { packet.service, ipv4 }, count);
        }
        bit<32> service = (bit<32>)packet.service;
        bool is_connection = packet.protocol == PROTOCOL_TCP
            && packet.tcp_flags & (bit<8>)(TCP_SYN | TCP_ACK) == (bit<8>)TCP_SYN;
        bit<2> color = GREEN;
        bit<16> reason = REASON_METER_SOURCE_PACKETS;
        source_packets.execute_meter(cell, color);
        if (color == GREEN) {
            reason = REASON_METER_SOURCE_BYTES;
            source_bytes.execute_meter(cell, color);
        }
        if (color == GREEN && is_connection) {
            reason = REASON_METER_SOURCE_CONNECTIONS;
            source_connections.execute_meter(cell, color);
        }
        if (color == GREEN) {
            reason = REASON_METER_SERVICE_PACKETS;
            service_packets.execute_meter(service, color);
        }
        if (color == GREEN) {
            reason = REASON_METER_SERVICE_BYTES;
            service_bytes.execute_meter(service, color);
        }
        if (color == GREEN && is_connection) {
            reason = REASON_METER_SERVICE_CONNECTIONS;
            service_connections.execute_meter(service, color);
        }
        if (color != GREEN) {
            drop_as(packet, reason);
        }
    }
}

#endif
