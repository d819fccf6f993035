/* How a map is declared: through BCC's own macro, pinned where the loader says so.
 * SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * The loader defines PIN_<map> as "" or as ":" and a path whose name carries a hash of the map's shape: BCC adopts a
 * pinned map of another shape without a word.
 */
#ifndef DPU_MAPS_DEFINE_H
#define DPU_MAPS_DEFINE_H

#define DPU_MAP(kind, key_type, leaf_type, name, entries, flags) \
	BPF_F_TABLE(kind PIN_##name, key_type, leaf_type, name, entries, flags)

#endif
