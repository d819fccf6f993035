// Which bank holds, and what the controller says of itself.
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

    // A controller that comes back reads here what it wrote last; no packet looks at it.
    @name(".programmed") @id(0x01000002) @noWarn("unused")
    action programmed_by(bit<64> revision, bit<64> epoch, @name("digest") bit<256> content) {}

    @name(".programmed") @id(0x02000002)
    table programmed {
        actions = { programmed_by; }
        default_action = programmed_by(0, 0, 0);
        size = 1;
    }

    apply {
        active.apply();
        programmed.apply();
    }
}

#endif
