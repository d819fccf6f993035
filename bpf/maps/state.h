/* Maps that frames write: counters, meters, flows. They outlive every plan, and the agent.
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 */
#ifndef DPU_MAPS_STATE_H
#define DPU_MAPS_STATE_H

#include "gen/packet.h"
#include "maps/define.h"

struct counter {
	u64 packets;
	u64 bytes;
};

/* By reason: frames in = sum over reasons. */
DPU_MAP("percpu_array", u32, struct counter, reasons, REASONS_MAX, 0);

/* Things that are counted and are not reasons. */
#define EVENT_RECORD_LOST 0 /* the ring buffer was full */
#define EVENT_FLOW_OPENED 1
#define EVENT_FLOW_FULL 2
#define EVENT_FLOW_CLOSED 3
#define EVENT_METER_BUSY 4 /* a cell stayed locked: the frame went unmetered */
#define EVENTS_MAX 8
DPU_MAP("percpu_array", u32, u64, events, EVENTS_MAX, 0);

/* The buckets of one cell. Counted from full downwards, so that a cell of zeros is full. */
struct meter_cell {
#ifdef DPU_SPIN_LOCK
	struct bpf_spin_lock lock;
	u32 pad_lock;
#else
	u64 lock; /* 1 while somebody counts here */
#endif
	u64 last_ns;
	u64 missing_nano[3];
	u64 pad[3]; /* to a cache line: an array that can be memory-mapped begins with a page */
};

#ifdef DPU_SPIN_LOCK
#define CELL_FLAGS 0 /* what holds a lock of the kernel cannot be memory-mapped */
#else
#define CELL_FLAGS BPF_F_MMAPABLE
#endif
DPU_MAP("array", u32, struct meter_cell, source_cells, MAX_METER_CELLS, CELL_FLAGS);
DPU_MAP("array", u32, struct meter_cell, service_cells, SERVICES_MAX, CELL_FLAGS);

DPU_MAP("hash", struct flow_key, struct flow_value, flow, MAX_FLOWS, 0);

/* Group of a SYN that our stack answered: what the first ACK is pinned to, should the weights move in between. */
DPU_MAP("lru_hash", struct flow_key, struct steer_value, flow_pending, MAX_PENDING, 0);

struct records_table_t {
	int key;
	u32 leaf;
	int (*ringbuf_output)(void *, u64, u64);
	void *(*ringbuf_reserve)(u64);
	void (*ringbuf_discard)(void *, u64);
	void (*ringbuf_submit)(void *, u64);
	u32 max_entries;
};
__attribute__((section("maps/ringbuf" PIN_records)))
struct records_table_t records = { .max_entries = RECORDS_BYTES };

#ifdef DPU_REPLAY
DPU_MAP("array", u32, struct replay_io, replay_io, 1, BPF_F_MMAPABLE);
#endif

#endif
