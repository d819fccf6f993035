// The way back: the source port of an answer to the port that the client knows.
// SPDX-License-Identifier: Apache-2.0
#ifndef DPU_LIB_REVERSE_P4
#define DPU_LIB_REVERSE_P4

#include "packet.p4"

control Reverse(in packet_t packet, inout bit<16> vip_port) {
    @name(".from_vip") @id(0x01000008)
    action from_vip(bit<16> port) {
        vip_port = port;
    }

    @name(".reverse") @id(0x02000007)
    table reverse {
        key = {
            packet.bank: exact @name("bank");
            packet.source: exact @name("address");
            packet.protocol: exact @name("protocol");
            packet.source_port: exact @name("port");
        }
        actions = { from_vip; @defaultonly NoAction; }
        default_action = NoAction();
        size = 131072;
    }

    apply {
        reverse.apply();
    }
}

#endif
