// Our declaration of DPL's externs. NvMeter's methods and the name of NvHash's are guesses; p4/README.md says which page has what.
// SPDX-License-Identifier: Apache-2.0
#ifndef DOCA_EXTERNS_P4
#define DOCA_EXTERNS_P4
enum NvCounterType { PACKETS, BYTES, PACKETS_AND_BYTES }
enum NvMeterType { PACKETS, BYTES }
enum NvMeterColor { GREEN, YELLOW, RED }
enum NvHashAlgorithm { CRC32 }

extern NvCounter {
    NvCounter(bit<32> size, NvCounterType type);
    void count(in bit<32> index);
}

extern NvMeter {
    NvMeter(bit<32> size, NvMeterType type);
    NvMeterColor execute(in bit<32> index);
}

extern NvHash {
    NvHash(NvHashAlgorithm algorithm);
    bit<32> get_hash<T>(in T data);
}

extern void nv_drop();
extern void nv_send_to_port(in nv_logical_port_t port);
extern void nv_set_l4_dst_port<HEADERS>(inout HEADERS headers, in bit<16> port);
extern void nv_set_l4_src_port<HEADERS>(inout HEADERS headers, in bit<16> port);
#endif
