/* What is known of one frame while it goes through the stages.
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 */
#ifndef DPU_LIB_PACKET_H
#define DPU_LIB_PACKET_H

#include "gen/packet.h"

#define OK 0
/* A stage returns REASON_NONE to go on, a reason to end; this one says "judge by whether the address has a VIP". */
#define IF_VIP_ADDRESS 0x8000u

struct packet {
	void *data;
	void *data_end;
	struct flow_key key; /* source, destination, ports, protocol */
	u64 l4; /* offset of the TCP or UDP header; 64 bits, or the verifier forgets its bounds on the stack */
	u32 l4_bytes; /* from there to the end of the IP payload */
	u32 bytes; /* of the frame */
	u16 service;
	u16 acl_class;
	u16 group;
	__be16 port; /* the group's, 0 for no rewrite */
	u8 is_ipv4;
	u8 tcp_flags;
	u8 metered;
	u8 steered;
	u8 bank;
	u64 epoch;
	u64 now_ns;
};

/* Where the TCP or UDP header begins. The mask says what the parser has made sure of, in words that the verifier keeps:
 * 14 + 8 + 40 bytes and four extension headers of 2,048.
 */
static __always_inline void *l4_header(struct packet *p)
{
	u64 at = p->l4;
	void *header;

	asm volatile("%0 &= 0x3fff" : "+r"(at));
	header = p->data + at;
	/* One pointer for its check and its use: what is added up twice is two pointers to the verifier. */
	asm volatile("" : "+r"(header));
	return header;
}

#define IPV4_AT 12 /* an IPv4 address in a 16-byte key */

static __always_inline void put_ipv4(u8 *key, __be32 address)
{
	u32 *words = (u32 *)key;

	words[0] = 0;
	words[1] = 0;
	words[2] = bpf_htonl(0xffff);
	words[3] = address;
}

#endif
