/* Token buckets of source prefixes and services: exact, in 10^-9 tokens.
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 */
#ifndef DPU_LIB_METER_H
#define DPU_LIB_METER_H

#include "lib/count.h"
#include "lib/crc32.h"
#include "lib/packet.h"
#include "maps/state.h"

#define NANO 1000000000ull
#define SOURCE_BUCKETS 0
#define SERVICE_BUCKETS 3
#define BUCKETS_OF_A_CELL 3

static __always_inline bool opens_connection(struct packet *p)
{
	return p->key.protocol == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* How much is missing from a bucket after `idle_ns`. No product overflows: per_s * full_after_ns is at most a burst. */
static __always_inline u64 refilled(u64 missing, struct meter_bucket *bucket, u64 idle_ns)
{
	u64 gained;

	if (idle_ns >= bucket->full_after_ns)
		return 0;
	gained = idle_ns * bucket->per_s;
	return gained >= missing ? 0 : missing - gained;
}

/* A lock of one word: bpf_spin_lock is two calls, and a call costs several times what is done under it. Who holds it
 * runs a dozen instructions with preemption off, so that it is free again after a few tries; a frame that does not get
 * it goes unmetered and is counted, since dropping it would punish whom the meter protects.
 */
#define LOCK_TRIES 64

#ifdef DPU_SPIN_LOCK
/* Kernels whose JIT has no compare-and-swap (arm64 before 5.18). */
#define lock(cell) (bpf_spin_lock(&(cell)->lock), true)
#define unlock(cell) bpf_spin_unlock(&(cell)->lock)
#else
static __always_inline bool lock(struct meter_cell *cell)
{
	for (u32 i = 0; i < LOCK_TRIES; i++)
		if (!__sync_val_compare_and_swap(&cell->lock, 0, 1))
			return true;
	count_event(EVENT_METER_BUSY);
	return false;
}

static __always_inline void unlock(struct meter_cell *cell)
{
#ifdef DPU_STRONG_ORDER
	/* Stores are seen in their order (x86): the compiler must keep it too, and nothing else is needed. */
	asm volatile("" ::: "memory");
	*(volatile u64 *)&cell->lock = 0;
#else
	__sync_val_compare_and_swap(&cell->lock, 1, 0);
#endif
}
#endif

/* Takes what the frame costs from the three buckets of a cell in turn; 0, or 1 + the bucket that refuses.
 * What the ones before took stays taken. The lock makes it exact when cores share a cell.
 */
static __always_inline u32 take(struct meter_cell *cell, struct meter_config *config, u32 first, u64 *cost, u64 now)
{
	u64 idle_ns, missing;
	u32 refused = 0;

	if (!lock(cell))
		return 0;
	idle_ns = now > cell->last_ns ? now - cell->last_ns : 0;
	if (now > cell->last_ns)
		cell->last_ns = now;
#pragma unroll
	for (u32 i = 0; i < BUCKETS_OF_A_CELL; i++) {
		if (!(config->buckets >> (first + i) & 1))
			continue;
		missing = refilled(cell->missing_nano[i], &config->bucket[first + i], idle_ns);
		if (!refused && cost[i]) {
			if (missing + cost[i] > config->bucket[first + i].burst_nano)
				refused = i + 1;
			else
				missing += cost[i];
		}
		cell->missing_nano[i] = missing;
	}
	unlock(cell);
	return refused;
}

static __always_inline u32 source_cell(struct packet *p, struct meter_config *config)
{
	struct crc_tables *t = crc_of();
	u64 masked[2];
	u32 state;

	if (!t)
		return config->cell_base;
	__builtin_memcpy(masked, p->key.source, 16);
	if (p->is_ipv4) {
		((u32 *)masked)[3] &= config->mask_ipv4;
	} else {
		masked[0] &= config->mask_ipv6[0];
		masked[1] &= config->mask_ipv6[1];
	}
	state = crc_half(t, CRC_BEGIN, bpf_htons(p->service));
	state = crc_address(t, state, (u8 *)masked, p->is_ipv4);
	return config->cell_base + (~state & config->cell_mask);
}

/* What a frame is metered with; `cell` is its source's, 0 where sources are not. */
struct meters {
	struct meter_config *config;
	struct meter_cell *cell;
};

/* Finds the meters and begins to load the source's cell. The lock that is taken later waits for everything before it, so
 * what is loaded from here to there (the flow) comes out of memory at the same time.
 */
static __always_inline void find_meters(struct packet *p, struct meters *m)
{
	u32 index = p->bank * SERVICES_MAX + p->service;

	m->config = 0;
	m->cell = 0;
	if (!p->metered)
		return;
	m->config = meter_source.lookup(&index);
	if (!m->config || !(m->config->buckets & 7))
		return;
	index = source_cell(p, m->config);
	m->cell = source_cells.lookup(&index);
	if (m->cell)
		(void)*(volatile u64 *)&m->cell->last_ns;
}

static __always_inline u32 check_meters(struct packet *p, struct meters *m)
{
	u64 cost[BUCKETS_OF_A_CELL] = { NANO, p->bytes * NANO, opens_connection(p) ? NANO : 0 };
	struct meter_config *config = m->config;
	u32 service = p->service, refused;
	struct meter_cell *cell = m->cell;

	if (!config)
		return OK;
	if (cell) {
		refused = take(cell, config, SOURCE_BUCKETS, cost, p->now_ns);
		if (refused)
			return REASON_METER_SOURCE_PACKETS + refused - 1;
	}
	if (config->buckets & 7 << SERVICE_BUCKETS) {
		cell = service_cells.lookup(&service);
		refused = cell ? take(cell, config, SERVICE_BUCKETS, cost, p->now_ns) : 0;
		if (refused)
			return REASON_METER_SERVICE_PACKETS + refused - 1;
	}
	return OK;
}

#endif
