//! Generated traffic is the same for the same seed, and of the kind that was asked for.
#![allow(clippy::unwrap_used)]

use dpu_replay::generate::{Generator, Traffic, Vip};
use dpu_replay::Frame;
use std::collections::HashSet;

fn vips() -> Vec<Vip> {
    let six = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
    vec![
        Vip { address: vec![192, 0, 2, 10], protocol: 6, port: 443 },
        Vip { address: six.to_vec(), protocol: 6, port: 443 },
        Vip { address: vec![192, 0, 2, 10], protocol: 17, port: 443 },
    ]
}

fn frames(traffic: Traffic, count: u64, seed: u64) -> Vec<(u64, Vec<u8>)> {
    let mut generator = Generator::new(traffic, &vips(), count, seed, 1_000);
    let (mut found, mut frame) = (Vec::new(), Frame::default());
    while generator.next(&mut frame) {
        assert!(!frame.is_cut());
        found.push((frame.clock_ns, frame.data.clone()));
    }
    found
}

#[test]
fn the_same_seed_makes_the_same_frames_and_another_makes_others() {
    for traffic in [Traffic::Flood, Traffic::Mix] {
        assert_eq!(frames(traffic, 500, 7), frames(traffic, 500, 7));
        assert_ne!(frames(traffic, 500, 7), frames(traffic, 500, 8));
    }
}

#[test]
fn as_many_frames_as_were_asked_for_at_their_times() {
    let found = frames(Traffic::Flood, 100, 1);
    let clocks: Vec<u64> = found.iter().map(|(clock_ns, _)| *clock_ns).collect();
    assert_eq!(clocks, (0..100).map(|number| number * 1_000).collect::<Vec<_>>());
}

#[test]
fn a_flood_comes_from_everywhere_and_a_scan_from_few() {
    let sources = |traffic| {
        let found = frames(traffic, 3_000, 3);
        let four: Vec<_> = found.into_iter().filter(|(_, data)| data[12] == 8).collect();
        (four.iter().map(|(_, data)| data[26..30].to_vec()).collect::<HashSet<_>>().len(), four.len())
    };
    let (flood, frames) = sources(Traffic::Flood);
    assert!(flood * 10 > frames * 9);
    assert_eq!(sources(Traffic::Scan).0, 4);
}

#[test]
fn a_scan_tries_every_port_in_order() {
    let found = frames(Traffic::Scan, 4 * 100, 3);
    let ports: Vec<u16> = found.iter().map(|(_, data)| u16::from_be_bytes([data[36], data[37]])).collect();
    assert_eq!(ports, (0..400).map(|number| number / 4).collect::<Vec<u16>>());
}

#[test]
fn a_mix_has_every_kind_and_frames_of_at_least_an_ethernet_header() {
    let found = frames(Traffic::Mix, 20_000, 5);
    assert!(found.iter().all(|(_, data)| (14..=1_514).contains(&data.len())));
    let protocol = |number: u8| {
        found.iter().any(|(_, data)| data.len() > 33 && data[12..15] == [8, 0, 0x45] && data[23] == number)
    };
    assert!([1, 6, 17].into_iter().all(protocol));
    assert!(found.iter().any(|(_, data)| data[12..14] == [8, 6]));
    assert!(found.iter().any(|(_, data)| data.len() < 34));
    assert!(found.iter().any(|(_, data)| data.len() > 40 && data[12..14] == [0x86, 0xdd] && data[20] == 58));
}

#[test]
fn without_a_vip_there_is_one_to_send_to() {
    let mut generator = Generator::new(Traffic::Mix, &[], 10, 1, 1);
    let mut frame = Frame::default();
    assert!((0..10).all(|_| generator.next(&mut frame)) && !generator.next(&mut frame));
}
