//! The Python edge.
