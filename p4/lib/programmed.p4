// What the controller says of itself: it reads here, when it comes back, what it wrote last.
// SPDX-License-Identifier: Apache-2.0
#ifndef DPU_LIB_PROGRAMMED_P4
#define DPU_LIB_PROGRAMMED_P4

// No frame looks at it; it is applied because a table that is not has no place in P4Info.
control Programmed() {
    @name(".programmed") @id(0x01000002) @noWarn("unused")
    action programmed_by(bit<64> revision, bit<64> epoch, @name("digest") bit<256> content) {}

    @name(".programmed") @id(0x02000002)
    table programmed {
        actions = { programmed_by; }
        default_action = programmed_by(0, 0, 0);
        size = 1;
    }

    apply {
        programmed.apply();
    }
}

#endif
