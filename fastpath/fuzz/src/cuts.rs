//! The same bytes in other pieces.

/// Three ways to cut: whole, byte by byte, and at places that the bytes themselves decide.
#[must_use]
pub fn ways(bytes: &[u8]) -> [Vec<&[u8]>; 3] {
    [vec![bytes], bytes.chunks(1).collect(), pieces(bytes)]
}

/// Cut at places that look random and are the same for the same bytes.
fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    let mut state =
        bytes.iter().fold(0x9e37_79b9_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(16_777_619));
    let (mut rest, mut found) = (bytes, Vec::new());
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Small pieces more often than large ones.
        let size = 1 + ((state >> 16) % (1 << (state >> 29))) as usize;
        let (piece, others) = rest.split_at(size.min(rest.len()));
        found.push(piece);
        rest = others;
    }
    found
}

/// Panics where the ways give different answers.
pub fn agree<T: PartialEq + std::fmt::Debug>(bytes: &[u8], read: impl Fn(&[&[u8]]) -> T) -> T {
    let [whole, each, some] = ways(bytes);
    let answer = read(&whole);
    assert_eq!(answer, read(&each), "whole and byte by byte");
    assert_eq!(answer, read(&some), "whole and in pieces");
    answer
}
