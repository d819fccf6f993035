/* The one clock of a frame, read at most once. Chosen when the program is compiled, and results say which.
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * BPF_PROG_TEST_RUN cannot set bpf_ktime: for replay with the times of a capture the clock is a word of replay_io.
 */
#ifndef DPU_LIB_CLOCK_H
#define DPU_LIB_CLOCK_H

#include "maps/state.h"

/* `exact` costs twice as much, and is for meters: the other one moves with the timer tick, which is enough for ages. */
static __always_inline u64 clock_ns(bool exact)
{
#ifdef DPU_CLOCK_REPLAY
	u32 zero = 0;
	struct replay_io *io = replay_io.lookup(&zero);
	return io ? io->clock_ns : 0;
#else
	return exact ? bpf_ktime_get_ns() : bpf_ktime_get_coarse_ns();
#endif
}

#endif
