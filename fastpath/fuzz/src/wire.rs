//! Worker frames: what is read is written again byte for byte.

use dpu_types::wire::Frame;

/// One frame from a peer.
pub fn frame(bytes: &[u8]) {
    let Ok(frame) = Frame::decode(bytes) else { return };
    let mut written = b"before".to_vec();
    frame.encode(&mut written).expect("what was read is within its limits");
    assert_eq!(&written[6..], bytes, "written as it was read");
    for cut in 0..bytes.len().min(256) {
        assert!(Frame::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let longer = [bytes, b"\0"].concat();
    assert!(Frame::decode(&longer).is_err(), "a byte too many");
}
