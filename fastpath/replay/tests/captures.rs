//! Captures of both formats, whole and damaged, written by hand from the two drafts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use dpu_replay::capture::Capture;
use dpu_replay::frame::FRAME_BYTES_MAX;
use dpu_replay::input::Order;
use dpu_replay::source::{Cut, Source};
use dpu_replay::Frame;
use std::io::{Cursor, Read};

const ORDERS: [Order; 2] = [Order::Little, Order::Big];

fn n16(order: Order, value: u16) -> Vec<u8> {
    if order == Order::Little {
        value.to_le_bytes().into()
    } else {
        value.to_be_bytes().into()
    }
}

fn n32(order: Order, value: u32) -> Vec<u8> {
    if order == Order::Little {
        value.to_le_bytes().into()
    } else {
        value.to_be_bytes().into()
    }
}

fn pcap(order: Order, magic: u32, link: u32) -> Vec<u8> {
    let mut file = n32(order, magic);
    file.extend([n16(order, 2), n16(order, 4), vec![0; 8], n32(order, 65_535), n32(order, link)].concat());
    file
}

fn record(order: Order, seconds: u32, ticks: u32, wire: u32, data: &[u8]) -> Vec<u8> {
    [n32(order, seconds), n32(order, ticks), n32(order, data.len() as u32), n32(order, wire), data.into()]
        .concat()
}

fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut padded = body.to_vec();
    padded.resize(body.len().next_multiple_of(4), 0);
    let length = n32(order, padded.len() as u32 + 12);
    [n32(order, kind), length.clone(), padded, length].concat()
}

fn section(order: Order) -> Vec<u8> {
    block(
        order,
        0x0a0d_0d0a,
        &[n32(order, 0x1a2b_3c4d), n16(order, 1), n16(order, 0), vec![0xff; 8]].concat(),
    )
}

fn interface(order: Order, link: u16, snap: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = [n16(order, link), n16(order, 0), n32(order, snap)].concat();
    for (code, value) in options {
        body.extend([n16(order, *code), n16(order, value.len() as u16), value.to_vec()].concat());
        body.resize(body.len().next_multiple_of(4), 0);
    }
    block(order, 1, &body)
}

fn packet(order: Order, interface: u32, ticks: u64, wire: u32, data: &[u8]) -> Vec<u8> {
    let times = [n32(order, (ticks >> 32) as u32), n32(order, ticks as u32)].concat();
    let lengths = [n32(order, data.len() as u32), n32(order, wire)].concat();
    block(order, 6, &[n32(order, interface), times, lengths, data.into()].concat())
}

struct ByteByByte(Cursor<Vec<u8>>);

impl Read for ByteByByte {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let bytes = into.len().min(1);
        self.0.read(&mut into[..bytes])
    }
}

/// Time, bytes on the wire, data.
type Frames = Result<(Vec<(u64, u32, Vec<u8>)>, bool), String>;

/// Frames until the end, and whether the end was early; or what is wrong.
fn read(from: Box<dyn Read + Send + Sync>) -> Frames {
    let mut capture = Capture::open(from).map_err(|error| error.to_string())?;
    let (mut frames, mut frame) = (Vec::new(), Frame::default());
    while capture.next(&mut frame).map_err(|error| error.to_string())? {
        frames.push((frame.clock_ns, frame.wire_bytes, frame.data.clone()));
    }
    Ok((frames, capture.ended_early()))
}

/// The same whole and byte by byte.
fn frames(file: &[u8]) -> Frames {
    let whole = read(Box::new(Cursor::new(file.to_vec())));
    assert_eq!(whole, read(Box::new(ByteByByte(Cursor::new(file.to_vec())))));
    whole
}

#[test]
fn pcap_of_both_orders_and_both_resolutions() {
    for order in ORDERS {
        for (magic, ticks, clock_ns) in [(0xa1b2_c3d4, 5, 7_000_005_000), (0xa1b2_3c4d, 5, 7_000_000_005)] {
            let file = [
                pcap(order, magic, 1),
                record(order, 7, ticks, 4, b"abcd"),
                record(order, 8, 0, 900, b"xyz"),
            ]
            .concat();
            let expected = vec![(clock_ns, 4, b"abcd".to_vec()), (8_000_000_000, 900, b"xyz".to_vec())];
            assert_eq!(frames(&file), Ok((expected, false)));
        }
    }
}

#[test]
fn pcapng_of_both_orders_with_blocks_that_are_of_no_use() {
    for order in ORDERS {
        let file = [
            section(order),
            interface(order, 1, 0, &[]),
            block(order, 0x0bad, &[0; 40]),
            packet(order, 0, 7_000_005, 5, b"abcde"),
            block(order, 5, &[0; 12]),
            packet(order, 0, 8_000_000, 900, b"xyz"),
        ]
        .concat();
        let expected = vec![(7_000_005_000, 5, b"abcde".to_vec()), (8_000_000_000, 900, b"xyz".to_vec())];
        assert_eq!(frames(&file), Ok((expected, false)));
    }
}

