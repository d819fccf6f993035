/* CRC-32 of Ethernet and zlib (v1model's crc32), four bytes at a time over words in network order.
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * Bytes are taken in the order of memory, so a big-endian field is loaded as it lies there. The map holds the tables of
 * "slicing by four" (Kounavis and Berry, 2005) for a little-endian machine: both BlueField and x86 are.
 */
#ifndef DPU_LIB_CRC32_H
#define DPU_LIB_CRC32_H

#include "maps/config.h"

static __always_inline struct crc_tables *crc_of(void)
{
	u32 zero = 0;

	return crc.lookup(&zero);
}

static __always_inline u32 crc_word(struct crc_tables *t, u32 state, u32 word)
{
	state ^= word;
	return t->word[3][state & 0xff] ^ t->word[2][state >> 8 & 0xff] ^ t->word[1][state >> 16 & 0xff] ^
	       t->word[0][state >> 24];
}

/* Two bytes, the first in memory in the low byte of `half`. */
static __always_inline u32 crc_half(struct crc_tables *t, u32 state, u32 half)
{
	state ^= half;
	return state >> 16 ^ t->word[1][state & 0xff] ^ t->word[0][state >> 8 & 0xff];
}

#define CRC_BEGIN 0xffffffffu

static __always_inline u32 crc_address(struct crc_tables *t, u32 state, u8 *address, bool is_ipv4)
{
	u32 *words = (u32 *)address;

	if (!is_ipv4) {
		state = crc_word(t, state, words[0]);
		state = crc_word(t, state, words[1]);
		state = crc_word(t, state, words[2]);
	}
	return crc_word(t, state, words[3]);
}

#endif
