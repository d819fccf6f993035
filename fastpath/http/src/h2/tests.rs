//! Tests of `h2`.
