// Which frames are ours: destination address, protocol and port to a service.
// SPDX-License-Identifier: Apache-2.0
#ifndef DPU_LIB_VIP_P4
#define DPU_LIB_VIP_P4

#include "packet.p4"

// A frame that the parser found fault with has protocol 0 and port 0 here: the entry that says "an address of ours".
// So one lookup answers both questions, and BlueField needs no second copy of the table.
control Vip(inout packet_t packet) {
    @name(".service") @id(0x01000003)
    action service(bit<16> id) {
        packet.service = id;
    }

    @name(".vip") @id(0x02000003)
    table vip {
        key = {
            packet.bank: exact @name("bank");
            packet.destination: exact @name("address");
            packet.protocol: exact @name("protocol");
            packet.destination_port: exact @name("port");
        }
        actions = { service; @defaultonly NoAction; }
        default_action = NoAction();
        size = 4096;
    }

    apply {
        if (!vip.apply().hit) {
            pass_as(packet, REASON_PACKET_NOT_VIP);
        } else if (packet.reason != REASON_NONE) {
            drop_as(packet, packet.reason);
        }
    }
}

#endif
