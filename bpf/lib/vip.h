/* Is it ours? And if so: is it sane? docs/stages/packet.md, "vip, sanity".
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 */
#ifndef DPU_LIB_VIP_H
#define DPU_LIB_VIP_H

#include "lib/packet.h"
#include "maps/config.h"

/* The same two multiplications as in `dpu_app/targets/packet/vips.py`, which lays the table out. */
#define VIP_HASH_1 0x9e3779b97f4a7c15ull
#define VIP_HASH_2 0xc2b2ae3d27d4eb4full

static __always_inline u32 vip_hash(u64 *address, u8 protocol, __be16 port, u64 seed)
{
	u64 hash = (address[0] * VIP_HASH_1 ^ address[1]) + ((u64)port << 8 | protocol) + seed;

	hash *= VIP_HASH_2;
	hash ^= hash >> 29;
	hash *= VIP_HASH_1;
	return hash >> 40;
}

static __always_inline struct vip_value *vip_of(struct packet *p, u8 protocol, __be16 port)
{
	u64 *address = (u64 *)p->key.destination;
	u32 number = p->bank;
	struct bank *config = bank.lookup(&number);
	struct vip_bucket *bucket;

	if (!config)
		return 0;
	number = p->bank * MAX_VIP_BUCKETS + vip_hash(address, protocol, port, config->vip_seed) % MAX_VIP_BUCKETS;
	bucket = vip.lookup(&number);
	if (!bucket)
		return 0;
#pragma unroll
	for (int way = 0; way < VIP_WAYS; way++) {
		struct vip_entry *entry = &bucket->entry[way];

		if (entry->address[1] == address[1] && entry->address[0] == address[0] && entry->port == port &&
		    entry->protocol == protocol && entry->used)
			return &entry->value;
	}
	return 0;
}

/* For what has no ports to look up: drop with `reason` where the address has a VIP. */
static __always_inline u32 judge_by_address(struct packet *p, u32 reason)
{
	return vip_of(p, 0, 0) ? reason : REASON_PACKET_NOT_VIP;
}

/* Bit n: FIN | SYN << 1 | RST << 2 | ACK << 3 == n is something that a client sends. */
#define FLAGS_LEGAL (1 << 2 | 1 << 8 | 1 << 9 | 1 << 4 | 1 << 12)

static __always_inline u32 sane_tcp(struct packet *p)
{
	u8 *tcp = l4_header(p);
	u32 offset, flags;

	if (tcp + 20 > (u8 *)p->data_end)
		return REASON_PACKET_L4_TRUNCATED;
	offset = (tcp[12] >> 4) * 4;
	if (offset < 20 || offset > p->l4_bytes)
		return REASON_PACKET_TCP_OFFSET;
	p->tcp_flags = tcp[13];
	flags = (tcp[13] & 7) | (tcp[13] & TCP_ACK) >> 1;
	return FLAGS_LEGAL >> flags & 1 ? OK : REASON_PACKET_TCP_FLAGS;
}

static __always_inline u32 sane_udp(struct packet *p)
{
	__be16 *udp = l4_header(p);
	u32 bytes;

	if ((void *)udp + 8 > p->data_end)
		return REASON_PACKET_L4_TRUNCATED;
	bytes = bpf_ntohs(udp[2]);
	return bytes < 8 || bytes > p->l4_bytes ? REASON_PACKET_UDP_LENGTH : OK;
}

static __always_inline bool is_impossible_source(struct packet *p)
{
	u64 *source = (u64 *)p->key.source, *destination = (u64 *)p->key.destination;
	u8 first = p->key.source[IPV4_AT];

	if (source[0] == destination[0] && source[1] == destination[1])
		return true;
	if (p->is_ipv4)
		return first == 0 || first == 127 || first >= 224;
	return p->key.source[0] == 0xff || (!source[0] && (!source[1] || source[1] == bpf_cpu_to_be64(1)));
}

/* OK where the packet is for a VIP and sane. */
static __always_inline u32 look_up_vip(struct packet *p)
{
	struct vip_value *found = vip_of(p, p->key.protocol, p->key.destination_port);

	if (!found)
		return REASON_PACKET_NOT_VIP;
	p->service = found->service;
	p->acl_class = found->acl_class;
	p->metered = found->metered;
	p->steered = found->steered;
	if (is_impossible_source(p))
		return REASON_PACKET_ADDRESS;
	return p->key.protocol == IPPROTO_TCP ? sane_tcp(p) : sane_udp(p);
}

#endif
