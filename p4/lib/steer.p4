// Hash bucket of a flow to the listener group that takes it.
// SPDX-License-Identifier: Apache-2.0
#ifndef DPU_LIB_STEER_P4
#define DPU_LIB_STEER_P4

#include "packet.p4"

// The hash is the architecture's, so the main brings the bucket.
control Steer(inout packet_t packet, in bit<16> bucket) {
    @name(".listener_group") @id(0x01000007)
    action listener_group(bit<16> id, bit<16> port) {
        packet.group = id;
        packet.group_port = port;
    }

    @name(".steer") @id(0x02000006)
    table steer {
        key = {
            packet.bank: exact @name("bank");
            packet.service: exact @name("service");
            bucket: exact @name("bucket");
        }
        actions = { listener_group; @defaultonly NoAction; }
        default_action = NoAction();
        size = 131072;
    }

    apply {
        steer.apply();
    }
}

#endif
