//! Where frames come from: a capture, a generator, or a list.

use crate::capture::Capture;
use crate::error::Error;
use crate::frame::Frame;
use crate::generate::Generator;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;

/// What is done with a frame of which the capture holds only the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// Zeros to its length on the wire: verdicts depend on headers, and their lengths hold then.
    #[default]
    Pad,
    /// As it is: it will mostly be dropped for lengths that lie.
    Keep,
    /// Left out.
    Skip,
}

enum Kind {
    Capture(Capture),
    Generated(Generator),
    Given(VecDeque<(u64, Vec<u8>)>),
}

/// Frames, one after the other.
pub struct Source {
    kind: Kind,
    cut: Cut,
    /// What `done` counts towards; 0 where nobody knows. Bytes of a capture, else frames.
    pub total: u64,
    /// Frames given out.
    pub frames: u64,
    /// Frames of which the capture held only the beginning.
    pub frames_cut: u64,
}

impl Source {
    /// A capture file; `-` is standard input.
    pub fn file(path: &str, cut: Cut) -> Result<Self, Error> {
        if path == "-" {
            return Self::stream(Box::new(std::io::stdin()), 0, cut);
        }
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) = opened
            .map_err(|error| Error::new(format!("{path}: {error}"), "check the path and its permissions"))?;
        Self::stream(Box::new(file), bytes, cut)
    }

    /// A capture from anywhere.
    pub fn stream(from: Box<dyn Read + Send + Sync>, bytes: u64, cut: Cut) -> Result<Self, Error> {
        Ok(Self::new(Kind::Capture(Capture::open(from)?), cut, bytes))
    }

    /// Frames that nobody sent.
    #[must_use]
    pub fn generated(generator: Generator) -> Self {
        let total = generator.count();
        Self::new(Kind::Generated(generator), Cut::Keep, total)
    }

    /// Frames with their times.
    #[must_use]
    pub fn given(frames: Vec<(u64, Vec<u8>)>) -> Self {
        let total = frames.len() as u64;
        Self::new(Kind::Given(frames.into()), Cut::Keep, total)
    }

    const fn new(kind: Kind, cut: Cut, total: u64) -> Self {
        Self { kind, cut, total, frames: 0, frames_cut: 0 }
    }

    /// The next frame; false at the end.
    pub fn next(&mut self, frame: &mut Frame) -> Result<bool, Error> {
        while self.read(frame)? {
            if frame.is_cut() {
                self.frames_cut += 1;
                match self.cut {
                    Cut::Pad => frame.pad(),
                    Cut::Keep => {}
                    Cut::Skip => continue,
                }
            }
            self.frames += 1;
            return Ok(true);
        }
        Ok(false)
    }

    fn read(&mut self, frame: &mut Frame) -> Result<bool, Error> {
        match &mut self.kind {
            Kind::Capture(capture) => capture.next(frame),
            Kind::Generated(generator) => Ok(generator.next(frame)),
            Kind::Given(frames) => Ok(frames.pop_front().is_some_and(|(clock_ns, data)| {
                frame.set(clock_ns, data.len() as u32, &data);
                true
            })),
        }
    }

    /// How much of `total` lies behind.
    #[must_use]
    pub fn done(&self) -> u64 {
        match &self.kind {
            Kind::Capture(capture) => capture.position(),
            Kind::Generated(_) | Kind::Given(_) => self.frames,
        }
    }

    /// Whether a capture ended inside a record.
    #[must_use]
    pub fn ended_early(&self) -> bool {
        matches!(&self.kind, Kind::Capture(capture) if capture.ended_early())
    }
}