#[test]
fn pcapng_time_resolution_and_offset() {
    let offset = 10_i64.to_le_bytes();
    let before = (-10_i64).to_le_bytes();
    type Options<'a> = &'a [(u16, &'a [u8])];
    let table: [(Options<'_>, u64, u64); 7] = [
        (&[], 1, 1_000),
        (&[(9, &[9])], 1, 1),
        (&[(9, &[3])], 1, 1_000_000),
        (&[(9, &[0x80 | 10])], 1_024, 1_000_000_000),
        (&[(9, &[9]), (14, &offset)], 1, 10_000_000_001),
        (&[(9, &[9]), (14, &before)], 1, 0),
        (&[(2, b"eth0"), (0, b""), (9, &[9])], 1, 1_000),
    ];
    for (options, ticks, clock_ns) in table {
        let order = Order::Little;
        let file =
            [section(order), interface(order, 1, 0, options), packet(order, 0, ticks, 1, b"x")].concat();
        assert_eq!(frames(&file), Ok((vec![(clock_ns, 1, b"x".to_vec())], false)), "{options:?}");
    }
}

#[test]
fn pcapng_simple_and_old_packets() {
    let order = Order::Big;
    let old = [
        n16(order, 0),
        n16(order, 9),
        n32(order, 0),
        n32(order, 3),
        n32(order, 2),
        n32(order, 70),
        b"ab".to_vec(),
    ];
    let file = [
        section(order),
        interface(order, 1, 4, &[]),
        block(order, 2, &old.concat()),
        block(order, 3, &[n32(order, 60), b"abcd".to_vec()].concat()),
        block(order, 3, &[n32(order, 3), b"abc".to_vec()].concat()),
    ]
    .concat();
    let expected =
        vec![(3_000, 70, b"ab".to_vec()), (3_000, 60, b"abcd".to_vec()), (3_000, 3, b"abc".to_vec())];
    assert_eq!(frames(&file), Ok((expected, false)));
}

#[test]
fn pcapng_sections_have_their_own_order_and_interfaces() {
    let mut file = Vec::new();
    for order in ORDERS {
        file.extend([section(order), interface(order, 1, 0, &[]), packet(order, 0, 1, 1, b"x")].concat());
    }
    assert_eq!(frames(&file).unwrap().0.len(), 2);
    file.extend([section(Order::Little), packet(Order::Little, 0, 1, 1, b"x")].concat());
    assert!(frames(&file).unwrap_err().contains("not described"));
}

#[test]
fn a_capture_that_ends_inside_a_record_gives_what_is_whole() {
    let order = Order::Little;
    let one = [pcap(order, 0xa1b2_c3d4, 1), record(order, 1, 0, 4, b"abcd")].concat();
    let two = [section(order), interface(order, 1, 0, &[]), packet(order, 0, 1, 4, b"abcd")].concat();
    for (file, last) in [(one, 20), (two, 36)] {
        assert_eq!(frames(&file), Ok((vec![frames(&file).unwrap().0[0].clone()], false)));
        for cut in file.len() - last + 1..file.len() {
            assert_eq!(frames(&file[..cut]), Ok((vec![], true)), "{cut}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    let order = Order::Little;
    let ng = |rest: &[u8]| [section(order), interface(order, 1, 0, &[]), rest.to_vec()].concat();
    let large = vec![0; FRAME_BYTES_MAX + 1];
    let interfaces = interface(order, 1, 0, &[]).repeat(4_097);
    let table: [(Vec<u8>, &str); 13] = [
        (vec![], "too short"),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), "neither pcap nor pcapng"),
        (vec![0x1f, 0x8b, 8, 0], "compressed"),
        (pcap(order, 0xa1b2_c3d4, 113), "link type 113"),
        ([pcap(order, 0xa1b2_c3d4, 1), record(order, 1, 0, 1, &large)].concat(), "a frame of 262145 bytes"),
        (
            [section(order), interface(order, 113, 0, &[]), packet(order, 0, 1, 1, b"x")].concat(),
            "link type 113",
        ),
        (ng(&packet(order, 1, 1, 1, b"x")), "not described"),
        (ng(&[6, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 0]), "a block of 13 bytes"),
        (ng(&[6, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]), "a block of 8 bytes"),
        (ng(&block(order, 6, b"xxxx")), "too short"),
        (ng(&[6, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0]), "two lengths"),
        (ng(&interfaces), "too many interfaces"),
        (ng(&interface(order, 1, 0, &[(9, &[0x7f])])), "resolution"),
    ];
    for (file, what) in table {
        let said = frames(&file).unwrap_err();
        assert!(said.contains(what) && said.contains("(fix: "), "{said}");
    }
}

#[test]
fn frames_that_the_capture_cut_are_padded_kept_or_left_out_and_counted() {
    let order = Order::Little;
    let file =
        [pcap(order, 0xa1b2_c3d4, 1), record(order, 1, 0, 6, b"abcd"), record(order, 1, 0, 4, b"xyzw")]
            .concat();
    let table: [(Cut, &[&[u8]]); 3] =
        [(Cut::Pad, &[b"abcd\0\0", b"xyzw"]), (Cut::Keep, &[b"abcd", b"xyzw"]), (Cut::Skip, &[b"xyzw"])];
    for (cut, expected) in table {
        let mut source = Source::stream(Box::new(Cursor::new(file.clone())), file.len() as u64, cut).unwrap();
        let (mut found, mut frame) = (Vec::new(), Frame::default());
        while source.next(&mut frame).unwrap() {
            found.push(frame.data.clone());
        }
        assert_eq!((found, source.frames_cut), (expected.iter().map(|data| data.to_vec()).collect(), 1));
        assert_eq!((source.done(), source.total), (file.len() as u64, file.len() as u64));
    }
}

#[test]
fn a_frame_that_says_it_was_huge_is_padded_to_the_bound_only() {
    let file = [pcap(Order::Little, 0xa1b2_c3d4, 1), record(Order::Little, 1, 0, u32::MAX, b"abcd")].concat();
    let mut source = Source::stream(Box::new(Cursor::new(file)), 0, Cut::Pad).unwrap();
    let mut frame = Frame::default();
    assert!(source.next(&mut frame).unwrap());
    assert_eq!(frame.data.len(), FRAME_BYTES_MAX);
}
