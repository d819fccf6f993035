// Which bank holds.
// SPDX-License-Identifier: Apache-2.0
#ifndef DPU_LIB_EPOCH_P4
#define DPU_LIB_EPOCH_P4

#include "packet.p4"

control Epoch(inout packet_t packet) {
    @name(".set_epoch") @id(0x01000001)
    action set_epoch(bit<1> bank) {
        packet.bank = bank;
    }

    @name(".set_epoch") @id(0x02000001)
    table active {
        actions = { set_epoch; }
        default_action = set_epoch(0);
        size = 1;
    }

    apply {
        active.apply();
    }
}

#endif
