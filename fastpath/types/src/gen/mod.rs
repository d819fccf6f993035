//! Generated from `abi/tables`; see `abi/generate.py`.

#[rustfmt::skip]
pub mod packet;
#[rustfmt::skip]
pub mod reasons;
#[rustfmt::skip]
pub mod worker_frame;
