/* The flow table: pins a flow to its listener group and counts it.
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 */
#ifndef DPU_LIB_FLOW_H
#define DPU_LIB_FLOW_H

#include "lib/count.h"
#include "lib/packet.h"
#include "lib/steer.h"
#include "maps/state.h"

/* Ends a flow with its record. Who deletes the entry writes the record: of two that end it at once, one does. */
static __always_inline void end_flow(struct flow_key *key, struct flow_value *value, u8 end)
{
	struct flow_record *record = records.ringbuf_reserve(sizeof(struct flow_record));

	if (!record) {
		if (!flow.delete(key)) {
			count_event(EVENT_RECORD_LOST);
			count_event(EVENT_FLOW_CLOSED);
		}
		return;
	}
	record->key = *key;
	record->value = *value;
	record->end = end;
	__builtin_memset(record->pad, 0, sizeof(record->pad));
	if (flow.delete(key)) {
		records.ringbuf_discard(record, BPF_RB_NO_WAKEUP);
		return;
	}
	records.ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	count_event(EVENT_FLOW_CLOSED);
}

/* The group that the SYN of this flow went to where our stack has answered it, else the bucket's. */
static __always_inline void choose_group(struct packet *p)
{
	struct steer_value *pending = 0;

	if (p->steered && p->key.protocol == IPPROTO_TCP)
		pending = flow_pending.lookup(&p->key);
	if (pending) {
		p->group = pending->group;
		p->port = pending->port;
		return;
	}
	steer_by_bucket(p);
}

static __always_inline u32 open_flow(struct packet *p)
{
	struct flow_value fresh = {};

	fresh.packets_in = 1;
	fresh.bytes_in = p->bytes;
	fresh.first_ns = p->now_ns;
	fresh.last_ns = p->now_ns;
	fresh.epoch = p->epoch;
	fresh.service = p->service;
	fresh.group = p->group;
	fresh.port = p->port;
	fresh.flags_in = p->tcp_flags;
	fresh.state = p->tcp_flags & TCP_FIN ? FLOW_STATE_CLIENT_CLOSING : 0;
	if (flow.update(&p->key, &fresh)) {
		count_event(EVENT_FLOW_FULL);
		return REASON_PACKET_FLOW_FULL;
	}
	count_event(EVENT_FLOW_OPENED);
	return OK;
}

static __always_inline void count_flow(struct packet *p, struct flow_value *found)
{
	__sync_fetch_and_add(&found->packets_in, 1);
	__sync_fetch_and_add(&found->bytes_in, p->bytes);
	/* The two directions have clocks of two resolutions: the later time stays. */
	if (p->now_ns > found->last_ns)
		found->last_ns = p->now_ns;
	if (found->reason)
		found->reason = REASON_NONE;
	/* Most frames bring no new flag: a line that is not written stays shared. */
	if ((found->flags_in | p->tcp_flags) != found->flags_in)
		found->flags_in |= p->tcp_flags;
	if (p->tcp_flags & (TCP_FIN | TCP_RST))
		found->state |= FLOW_STATE_CLIENT_CLOSING;
	p->group = found->group;
	p->port = found->port;
}

/* The flow of a frame that may have one. SYNs are most of a flood, have none, and are looked up when they have passed. */
static __always_inline struct flow_value *early_flow(struct packet *p)
{
	return p->tcp_flags & TCP_SYN ? 0 : flow.lookup(&p->key);
}

/* Finds the group; REASON_PACKET_FLOW_FULL where the flow found no place, which is no reason to drop. */
static __always_inline u32 track_flow(struct packet *p, struct flow_value *found)
{
	bool is_syn = p->tcp_flags & TCP_SYN;

	if (is_syn)
		found = flow.lookup(&p->key);
	if (found && is_syn && found->state & FLOW_STATE_CLIENT_CLOSING) {
		end_flow(&p->key, found, FLOW_ENDED);
		found = 0;
	}
	if (found) {
		count_flow(p, found);
		return OK;
	}
	if (is_syn || p->tcp_flags & TCP_RST) {
		steer_by_bucket(p);
		return OK;
	}
	choose_group(p);
	return open_flow(p);
}

#endif
