//! What is wrong with an input, and what to do about it.

use std::fmt;

/// One sentence for people, with the place in the file where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub fix: &'static str,
}

impl Error {
    /// `what` and `fix`.
    pub fn new(what: impl Into<String>, fix: &'static str) -> Self {
        Self { what: what.into(), fix }
    }

    /// A capture that says something impossible at byte `at`.
    #[must_use]
    pub fn damaged(at: u64, what: &str) -> Self {
        Self::new(
            format!("the capture is damaged at byte {at}: {what}"),
            "make it anew, or keep what is before with editcap",
        )
    }

    /// A read that failed.
    #[must_use]
    pub fn read(at: u64, error: &std::io::Error) -> Self {
        Self::new(format!("reading failed at byte {at}: {error}"), "check the file and its disk")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (fix: {})", self.what, self.fix)
    }
}

impl std::error::Error for Error {}
