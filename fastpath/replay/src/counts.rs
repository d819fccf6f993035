//! What was answered, summed up: by reason, by service, by listener group.

use crate::kernel::Said;

/// Reasons of the packet stage are below.
pub const REASONS: usize = 128;
const GROUPS: usize = 65_536;
const SERVICES: usize = 65_536;

/// Sums over all frames that were asked about; a fixed amount of memory.
pub struct Counts {
    /// Frames and bytes by reason; what no packet reason has is counted under the last.
    pub reasons: [(u64, u64); REASONS],
    services: Vec<u64>,
    groups: Vec<u64>,
    /// Frames that passed.
    pub passed: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self { reasons: [(0, 0); REASONS], services: vec![0; SERVICES], groups: vec![0; GROUPS], passed: 0 }
    }
}

impl Counts {
    /// One more frame.
    pub fn add(&mut self, said: Said, bytes: usize) {
        let (frames, sum) = &mut self.reasons[usize::from(said.reason).min(REASONS - 1)];
        *frames += 1;
        *sum += bytes as u64;
        self.services[usize::from(said.service)] += 1;
        self.groups[usize::from(said.group)] += 1;
        self.passed += u64::from(said.passed);
    }

    /// (service id, frames) where there are any; 0 is no service.
    pub fn by_service(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.services.iter().copied().enumerate().filter(|(_, frames)| *frames > 0)
    }

    /// (listener group id, frames) where there are any; 0 is no group.
    pub fn by_group(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.groups.iter().copied().enumerate().filter(|(_, frames)| *frames > 0)
    }
}
