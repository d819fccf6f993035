//! The loop: every frame through every program, in slices that a caller can stop between.

use crate::counts::Counts;
use crate::error::Error;
use crate::frame::Frame;
use crate::kernel::{Program, Said, FRAME_BYTES_MIN, TEST_RUN_BYTES_MAX};
use crate::source::Source;

/// Which frames come back one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// None: sums are enough.
    Nothing,
    /// Those about which two programs differ in verdict, reason to drop, or rewrite.
    Differing,
    /// Every frame.
    Everything,
}

/// One frame and what each program said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Place in the source, from 0.
    pub index: u64,
    /// Its time.
    pub clock_ns: u64,
    /// As it came.
    pub frame: Vec<u8>,
    /// Empty where the kernel cannot be asked: the frame is too short, or too long.
    pub said: Vec<(Said, Vec<u8>)>,
}

/// Results of a slice end it early when they weigh this much.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// Programs, and the sums of what they said.
pub struct Run {
    programs: Vec<Program>,
    /// Of each program.
    pub counts: Vec<Counts>,
    keep: Keep,
    /// Frames that were asked about.
    pub asked: u64,
    /// Frames below FRAME_BYTES_MIN, which the kernel runs nothing over.
    pub too_short: u64,
    /// Frames beyond TEST_RUN_BYTES_MAX: captured behind receive offload, or jumbo.
    pub too_long: u64,
    /// Frames about which two programs differ.
    pub differing: u64,
    frame: Frame,
    rewritten: Vec<Vec<u8>>,
    index: u64,
}

impl Run {
    /// `keep` other than Nothing reads every rewritten frame back, which costs a little.
    #[must_use]
    pub fn new(programs: Vec<Program>, keep: Keep) -> Self {
        let counts = programs.iter().map(|_| Counts::default()).collect();
        let rewritten = vec![Vec::new(); programs.len()];
        Self {
            programs,
            counts,
            keep,
            asked: 0,
            too_short: 0,
            too_long: 0,
            differing: 0,
            frame: Frame::default(),
            rewritten,
            index: 0,
        }
    }

    /// Up to `frames_max` more frames; what is kept of them, and whether there may be more.
    pub fn slice(&mut self, source: &mut Source, frames_max: u64) -> Result<(Vec<Kept>, bool), Error> {
        let (mut kept, mut kept_bytes) = (Vec::new(), 0);
        for _ in 0..frames_max {
            if !source.next(&mut self.frame)? {
                return Ok((kept, false));
            }
            let result = self.ask()?;
            self.index += 1;
            if let Some(result) = result {
                kept_bytes += result.frame.len() * (1 + result.said.len()) + 256;
                kept.push(result);
                if kept_bytes > KEPT_BYTES_MAX {
                    break;
                }
            }
        }
        Ok((kept, true))
    }

    fn ask(&mut self) -> Result<Option<Kept>, Error> {
        let bytes = self.frame.data.len();
        if !(FRAME_BYTES_MIN..=TEST_RUN_BYTES_MAX).contains(&bytes) {
            let sum = if bytes < FRAME_BYTES_MIN { &mut self.too_short } else { &mut self.too_long };
            *sum += 1;
            return Ok((self.keep == Keep::Everything).then(|| self.kept(Vec::new())));
        }
        self.asked += 1;
        match self.keep {
            Keep::Nothing => self.count_only(bytes).map(|()| None),
            Keep::Differing | Keep::Everything => self.ask_all(bytes),
        }
    }

    fn count_only(&mut self, bytes: usize) -> Result<(), Error> {
        for (program, counts) in self.programs.iter_mut().zip(&mut self.counts) {
            counts.add(program.ask(&self.frame.data, self.frame.clock_ns, None)?, bytes);
        }
        Ok(())
    }

    fn ask_all(&mut self, bytes: usize) -> Result<Option<Kept>, Error> {
        let mut said = [Said::default(); PROGRAMS_MAX];
        let mut differ = false;
        for (place, program) in self.programs.iter_mut().enumerate().take(PROGRAMS_MAX) {
            let rewritten = &mut self.rewritten[place];
            said[place] = program.ask(&self.frame.data, self.frame.clock_ns, Some(rewritten))?;
            if !said[place].passed {
                rewritten.clear();
            }
            self.counts[place].add(said[place], bytes);
            differ |= differs(said[0], said[place]) || self.rewritten[0] != self.rewritten[place];
        }
        self.differing += u64::from(differ);
        if self.keep == Keep::Differing && !differ {
            return Ok(None);
        }
        let answers =
            said.into_iter().zip(&self.rewritten).map(|(said, bytes)| (said, bytes.clone())).collect();
        Ok(Some(self.kept(answers)))
    }

    fn kept(&self, said: Vec<(Said, Vec<u8>)>) -> Kept {
        Kept { index: self.index, clock_ns: self.frame.clock_ns, frame: self.frame.data.clone(), said }
    }
}

/// Programs that are asked about the same frames.
pub const PROGRAMS_MAX: usize = 2;

/// The verdict, or the reason among drops. Ids are each plan's own, and are not compared.
fn differs(one: Said, other: Said) -> bool {
    one.passed != other.passed || (!one.passed && one.reason != other.reason)
}
