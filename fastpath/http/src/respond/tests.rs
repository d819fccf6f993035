//! Tests of `respond`.
