//! Finished handshakes by what they were: sixteen numbers, whatever clients do.

use dpu_tls::{Alpn, PeerIdentity};

/// Counts by protocol, version, resumption and client certificate.
#[derive(Clone, Debug, Default)]
pub struct Handshakes([u64; 16]);

impl Handshakes {
    /// Counts one.
    pub fn take(&mut self, peer: &PeerIdentity) {
        let bits = [peer.alpn == Alpn::H2, peer.is_tls12, peer.resumed, peer.client.is_some()];
        let index = bits.iter().fold(0, |sum, bit| sum << 1 | usize::from(*bit));
        self.0[index] += 1;
    }

    /// Adds what another core has counted.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }

    /// Labels `protocol, version, resumed, client_certificate` with their counts; all of them, from the start.
    pub fn series(&self) -> impl Iterator<Item = ([&'static str; 4], u64)> + '_ {
        let yes = |bit: usize| if bit == 1 { "yes" } else { "no" };
        self.0.iter().enumerate().map(move |(index, count)| {
            let bit = |at: usize| index >> at & 1;
            let protocol = if bit(3) == 1 { "h2" } else { "h1" };
            let version = if bit(2) == 1 { "1.2" } else { "1.3" };
            ([protocol, version, yes(bit(1)), yes(bit(0))], *count)
        })
    }
}
