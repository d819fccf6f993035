// Our declaration of DPL's pipeline, so that p4test can read programs/dpu_dpl.p4: from NVIDIA's pages, not their file.
// SPDX-License-Identifier: Apache-2.0
#ifndef DOCA_MODEL_P4
#define DOCA_MODEL_P4
#include <core.p4>

typedef bit<32> nv_logical_port_t;

// Only what their examples read.
struct nv_standard_metadata_t {
    nv_logical_port_t ingress_port;
}

struct nv_empty_metadata_t {}

parser NvDocaParser<HEADERS>(packet_in packet, out HEADERS headers);
control NvDocaMainControl<HEADERS, USER, PACKET_OUT>(inout HEADERS headers, in nv_standard_metadata_t std_meta,
                                                      inout USER user_meta, inout PACKET_OUT pkt_out_meta);
package NvDocaPipeline<HEADERS, USER, PACKET_OUT>(NvDocaParser<HEADERS> parse,
                                                  NvDocaMainControl<HEADERS, USER, PACKET_OUT> main_control);
#endif
