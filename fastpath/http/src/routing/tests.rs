//! Tests of `routing`.
