/* Who may send: one walk for IPv4, the kernel's LPM trie for IPv6.
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 */
#ifndef DPU_LIB_ACL_H
#define DPU_LIB_ACL_H

#include "lib/packet.h"
#include "maps/config.h"

static __always_inline u32 acl4_cell(struct packet *p, u32 block, u32 byte)
{
	u32 index = p->bank * MAX_ACL_BLOCKS + block;
	struct acl4_block *found = acl4.lookup(&index);

	return found ? found->cell[byte & 0xff] : 0;
}

static __always_inline u32 acl4_reason(struct packet *p)
{
	u8 *source = p->key.source + IPV4_AT;
	/* Class 0 is "no entry": the blocks begin with class 1. */
	u32 cell = acl4_cell(p, (p->acl_class - 1) * 256 + source[0], source[1]);

	if (cell & ACL_BLOCK)
		cell = acl4_cell(p, cell & ~ACL_BLOCK, source[2]);
	if (cell & ACL_BLOCK)
		cell = acl4_cell(p, cell & ~ACL_BLOCK, source[3]);
	return cell;
}

static __always_inline u32 acl6_reason(struct packet *p)
{
	struct acl6_key key = { .prefix_length = 160, .class = p->acl_class, .bank = p->bank };
	u32 *found;

	__builtin_memcpy(key.address, p->key.source, 16);
	found = acl6.lookup(&key);
	return found ? *found : 0;
}

static __always_inline u32 check_acl(struct packet *p)
{
	if (!p->acl_class)
		return OK;
	return p->is_ipv4 ? acl4_reason(p) : acl6_reason(p);
}

#endif
