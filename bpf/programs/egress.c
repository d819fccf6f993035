/* tc egress on the wire's interface: answers get the VIP's port back, flows are confirmed, counted and ended.
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * What leaves here was made by our own stack: it is parsed as far as it is what we know, and anything else is let go.
 */
#include "lib/includes.h"
#include "lib/clock.h"
#include "lib/count.h"
#include "lib/flow.h"
#include "lib/parse.h"
#include "lib/vip.h"

#define TCP_CHECK_AT 16
#define UDP_CHECK_AT 6

/* The flow's key is the client's: the answer's source is its destination. */
static __always_inline void turn_around(struct packet *p, struct flow_key *key, __be16 vip_port)
{
	__builtin_memcpy(key->source, p->key.destination, 16);
	__builtin_memcpy(key->destination, p->key.source, 16);
	key->source_port = p->key.destination_port;
	key->destination_port = vip_port;
	key->protocol = p->key.protocol;
	__builtin_memset(key->pad, 0, sizeof(key->pad));
}

static __always_inline struct reverse_value *way_back(struct packet *p)
{
	struct reverse_key key = { .port = p->key.source_port, .protocol = p->key.protocol };

	__builtin_memcpy(key.address, p->key.source, 16);
	return reverse.lookup(&key);
}

static __always_inline void confirm(struct __sk_buff *skb, struct flow_key *key, struct flow_value *found, u8 flags)
{
	u32 segments = skb->gso_segs ? skb->gso_segs : 1;
	u64 now = clock_ns(false);

	__sync_fetch_and_add(&found->packets_out, segments);
	__sync_fetch_and_add(&found->bytes_out, skb->len);
	if (now > found->last_ns)
		found->last_ns = now;
	if ((found->flags_out | flags) != found->flags_out)
		found->flags_out |= flags;
	if (flags & TCP_RST) {
		end_flow(key, found, FLOW_ENDED);
		return;
	}
	if (!(flags & TCP_SYN) && !(found->state & FLOW_STATE_CONFIRMED))
		found->state |= FLOW_STATE_CONFIRMED;
	if (flags & TCP_FIN)
		found->state |= FLOW_STATE_SERVER_CLOSING;
}

static __always_inline u8 flags_of(struct packet *p)
{
	u8 *tcp = l4_header(p);

	if (p->key.protocol != IPPROTO_TCP || tcp + 14 > (u8 *)p->data_end)
		return 0;
	return tcp[13];
}

/* The helpers know of checksums that are still to be finished by the card, and of headers that are not in one piece. */
static __always_inline void restore_port(struct __sk_buff *skb, struct packet *p, __be16 vip_port)
{
	bool is_tcp = p->key.protocol == IPPROTO_TCP;
	u32 check = p->l4 + (is_tcp ? TCP_CHECK_AT : UDP_CHECK_AT);
	u64 flags = sizeof(vip_port) | (is_tcp ? 0 : BPF_F_MARK_MANGLED_0);

	if (vip_port == p->key.source_port)
		return;
	bpf_l4_csum_replace(skb, check, p->key.source_port, vip_port, flags);
	bpf_skb_store_bytes(skb, p->l4, &vip_port, sizeof(vip_port), 0);
}

int dpu_egress(struct __sk_buff *skb)
{
	struct reverse_value *back;
	struct flow_value *found;
	struct flow_key key;
	struct packet p = {};
	__be16 vip_port;
	u8 flags;

	bpf_skb_pull_data(skb, 0);
	p.data = (void *)(long)skb->data;
	p.data_end = (void *)(long)skb->data_end;
	p.bytes = skb->len;
	if (parse(&p))
		return TC_ACT_OK;
	back = way_back(&p);
	if (!back)
		return TC_ACT_OK;
	vip_port = back->vip_port;
	flags = flags_of(&p);
	turn_around(&p, &key, vip_port);
	found = flow.lookup(&key);
	if (found) {
		confirm(skb, &key, found, flags);
	} else if ((flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK)) {
		struct steer_value pending = { .group = back->group, .port = p.key.source_port };

		flow_pending.update(&key, &pending);
	}
	restore_port(skb, &p, vip_port);
	return TC_ACT_OK;
}
