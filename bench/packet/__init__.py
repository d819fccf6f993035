"""`make bench-packet`: nanoseconds per packet of the XDP pipeline beside its own parts, in one run."""
