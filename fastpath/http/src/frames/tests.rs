#![allow(clippy::unwrap_used)]
use super::*;

const LIMITS: FrameLimits =
    FrameLimits { resets_max: 3, errors_max: 2, continuations_max: 2, control_max: 16, small_data_max: 4 };
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const PRIORITY: u8 = 2;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn begun() -> FrameWatch {
    let mut watch = FrameWatch::new(LIMITS);
    watch.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    watch
}

/// The verdict after so many frames of one kind, with what each is followed by.
fn after(count: usize, bytes: &[u8], mut then: impl FnMut(&mut FrameWatch)) -> Option<Reason> {
    let mut watch = begun();
    for _ in 0..count {
        watch.received(bytes);
        then(&mut watch);
    }
    watch.verdict()
}

#[test]
fn each_kind_of_frame_has_its_bound_and_its_reason() {
    let rst = frame(RST_STREAM, 0, 1, &[0; 4]);
    let tiny = frame(DATA, 0, 1, b"x");
    let empty = frame(DATA, 0, 1, b"");
    let padded = frame(DATA, PADDED, 1, &[0; 500]);
    let continuation = frame(CONTINUATION, 0, 1, b"");
    for (name, bytes, max, reason) in [
        ("RST_STREAM", rst, 3, Reason::H2Resets),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[]), 16, Reason::H2ControlFrames),
        ("PING", frame(PING, 0, 0, &[0; 8]), 16, Reason::H2ControlFrames),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0; 5]), 16, Reason::H2ControlFrames),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), 16, Reason::H2ControlFrames),
        ("unknown", frame(200, 0, 0, &[]), 16, Reason::H2ControlFrames),
        ("tiny DATA", tiny, 4, Reason::H2SmallData),
        ("empty DATA", empty, 4, Reason::H2SmallData),
        ("padded DATA", padded, 4, Reason::H2SmallData),
        ("CONTINUATION", continuation, 2, Reason::H2Continuations),
    ] {
        assert_eq!(after(max, &bytes, |_| ()), None, "{name}");
        assert_eq!(after(max + 1, &bytes, |_| ()), Some(reason), "{name}");
    }
}

#[test]
fn useful_work_earns_what_it_needs() {
    let answer = frame(DATA, 0, 1, &[0; 64]);
    let update = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 64]);
    assert_eq!(after(1_000, &[update.clone(), update].concat(), |watch| watch.sent(&answer)), None);
    let rst = frame(RST_STREAM, 0, 1, &[0; 4]);
    assert_eq!(after(1_000, &rst, FrameWatch::answer_begun), None);
    let small = frame(DATA, 0, 1, b"body");
    let end = frame(DATA, END_STREAM, 1, b"");
    assert_eq!(after(1_000, &[small, end.clone()].concat(), |watch| watch.sent(&end)), None);
}

#[test]
fn a_window_opened_byte_by_byte_earns_nothing() {
    let update = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
    let byte = frame(DATA, 0, 1, b"x");
    assert_eq!(after(17, &update, |watch| watch.sent(&byte)), Some(Reason::H2ControlFrames));
}

#[test]
fn resets_that_the_client_provokes_are_counted_and_ours_are_not() {
    let rst = |code: u32| frame(RST_STREAM, 0, 1, &code.to_be_bytes());
    for (code, verdict) in
        [(1, Some(Reason::H2Errors)), (REFUSED_STREAM, Some(Reason::H2Errors)), (0, None), (8, None)]
    {
        let mut watch = begun();
        (0..3).for_each(|_| watch.sent(&rst(code)));
        assert_eq!(watch.verdict(), verdict, "{code}");
    }
}

#[test]
fn a_goaway_says_why_by_its_debug_data() {
    for (code, debug, verdict) in [
        (0, "", None),
        (1, "", Some(Reason::HttpH2Protocol)),
        (11, "too_many_resets", Some(Reason::H2Resets)),
        (11, "too_many_internal_resets", Some(Reason::H2Errors)),
        (11, "too_many_continuations", Some(Reason::H2Continuations)),
        (11, "too_many_data_frames", Some(Reason::H2SmallData)),
        (11, "header_list_way_too_large", Some(Reason::HttpHeadTooLarge)),
    ] {
        let mut watch = begun();
        let mut payload = vec![0, 0, 0, 0, 0, 0, 0, code];
        payload.extend(debug.as_bytes());
        watch.sent(&frame(GOAWAY, 0, 0, &payload));
        assert_eq!(watch.verdict(), verdict, "{debug}");
    }
}

#[test]
fn a_head_is_open_until_its_last_frame_is_whole() {
    let mut watch = begun();
    let first = frame(HEADERS, 0, 1, b"abc");
    watch.received(&first[..10]);
    assert!(watch.head_is_open());
    watch.received(&first[10..]);
    assert!(watch.head_is_open());
    watch.received(&frame(CONTINUATION, END_HEADERS, 1, b""));
    assert!(!watch.head_is_open());
}

#[test]
fn a_data_frame_that_is_not_whole_says_how_much_is_here() {
    let mut watch = begun();
    let data = frame(DATA, 0, 5, &[0; 100]);
    watch.received(&data[..59]);
    assert_eq!((watch.partial_data(5), watch.partial_data(3)), (50, 0));
    watch.received(&data[59..]);
    assert_eq!(watch.partial_data(5), 0);
}

#[test]
fn heads_that_were_never_handed_over_were_refused_by_the_crate() {
    let head = |stream| frame(HEADERS, END_HEADERS, stream, b"");
    let mut watch = begun();
    for stream in [1, 3, 5, 7] {
        watch.received(&head(stream));
    }
    watch.head_taken(); // 1
    watch.sent(&frame(RST_STREAM, 0, 3, &REFUSED_STREAM.to_be_bytes()));
    watch.sent(&frame(HEADERS, END_HEADERS | END_STREAM, 5, b""));
    watch.sent(&frame(RST_STREAM, 0, 5, &[0, 0, 0, 1]));
    watch.sent(&frame(RST_STREAM, 0, 7, &[0, 0, 0, 1]));
    assert_eq!(watch.take_refused(), Some(Refused { streams: 1, too_large: 1, malformed: 1 }));
    assert_eq!(watch.take_refused(), None);
}

#[test]
fn any_cut_of_the_bytes_gives_the_same_verdict() {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(HEADERS, END_HEADERS, 1, &[0; 300]));
    (0..4).for_each(|_| bytes.extend(frame(DATA, 0, 1, b"x")));
    bytes.extend(frame(DATA, 0, 1, b"xyz"));
    for size in 1..40 {
        let mut watch = FrameWatch::new(LIMITS);
        bytes.chunks(size).for_each(|chunk| watch.received(chunk));
        assert_eq!((watch.verdict(), watch.heads.opened), (Some(Reason::H2SmallData), 1), "{size}");
    }
}
