// Who may send to a service.
// SPDX-License-Identifier: Apache-2.0
#ifndef DPU_LIB_ACL_P4
#define DPU_LIB_ACL_P4

#include "packet.p4"

// Longest prefix first, then the specific port: whoever writes an entry says so by its priority.
control Acl(inout packet_t packet) {
    @name(".permit") @id(0x01000004)
    action permit() {}

    @name(".deny") @id(0x01000005)
    action deny(bit<16> reason) {
        drop_as(packet, reason);
    }

    @name(".acl") @id(0x02000004)
    table acl {
        key = {
            packet.bank: exact @name("bank");
            packet.service: exact @name("service");
            packet.source: ternary @name("source");
            packet.destination_port: ternary @name("port");
        }
        actions = { permit; deny; @defaultonly NoAction; }
        default_action = NoAction();
        size = 524288;
    }

    apply {
        acl.apply();
    }
}

#endif
