//! UCX's status codes.

use super::sys;
use std::ffi::{c_void, CStr};

/// What UCX says about an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub(super) sys::ucs_status_t);

impl Status {
    pub const OK: Self = Self(sys::UCS_OK);

    /// Whether the operation went well.
    pub fn is_ok(self) -> bool {
        self == Self::OK
    }

    pub(super) fn into_result(self) -> Result<(), Self> {
        if self.is_ok() {
            Ok(())
        } else {
            Err(self)
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // SAFETY: the function takes any number and returns a string that is never freed or changed (for numbers it
        // does not know, one in thread-local storage, read at once).
        let text = unsafe { CStr::from_ptr(sys::ucs_status_string(self.0)) };
        f.write_str(&text.to_string_lossy())
    }
}

/// What a non-blocking call returned.
pub enum Outcome {
    /// Complete; the callback will not be called.
    Done,
    /// The callback will be called.
    Pending,
    Failed(Status),
}

/// UCS_PTR_STATUS and its sisters, which are macros: small negative numbers are errors.
pub fn outcome(pointer: *mut c_void) -> Outcome {
    let number = pointer as isize;
    if number == 0 {
        Outcome::Done
    } else if (sys::UCS_ERR_LAST as isize..0).contains(&number) {
        Outcome::Failed(Status(number as sys::ucs_status_t))
    } else {
        Outcome::Pending
    }
}
