/* Maps that the agent writes and frames read: the banks of the tables. Sizes come from the desired state (MAX_*).
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 */
#ifndef DPU_MAPS_CONFIG_H
#define DPU_MAPS_CONFIG_H

#include "gen/packet.h"
#include "maps/define.h"

#define BANKS 2

/* The one word that a frame reads first: epoch << 1 | bank. A single aligned 8-byte store flips it. */
DPU_MAP("array", u32, u64, epoch, 1, 0);

struct vip_value {
	u16 service;
	u16 acl_class; /* 0: no ACL entry can apply; entries with ports make one class for each port of the service */
	u8 metered;
	u8 steered;
	u16 pad;
};

/* VIPs in a hash table of our own, laid out by the agent: an array is looked into without a call, and a call costs more
 * here than everything else that is done to find a VIP. The seed is one that leaves no bucket with too many.
 */
struct vip_entry {
	u64 address[2]; /* network order */
	__be16 port; /* 0 with protocol 0: the address has a VIP */
	u8 protocol;
	u8 used;
	u32 pad;
	struct vip_value value;
};

#define VIP_WAYS 4
struct vip_bucket {
	struct vip_entry entry[VIP_WAYS];
};

DPU_MAP("array", u32, struct vip_bucket, vip, BANKS * MAX_VIP_BUCKETS, BPF_F_MMAPABLE);

/* What a bank needs besides its tables. */
struct bank {
	u64 vip_seed;
};

DPU_MAP("array", u32, struct bank, bank, BANKS, BPF_F_MMAPABLE);

/* ACL for IPv4: a trie of 8 + 8, 8 and 8 bits in blocks of 256 cells, leaves pushed down, so that three loads decide at
 * most. A cell is ACL_BLOCK | number of a block, or the reason to drop with, 0 to permit. A class begins with its 256
 * blocks of the first 16 bits. The LPM trie of the kernel takes 64 to 75 ns for the same answer.
 */
#define ACL_BLOCK 0x80000000u
struct acl4_block {
	u32 cell[256];
};

DPU_MAP("array", u32, struct acl4_block, acl4, BANKS * MAX_ACL_BLOCKS, BPF_F_MMAPABLE);

struct acl6_key {
	u32 prefix_length; /* in bits, of all that follows: 32 + the prefix */
	u16 class;
	u8 bank;
	u8 pad;
	u8 address[16];
};

DPU_MAP("lpm_trie", struct acl6_key, u32, acl6, MAX_ACL6, BPF_F_NO_PREALLOC);

/* A bucket is counted in 10^-9 tokens: `per_s` tokens a second are `per_s` of these a nanosecond, so nothing is rounded. */
struct meter_bucket {
	u64 per_s;
	u64 burst_nano;
	u64 full_after_ns; /* an idle time after which any bucket is full; ~0 where it never is */
};

struct meter_config {
	u64 mask_ipv6[2]; /* network order */
	u32 mask_ipv4; /* network order */
	u32 cell_base;
	u32 cell_mask;
	u32 buckets; /* bit n: bucket n applies */
	struct meter_bucket bucket[6];
};

DPU_MAP("array", u32, struct meter_config, meter_source, BANKS * SERVICES_MAX, BPF_F_MMAPABLE);

struct steer_value {
	u16 group; /* 0: nothing is steered here */
	__be16 port;
};

struct steer_buckets {
	struct steer_value bucket[STEER_BUCKETS];
};

DPU_MAP("array", u32, struct steer_buckets, steer, BANKS * SERVICES_MAX, BPF_F_MMAPABLE);

struct reverse_key {
	u8 address[16];
	__be16 port;
	u8 protocol;
	u8 pad;
};

struct reverse_value {
	__be16 vip_port;
	u16 group;
};

/* Both banks at once: a connection that was pinned two plans ago still answers. The agent removes what no flow needs. */
DPU_MAP("hash", struct reverse_key, struct reverse_value, reverse, MAX_REVERSE, 0);

/* What the agent says of itself, for the agent that comes after it. No program reads it. */
struct programmed {
	u64 revision;
	u64 epoch;
	u8 digest[32]; /* of the plan */
	u8 content[32]; /* of the tables of the active bank, as they were read back */
};

DPU_MAP("array", u32, struct programmed, programmed, 1, 0);

/* CRC-32 four bytes at a time; filled by the loader. */
struct crc_tables {
	u32 word[4][256];
};

DPU_MAP("array", u32, struct crc_tables, crc, 1, 0);

#endif
