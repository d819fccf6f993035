/* Ethernet, VLAN, IPv4, IPv6 and the ports: docs/stages/packet.md, "Parse", in its order.
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * Every pointer is compared with data_end where the verifier looks; every length with the length field around it.
 */
#ifndef DPU_LIB_PARSE_H
#define DPU_LIB_PARSE_H

#include "lib/packet.h"

#define VLAN_TAGS_MAX 2
#define IPV4_FRAGMENT 0x3fff /* MF and the offset */
#define IP6_FRAGMENT 0xfff9 /* the offset and M */
#define NEXT_HOP_BY_HOP 0
#define NEXT_ROUTING 43
#define NEXT_FRAGMENT 44
#define NEXT_DESTINATION 60
#define TCP_BYTES 20
#define UDP_BYTES 8

struct vlan_tag {
	__be16 tci;
	__be16 ethertype;
};

static __always_inline bool is_vlan(__be16 ethertype)
{
	return ethertype == bpf_htons(ETH_P_8021Q) || ethertype == bpf_htons(ETH_P_8021AD);
}

/* The ports, once protocol, l4 and l4_bytes are known. */
static __always_inline u32 parse_ports(struct packet *p)
{
	__be16 *ports = l4_header(p);
	u32 need = p->key.protocol == IPPROTO_TCP ? TCP_BYTES : UDP_BYTES;

	if (p->l4_bytes < need)
		return IF_VIP_ADDRESS | REASON_PACKET_L4_TRUNCATED;
	if ((void *)ports + UDP_BYTES > p->data_end)
		return IF_VIP_ADDRESS | REASON_PACKET_L4_TRUNCATED;
	p->key.source_port = ports[0];
	p->key.destination_port = ports[1];
	return OK;
}

static __always_inline u32 parse_ipv4(struct packet *p, u32 at)
{
	struct iphdr *ip = p->data + at;
	u32 header, total;

	if ((void *)(ip + 1) > p->data_end)
		return REASON_PACKET_TRUNCATED;
	if (ip->version != 4)
		return REASON_PACKET_IP_VERSION;
	if (ip->ihl < 5)
		return REASON_PACKET_IP_HEADER_LENGTH;
	header = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (total < header || total > p->bytes - at)
		return REASON_PACKET_IP_LENGTH;
	p->is_ipv4 = 1;
	put_ipv4(p->key.source, ip->saddr);
	put_ipv4(p->key.destination, ip->daddr);
	if (ip->frag_off & bpf_htons(IPV4_FRAGMENT))
		return IF_VIP_ADDRESS | REASON_PACKET_FRAGMENT;
	if (ip->protocol == IPPROTO_ICMP)
		return REASON_PACKET_ICMP;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return REASON_PACKET_NOT_VIP;
	p->key.protocol = ip->protocol;
	p->l4 = at + header;
	p->l4_bytes = total - header;
	return parse_ports(p);
}

static __always_inline bool is_extension(u8 next)
{
	return next == NEXT_HOP_BY_HOP || next == NEXT_ROUTING || next == NEXT_DESTINATION || next == NEXT_FRAGMENT;
}

/* ::ffff:0:0/96: our keys write IPv4 so, and nothing on a wire may. */
static __always_inline bool is_mapped(struct in6_addr *address)
{
	return !address->in6_u.u6_addr32[0] && !address->in6_u.u6_addr32[1] &&
	       address->in6_u.u6_addr32[2] == bpf_htonl(0xffff);
}

/* Walks one extension header at *at; `end` is where the IP payload ends. */
static __always_inline u32 parse_extension(struct packet *p, u8 *next, u32 *at, u32 end)
{
	u8 *header = p->data + *at;
	u32 bytes;

	if (header + 8 > (u8 *)p->data_end || *at + 8 > end)
		return REASON_PACKET_TRUNCATED;
	if (*next == NEXT_FRAGMENT) {
		if (*(__be16 *)(header + 2) & bpf_htons(IP6_FRAGMENT))
			return IF_VIP_ADDRESS | REASON_PACKET_FRAGMENT;
		bytes = 8;
	} else {
		bytes = ((u32)header[1] + 1) * 8;
	}
	*next = header[0];
	*at += bytes;
	return *at > end ? REASON_PACKET_TRUNCATED : OK;
}

static __always_inline u32 parse_ipv6(struct packet *p, u32 at)
{
	struct ipv6hdr *ip = p->data + at;
	u32 end, reason;
	u8 next;

	if ((void *)(ip + 1) > p->data_end)
		return REASON_PACKET_TRUNCATED;
	if (ip->version != 6)
		return REASON_PACKET_IP_VERSION;
	end = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	if (end > p->bytes - at)
		return REASON_PACKET_IP_LENGTH;
	if (is_mapped(&ip->saddr) || is_mapped(&ip->daddr))
		return REASON_PACKET_ADDRESS;
	end += at;
	__builtin_memcpy(p->key.source, &ip->saddr, 16);
	__builtin_memcpy(p->key.destination, &ip->daddr, 16);
	next = ip->nexthdr;
	at += sizeof(*ip);
#pragma unroll
	for (int i = 0; i < IP6_EXTENSIONS_MAX; i++) {
		if (!is_extension(next))
			break;
		reason = parse_extension(p, &next, &at, end);
		if (reason)
			return reason;
	}
	if (is_extension(next))
		return IF_VIP_ADDRESS | REASON_PACKET_IP6_EXTENSIONS;
	if (next == IPPROTO_ICMPV6)
		return REASON_PACKET_ICMP;
	if (next != IPPROTO_TCP && next != IPPROTO_UDP)
		return REASON_PACKET_NOT_VIP;
	p->key.protocol = next;
	p->l4 = at;
	p->l4_bytes = end - at;
	return parse_ports(p);
}

/* Fills p; the result is OK, a reason, or a reason with IF_VIP_ADDRESS. */
static __always_inline u32 parse(struct packet *p)
{
	struct ethhdr *eth = p->data;
	struct vlan_tag *tag;
	__be16 ethertype;
	u32 at = sizeof(*eth);

	if ((void *)(eth + 1) > p->data_end)
		return REASON_PACKET_TRUNCATED;
	ethertype = eth->h_proto;
#pragma unroll
	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		if (!is_vlan(ethertype))
			break;
		tag = p->data + at;
		if ((void *)(tag + 1) > p->data_end)
			return REASON_PACKET_TRUNCATED;
		ethertype = tag->ethertype;
		at += sizeof(*tag);
	}
	if (is_vlan(ethertype))
		return REASON_PACKET_VLAN_DEPTH;
	if (ethertype == bpf_htons(ETH_P_IP))
		return parse_ipv4(p, at);
	if (ethertype == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(p, at);
	return REASON_PACKET_NOT_IP;
}

#endif
