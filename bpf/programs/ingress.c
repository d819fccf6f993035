/* XDP on the wire's interface: one verdict and one reason for every frame (docs/stages/packet.md).
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 */
#include "lib/includes.h"
#include "lib/judge.h"

#ifdef DPU_REPLAY
static __always_inline void answer_replay(struct packet *p, u32 reason)
{
	u32 zero = 0;
	struct replay_io *io = replay_io.lookup(&zero);
	bool is_steered = reason == REASON_NONE || reason == REASON_PACKET_FLOW_FULL;

	if (!io)
		return;
	io->frames += 1;
	io->reason = reason;
	io->service = p->service;
	io->group = is_steered ? p->group : 0;
	io->port = is_steered ? bpf_ntohs(p->port) : 0;
}
#endif

int dpu_ingress(struct xdp_md *ctx)
{
	struct packet p = {};
	u32 reason;

	p.data = (void *)(long)ctx->data;
	p.data_end = (void *)(long)ctx->data_end;
	p.bytes = p.data_end - p.data;
	reason = judge_frame(&p);
#ifdef DPU_REPLAY
	answer_replay(&p, reason);
#endif
	return reason < FIRST_DROP ? XDP_PASS : XDP_DROP;
}
