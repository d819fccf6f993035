/* XDP on the wire's interface: one verdict and one reason for every frame (docs/stages/packet.md).
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 */
#include "lib/includes.h"
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
	p->now_ns = clock_ns();
	reason = check_meters(p);
	if (reason) {
		note_refusal(p, reason);
		return reason;
	}
	reason = track_flow(p);
	rewrite_port(p);
	return reason;
}

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
	io->port = is_steered ? bpf_ntohs(p->port ? p->port : p->key.destination_port) : 0;
}
#endif

int dpu_ingress(struct xdp_md *ctx)
{
	struct packet p = {};
	u32 reason;

	p.data = (void *)(long)ctx->data;
	p.data_end = (void *)(long)ctx->data_end;
	p.bytes = p.data_end - p.data;
	read_epoch(&p);
	reason = judge(&p);
	count_reason(reason, p.bytes);
#ifdef DPU_REPLAY
	answer_replay(&p, reason);
#endif
	return reason < FIRST_DROP ? XDP_PASS : XDP_DROP;
}
