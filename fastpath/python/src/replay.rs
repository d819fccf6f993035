//! `dpu_fastpath.Frames` and `XdpReplay`: the replay rig's input and its loop. Slices end in bounded time, so that the
//! caller shows progress and stops between two of them; Python's lock is free meanwhile.

use dpu_replay::generate::{Generator, Traffic, Vip};
use dpu_replay::kernel::{Program, Said};
use dpu_replay::run::{Keep, Kept, Run, PROGRAMS_MAX};
use dpu_replay::source::{Cut, Source};
use dpu_replay::{Error, Frame};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

/// Adds the classes of this file to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyFrames>()?;
    module.add_class::<PyXdpReplay>()
}

fn raised(error: Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Passed, reason, service, group, port, frame.
type Answer<'py> = (bool, u16, u16, u16, u16, Bound<'py, PyBytes>);

/// Where frames come from.
#[pyclass(name = "Frames", module = "dpu_fastpath")]
pub struct PyFrames {
    inner: Source,
}

#[pymethods]
impl PyFrames {
    /// A pcap or pcapng file, `-` for standard input. `cut` is pad, keep or skip.
    #[staticmethod]
    fn capture(py: Python<'_>, path: &str, cut: &str) -> PyResult<Self> {
        let cut = match cut {
            "pad" => Cut::Pad,
            "keep" => Cut::Keep,
            "skip" => Cut::Skip,
            other => return Err(PyValueError::new_err(format!("cut is pad, keep or skip, not {other}"))),
        };
        py.detach(|| Source::file(path, cut)).map(|inner| Self { inner }).map_err(raised)
    }

    /// `traffic` is flood, scan or mix; VIPs are (address in 4 or 16 bytes, protocol, port).
    #[staticmethod]
    fn generated(
        traffic: &str,
        count: u64,
        seed: u64,
        interval_ns: u64,
        vips: Vec<(Vec<u8>, u8, u16)>,
    ) -> PyResult<Self> {
        let traffic = match traffic {
            "flood" => Traffic::Flood,
            "scan" => Traffic::Scan,
            "mix" => Traffic::Mix,
            other => {
                return Err(PyValueError::new_err(format!("traffic is flood, scan or mix, not {other}")))
            }
        };
        let vips: Vec<Vip> =
            vips.into_iter().map(|(address, protocol, port)| Vip { address, protocol, port }).collect();
        Ok(Self { inner: Source::generated(Generator::new(traffic, &vips, count, seed, interval_ns)) })
    }

    /// Frames with their times in nanoseconds.
    #[staticmethod]
    fn given(frames: Vec<(u64, Vec<u8>)>) -> Self {
        Self { inner: Source::given(frames) }
    }

    /// Up to `frames_max` frames of together about `bytes_max` bytes: (time, frame). None left: [].
    fn read<'py>(
        &mut self,
        py: Python<'py>,
        frames_max: usize,
        bytes_max: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        let (mut frame, mut bytes) = (Frame::default(), 0);
        while list.len() < frames_max && bytes < bytes_max && self.inner.next(&mut frame).map_err(raised)? {
            bytes += frame.data.len();
            list.append((frame.clock_ns, PyBytes::new(py, &frame.data)))?;
        }
        Ok(list)
    }

    /// What lies behind, and of how much: bytes of a capture, frames of anything else; 0 where nobody knows.
    #[getter]
    fn progress(&self) -> (u64, u64) {
        (self.inner.done(), self.inner.total)
    }

    /// Frames given out.
    #[getter]
    const fn frames(&self) -> u64 {
        self.inner.frames
    }

    /// Frames of which the capture held only the beginning.
    #[getter]
    const fn frames_cut(&self) -> u64 {
        self.inner.frames_cut
    }

    /// Whether the capture ended inside a record.
    #[getter]
    fn ended_early(&self) -> bool {
        self.inner.ended_early()
    }
}

/// One or two XDP programs that are asked about every frame.
#[pyclass(name = "XdpReplay", module = "dpu_fastpath")]
pub struct PyXdpReplay {
    inner: Run,
}

#[pymethods]
impl PyXdpReplay {
    /// Programs are (descriptor of the program, descriptor of its `replay_io`); both stay open. `keep` is nothing,
    /// differing or everything.
    #[new]
    fn new(programs: Vec<(i32, i32)>, keep: &str) -> PyResult<Self> {
        if programs.is_empty() || programs.len() > PROGRAMS_MAX {
            return Err(PyValueError::new_err(format!("1 to {PROGRAMS_MAX} programs can be asked")));
        }
        let keep = match keep {
            "nothing" => Keep::Nothing,
            "differing" => Keep::Differing,
            "everything" => Keep::Everything,
            other => {
                return Err(PyValueError::new_err(format!(
                    "keep is nothing, differing or everything, not {other}"
                )))
            }
        };
        let programs = programs.into_iter().map(|(program, io)| Program::new(program, io));
        Ok(Self { inner: Run::new(programs.collect::<Result<_, _>>().map_err(raised)?, keep) })
    }

    /// Up to `frames_max` more: (what is kept, whether there may be more). What is kept is (index, time, frame,
    /// answers), without answers where the kernel cannot be asked.
    fn slice<'py>(
        &mut self,
        py: Python<'py>,
        frames: &mut PyFrames,
        frames_max: u64,
    ) -> PyResult<(Vec<Bound<'py, PyTuple>>, bool)> {
        let (run, source) = (&mut self.inner, &mut frames.inner);
        let (kept, more) = py.detach(|| run.slice(source, frames_max)).map_err(raised)?;
        Ok((kept.into_iter().map(|one| row(py, one)).collect::<PyResult<_>>()?, more))
    }

    /// Frames that were asked about, that were too short, that were too long, about which two programs differ.
    #[getter]
    const fn totals(&self) -> (u64, u64, u64, u64) {
        (self.inner.asked, self.inner.too_short, self.inner.too_long, self.inner.differing)
    }

    /// Of each program: frames that passed, (reason, frames, bytes), (service, frames), (group, frames).
    #[allow(clippy::type_complexity)] // the stub gives it its name
    fn counts(&self) -> Vec<(u64, Vec<(usize, u64, u64)>, Vec<(usize, u64)>, Vec<(usize, u64)>)> {
        let sums = self.inner.counts.iter();
        sums.map(|one| {
            let reasons = one.reasons.iter().enumerate().filter(|(_, (frames, _))| *frames > 0);
            let reasons = reasons.map(|(reason, (frames, bytes))| (reason, *frames, *bytes)).collect();
            (one.passed, reasons, one.by_service().collect(), one.by_group().collect())
        })
        .collect()
    }
}

fn row<'py>(py: Python<'py>, kept: Kept) -> PyResult<Bound<'py, PyTuple>> {
    let answers: Vec<Answer<'_>> = kept.said.iter().map(|(said, bytes)| answer(py, *said, bytes)).collect();
    (kept.index, kept.clock_ns, PyBytes::new(py, &kept.frame), answers).into_pyobject(py)
}

fn answer<'py>(py: Python<'py>, said: Said, bytes: &[u8]) -> Answer<'py> {
    (said.passed, said.reason, said.service, said.group, said.port, PyBytes::new(py, bytes))
}
