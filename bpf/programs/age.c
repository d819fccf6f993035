/* Ends flows on behalf of the agent, which runs it over keys (BPF_PROG_TEST_RUN) that it read out of the table.
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * The agent's copy of a flow is old when it decides; here it is judged once more, so that no packet in between is lost.
 */
#include "lib/includes.h"
#include "lib/count.h"
#include "lib/flow.h"

struct age_request {
	u64 now_ns;
	u64 idle_ns;
	u64 closing_ns;
	u64 unconfirmed_ns;
	u32 keys;
	u32 end; /* 0: by age; else this flow_* whatever its age */
};

#define AGE_KEYS_MAX 64

static __always_inline u8 age_of(struct age_request *request, struct flow_value *found)
{
	u64 last = found->last_ns;
	u64 idle = request->now_ns > last ? request->now_ns - last : 0;

	if (request->end)
		return request->end;
	if (found->state & FLOW_STATE_CLIENT_CLOSING)
		return idle >= request->closing_ns ? FLOW_ENDED : 0;
	if (!(found->state & FLOW_STATE_CONFIRMED))
		return idle >= request->unconfirmed_ns ? FLOW_UNCONFIRMED : 0;
	return idle >= request->idle_ns ? FLOW_IDLE : 0;
}

int dpu_age(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct age_request *request = data;
	struct flow_key *keys = (void *)(request + 1), key;
	struct flow_value *found;
	u32 ended = 0;
	u8 end;

	if ((void *)(request + 1) > data_end)
		return 0;
	for (u32 i = 0; i < AGE_KEYS_MAX; i++) {
		if (i >= request->keys || (void *)(keys + i + 1) > data_end)
			break;
		key = keys[i];
		found = flow.lookup(&key);
		if (!found)
			continue;
		end = age_of(request, found);
		if (!end)
			continue;
		end_flow(&key, found, end);
		ended++;
	}
	return ended;
}
