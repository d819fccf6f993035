/* The stages in their order: one reason for one frame.
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 */
#ifndef DPU_LIB_JUDGE_H
#define DPU_LIB_JUDGE_H

#include "lib/acl.h"
#include "lib/clock.h"
#include "lib/count.h"
#include "lib/flow.h"
#include "lib/meter.h"
#include "lib/parse.h"
#include "lib/steer.h"
#include "lib/vip.h"

/* Reasons below this one pass. */
#define FIRST_DROP 10

static __always_inline void read_epoch(struct packet *p)
{
	u32 zero = 0;
	u64 *word = epoch.lookup(&zero);

	if (word) {
		p->epoch = *word >> 1;
		p->bank = *word & 1;
	}
}

static __always_inline u32 judge(struct packet *p)
{
	u32 reason = parse(p);
	struct flow_value *found;
	struct meters meters;

	if (reason & IF_VIP_ADDRESS)
		return judge_by_address(p, reason & ~IF_VIP_ADDRESS);
	if (reason)
		return reason;
	reason = look_up_vip(p);
	if (reason)
		return reason;
	reason = check_acl(p);
	if (reason)
		return reason;
	p->now_ns = clock_ns(p->metered);
	find_meters(p, &meters);
	found = early_flow(p);
	reason = check_meters(p, &meters);
	if (reason) {
		/* A live flow says in its record that its last frame was refused. */
		if (found)
			found->reason = reason;
		return reason;
	}
	reason = track_flow(p, found);
	rewrite_port(p);
	return reason;
}

/* Judges and counts a frame whose data, data_end and bytes are set. */
static __always_inline u32 judge_frame(struct packet *p)
{
	u32 reason;

	read_epoch(p);
	reason = judge(p);
	count_reason(reason, p->bytes);
	return reason;
}

#endif
