//! Captures: whatever a file says, frames are bounded and the same in whatever pieces the file is read.

use dpu_replay::capture::Capture;
use dpu_replay::frame::FRAME_BYTES_MAX;
use dpu_replay::Frame;
use std::io::{Cursor, Read};

/// Gives out no more than so many bytes at once.
struct Pieces(Cursor<Vec<u8>>, usize);

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let bytes = into.len().min(self.1);
        self.0.read(&mut into[..bytes])
    }
}

type Frames = Result<(Vec<Frame>, bool), String>;

fn frames(file: &[u8], piece: usize) -> Frames {
    let from = Pieces(Cursor::new(file.to_vec()), piece);
    let mut capture = Capture::open(Box::new(from)).map_err(|error| error.to_string())?;
    let (mut found, mut frame) = (Vec::new(), Frame::default());
    while capture.next(&mut frame).map_err(|error| error.to_string())? {
        assert!(frame.data.len() <= FRAME_BYTES_MAX && frame.data.len() <= file.len());
        assert!(frame.data.len() <= frame.wire_bytes as usize);
        assert!(capture.position() <= file.len() as u64);
        found.push(frame.clone());
    }
    Ok((found, capture.ended_early()))
}

/// The same whole and in pieces; an error names its fix.
pub fn capture(file: &[u8]) {
    let whole = frames(file, usize::MAX);
    assert_eq!(whole, frames(file, 1));
    assert_eq!(whole, frames(file, 7));
    if let Err(error) = whole {
        assert!(error.contains("(fix: "));
    }
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 12).to_le_bytes();
    [&kind.to_le_bytes(), &length, body, &length].concat()
}

/// One of each format, order and kind of block.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let little =
        [&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0][..], &[0; 8], &[0xff, 0xff, 0, 0, 1, 0, 0, 0]].concat();
    let record = [1, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 9, 0, 0, 0, b'a', b'b', b'c', b'd'];
    let big = [&[0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4][..], &[0; 8], &[0, 0, 0xff, 0xff, 0, 0, 0, 1]].concat();
    let record_big = [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 4, b'a', b'b', b'c', b'd'];
    let section =
        block(0x0a0d_0d0a, &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    let options =
        [1, 0, 0, 0, 0, 0, 4, 0, 9, 0, 1, 0, 9, 0, 0, 0, 14, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let interface = block(1, &options);
    let packet = block(6, &[&[0; 12][..], &[4, 0, 0, 0, 9, 0, 0, 0, b'a', b'b', b'c', b'd']].concat());
    let old = block(2, &[&[0; 12][..], &[4, 0, 0, 0, 9, 0, 0, 0, b'a', b'b', b'c', b'd']].concat());
    let simple = block(3, &[4, 0, 0, 0, b'a', b'b', b'c', b'd']);
    let other = block(5, &[0; 12]);
    vec![
        [&little[..], &record, &record].concat(),
        [&big[..], &record_big].concat(),
        [&section[..], &interface, &packet, &other, &simple, &old].concat(),
        [&section[..], &interface, &section, &interface, &interface, &packet].concat(),
    ]
}
