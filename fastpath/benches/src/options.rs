//! The command line.

use crate::{fault, Fault};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// A mode and its values. Modes: `requests` (closed loop, whole answers), `paced` (open loop), `stream` (closed loop,
/// event streams), `handshake` (one handshake a connection), `backend` (the server behind the proxies).
pub struct Options {
    /// The first word.
    pub mode: String,
    values: BTreeMap<String, String>,
}

impl Options {
    /// # Errors
    /// A word that is not `--name value`.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Fault> {
        let mode = words.next().ok_or("dpu-load: which mode?")?;
        let mut values = BTreeMap::new();
        while let Some(name) = words.next() {
            let name = name.strip_prefix("--").ok_or_else(|| format!("'{name}' is not an option"))?;
            let value = words.next().ok_or_else(|| format!("--{name} needs a value"))?;
            values.insert(name.to_owned(), value);
        }
        Ok(Self { mode, values })
    }

    /// A value that has to be there.
    ///
    /// # Errors
    /// It is not there, or is no `T`.
    pub fn need<T: FromStr>(&self, name: &'static str) -> Result<T, Fault> {
        let value = self.values.get(name).ok_or_else(|| format!("--{name} is missing"))?;
        value.parse().map_err(|_| format!("--{name} {value}: not understood"))
    }

    /// A value, or another where it is not given.
    ///
    /// # Errors
    /// It is no `T`.
    pub fn or<T: FromStr>(&self, name: &'static str, other: T) -> Result<T, Fault> {
        if self.values.contains_key(name) {
            self.need(name)
        } else {
            Ok(other)
        }
    }

    /// Where the server is.
    ///
    /// # Errors
    /// Not `IP:PORT`.
    pub fn address(&self) -> Result<SocketAddr, Fault> {
        self.need("address")
    }

    /// The bytes of a file that an option names.
    ///
    /// # Errors
    /// No option, no file.
    pub fn file(&self, name: &'static str) -> Result<Vec<u8>, Fault> {
        std::fs::read(self.need::<PathBuf>(name)?).map_err(fault(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, Fault> {
        Options::parse(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn values_have_names_types_and_defaults() {
        let options = parse(&["requests", "--connections", "32", "--address", "127.0.0.1:1"])
            .unwrap_or_else(|_| unreachable!());
        assert_eq!(options.mode, "requests");
        assert_eq!(options.need::<usize>("connections"), Ok(32));
        assert_eq!(options.or("streams", 1_usize), Ok(1));
        assert!(options.need::<usize>("rate").is_err());
        assert!(options.need::<u8>("address").is_err());
    }

    #[test]
    fn words_that_are_no_options_are_refused() {
        for words in [&[][..], &["requests", "connections"], &["requests", "--connections"]] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
