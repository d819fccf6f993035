"""The control agent of the DPU and the entry of its fast path process (design sections 2, 4 and 5)."""
