"""One record a flow: what the packet stage saw of it, joined with what the request path did on it."""
