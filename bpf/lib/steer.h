/* The listener group of a bucket, and the rewrite of the destination port.
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 */
#ifndef DPU_LIB_STEER_H
#define DPU_LIB_STEER_H

#include "lib/crc32.h"
#include "lib/packet.h"

static __always_inline u32 steer_bucket(struct packet *p)
{
	struct crc_tables *t = crc_of();
	u32 state;

	if (!t)
		return 0;
	state = crc_address(t, CRC_BEGIN, p->key.source, p->is_ipv4);
	state = crc_address(t, state, p->key.destination, p->is_ipv4);
	state = crc_word(t, state, (u32)p->key.destination_port << 16 | p->key.source_port);
	return ~state % STEER_BUCKETS;
}

static __always_inline void steer_by_bucket(struct packet *p)
{
	u32 index = p->bank * SERVICES_MAX + p->service, bucket;
	struct steer_buckets *found;

	if (!p->steered)
		return;
	found = steer.lookup(&index);
	if (!found)
		return;
	bucket = steer_bucket(p);
	p->group = found->bucket[bucket].group;
	p->port = found->bucket[bucket].port;
}

/* RFC 1624, eqn. 3: the sum after one of its 16-bit words became another one. */
static __always_inline u16 sum_after(u16 sum, u16 old, u16 new)
{
	u32 next = (u16)~sum + (u16)~old + (u32)new;

	next = (next & 0xffff) + (next >> 16);
	next = (next & 0xffff) + (next >> 16);
	return ~next;
}

/* Writes the group's port over the destination port. */
static __always_inline void rewrite_port(struct packet *p)
{
	u16 *header = l4_header(p);

	if (!p->port || p->port == p->key.destination_port)
		return;
	if (p->key.protocol == IPPROTO_TCP) {
		if ((void *)header + 18 > p->data_end)
			return;
		header[8] = sum_after(header[8], header[1], p->port);
	} else {
		if ((void *)header + 8 > p->data_end)
			return;
		/* 0 is "no checksum" and stays; a sum of 0 is written as its other form. */
		if (header[3])
			header[3] = sum_after(header[3], header[1], p->port) ?: 0xffff;
	}
	header[1] = p->port;
}

#endif
