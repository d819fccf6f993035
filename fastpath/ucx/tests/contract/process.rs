//! A worker in a process of its own, killed or stopped: what only the kernel can do to a peer.
