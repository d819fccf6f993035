"""One file an engine. `echo` is not here: the Rust side of the transport answers it."""
