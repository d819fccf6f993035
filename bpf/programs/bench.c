/* The pipeline and its parts over frames that vary from run to run, for `make bench-packet` alone.
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * BPF_PROG_TEST_RUN repeats one frame, as the run before left it: every run writes the source of the next flow and the
 * VIP's port first. `floor` does that and nothing else; each part does that, parses, and goes through one stage.
 */
#include "lib/includes.h"
#include "lib/judge.h"

struct bench_input {
	u64 runs;
	u64 mask; /* flows - 1 */
	u64 pad[6]; /* a line of its own */
};

BPF_F_TABLE("array", u32, struct bench_input, bench_input, 1, BPF_F_MMAPABLE);

/* Where the source address ends in a frame without VLAN tags and options. */
#define IPV4_SOURCE_END (14 + 16)
#define IPV4_PORTS (14 + 20)
#define IPV6_SOURCE_END (14 + 24)
#define IPV6_PORTS (14 + 40)

/* Writes flow number n into the frame: an odd multiplier walks through all of them, in no order that a cache likes. */
static __always_inline bool vary(struct packet *p, struct xdp_md *ctx)
{
	u32 zero = 0;
	struct bench_input *input = bench_input.lookup(&zero);
	u8 *frame = p->data;
	u64 n;

	if (!input || frame + IPV6_PORTS > (u8 *)p->data_end)
		return false;
	n = (input->runs++ & input->mask) * 0x9e3779b1u & input->mask;
	if (frame[12] == 8) {
		*(u16 *)(frame + IPV4_SOURCE_END - 4) = 0x000a | n >> 16 << 8;
		*(u16 *)(frame + IPV4_SOURCE_END - 2) = n;
		*(u16 *)(frame + IPV4_PORTS + 2) = bpf_htons(443);
	} else {
		if (frame + IPV6_PORTS + 4 > (u8 *)p->data_end)
			return false;
		*(u32 *)(frame + IPV6_SOURCE_END - 4) = n;
		*(u16 *)(frame + IPV6_PORTS + 2) = bpf_htons(443);
	}
	return true;
}

static __always_inline bool begin(struct packet *p, struct xdp_md *ctx)
{
	p->data = (void *)(long)ctx->data;
	p->data_end = (void *)(long)ctx->data_end;
	p->bytes = p->data_end - p->data;
	return vary(p, ctx);
}

/* What the stage before would have found, so that a part is one stage. */
static __always_inline u32 begin_parsed(struct packet *p, struct xdp_md *ctx)
{
	if (!begin(p, ctx))
		return 1;
	read_epoch(p);
	p->service = 1;
	p->acl_class = 1;
	p->metered = 1;
	p->steered = 1;
	p->tcp_flags = TCP_ACK;
	return parse(p);
}

int dpu_bench_floor(struct xdp_md *ctx)
{
	struct packet p = {};

	return begin(&p, ctx) ? XDP_PASS : XDP_DROP;
}

int dpu_bench_parse(struct xdp_md *ctx)
{
	struct packet p = {};

	return begin_parsed(&p, ctx) ? XDP_DROP : XDP_PASS;
}

int dpu_bench_vip(struct xdp_md *ctx)
{
	struct packet p = {};

	return begin_parsed(&p, ctx) || look_up_vip(&p) ? XDP_DROP : XDP_PASS;
}

int dpu_bench_acl(struct xdp_md *ctx)
{
	struct packet p = {};

	return begin_parsed(&p, ctx) || check_acl(&p) ? XDP_DROP : XDP_PASS;
}

int dpu_bench_meter(struct xdp_md *ctx)
{
	struct packet p = {};
	struct meters meters;

	if (begin_parsed(&p, ctx))
		return XDP_DROP;
	p.now_ns = clock_ns(true);
	find_meters(&p, &meters);
	return check_meters(&p, &meters) ? XDP_DROP : XDP_PASS;
}

int dpu_bench_flow(struct xdp_md *ctx)
{
	struct packet p = {};

	return begin_parsed(&p, ctx) || track_flow(&p, early_flow(&p)) ? XDP_DROP : XDP_PASS;
}

int dpu_bench_steer(struct xdp_md *ctx)
{
	struct packet p = {};

	if (begin_parsed(&p, ctx))
		return XDP_DROP;
	steer_by_bucket(&p);
	rewrite_port(&p);
	return XDP_PASS;
}

int dpu_bench_rewrite(struct xdp_md *ctx)
{
	struct packet p = {};

	if (begin_parsed(&p, ctx))
		return XDP_DROP;
	p.port = bpf_htons(8443);
	rewrite_port(&p);
	return XDP_PASS;
}

int dpu_bench_count(struct xdp_md *ctx)
{
	struct packet p = {};

	if (begin_parsed(&p, ctx))
		return XDP_DROP;
	count_reason(REASON_NONE, p.bytes);
	return XDP_PASS;
}

int dpu_bench_whole(struct xdp_md *ctx)
{
	struct packet p = {};
	u32 reason;

	if (!begin(&p, ctx))
		return XDP_DROP;
	return judge_frame(&p) < FIRST_DROP ? XDP_PASS : XDP_DROP;
}
