"""The entry of the fast path process: everything around the native request path, nothing of it (design section 2)."""
