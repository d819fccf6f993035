/* Counters of this CPU.
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 */
#ifndef DPU_LIB_COUNT_H
#define DPU_LIB_COUNT_H

#include "maps/state.h"

static __always_inline void count_event(u32 event)
{
	u64 *count = events.lookup(&event);

	if (count)
		*count += 1;
}

static __always_inline void count_reason(u32 reason, u32 bytes)
{
	struct counter *count = reasons.lookup(&reason);

	if (count) {
		count->packets += 1;
		count->bytes += bytes;
	}
}

#endif
