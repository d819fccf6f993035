//! Traffic that nobody sent: the same for the same seed. Addresses of sources are of 198.18.0.0/15 (RFC 2544) and
//! 2001:2::/48 (RFC 5180), which are set aside for tests.

use crate::frame::Frame;

/// What the traffic is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// SYNs from sources that do not exist, each one another.
    Flood,
    /// Few sources that try ports and addresses one after the other.
    Scan,
    /// Clients with flows, and among them SYNs, fragments, ICMP, strangers and broken headers.
    Mix,
}

/// A destination: its address in 4 or 16 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vip {
    /// In network order.
    pub address: Vec<u8>,
    /// 6 or 17.
    pub protocol: u8,
    /// Destination port.
    pub port: u16,
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const FIN_ACK: u8 = 0x11;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const PSH_ACK: u8 = 0x18;
/// Clients of `Mix`, and flows of each.
const CLIENTS: u64 = 4_096;
const SCANNERS: u64 = 4;

/// Makes frames.
pub struct Generator {
    traffic: Traffic,
    vips: Vec<To>,
    count: u64,
    made: u64,
    interval_ns: u64,
    dice: u64,
}

impl Generator {
    /// `count` frames to `vips`, one each `interval_ns`. Without a VIP they go to 192.0.2.1:443.
    #[must_use]
    pub fn new(traffic: Traffic, vips: &[Vip], count: u64, seed: u64, interval_ns: u64) -> Self {
        let mut to: Vec<To> = vips.iter().filter_map(To::of).collect();
        if to.is_empty() {
            to.push(To { address: Address::of(&[192, 0, 2, 1]), protocol: TCP, port: 443 });
        }
        Self { traffic, vips: to, count, made: 0, interval_ns, dice: seed }
    }

    /// How many there are in all.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The next frame; false at the end.
    pub fn next(&mut self, frame: &mut Frame) -> bool {
        if self.made == self.count {
            return false;
        }
        frame.data.clear();
        match self.traffic {
            Traffic::Flood => self.flood(&mut frame.data),
            Traffic::Scan => self.scan(&mut frame.data),
            Traffic::Mix => self.mix(&mut frame.data),
        }
        frame.wire_bytes = frame.data.len() as u32;
        frame.clock_ns = self.made.saturating_mul(self.interval_ns);
        self.made += 1;
        true
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.dice;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn vip(&mut self) -> To {
        let place = self.roll() as usize % self.vips.len();
        self.vips[place]
    }

    fn flood(&mut self, data: &mut Vec<u8>) {
        let (vip, dice) = (self.vip(), self.roll());
        let source = Source { client: dice >> 16, port: 1_024 | dice as u16 };
        write(data, &source, &vip, if vip.protocol == UDP { 0 } else { SYN }, 0);
    }

    fn scan(&mut self, data: &mut Vec<u8>) {
        let step = self.made / SCANNERS;
        let mut vip = self.vips[(step / 65_536) as usize % self.vips.len()];
        vip.port = step as u16;
        let source = Source { client: self.made % SCANNERS, port: 40_000 };
        write(data, &source, &vip, if vip.protocol == UDP { 0 } else { SYN }, 0);
    }

    fn mix(&mut self, data: &mut Vec<u8>) {
        let (mut vip, dice) = (self.vip(), self.roll());
        let source = Source { client: dice % CLIENTS, port: 32_768 + (dice >> 32) as u16 % 8 };
        let payload = (dice >> 40) as usize % 1_400;
        match dice >> 56 {
            0..=9 => write(data, &source, &vip, SYN, 0),
            10..=14 => write(data, &source, &vip, FIN_ACK, 0),
            15..=24 => {
                vip.port ^= 0x55;
                write(data, &source, &vip, SYN, 0);
            }
            25..=29 => {
                write(data, &source, &vip, ACK, payload);
                fragment(data);
            }
            30..=34 => {
                write(data, &source, &vip, ACK, payload);
                let cut = (dice >> 20) as usize % data.len();
                data.truncate(cut.max(14));
            }
            35..=39 => {
                write(data, &source, &vip, ACK, payload);
                let place = (dice >> 20) as usize % data.len().min(74);
                data[place] ^= 1 << (dice >> 17 & 7);
            }
            40..=44 => echo(data, &source, &vip),
            45..=49 => arp(data),
            50..=89 => write(data, &source, &vip, ACK, 0),
            _ => write(data, &source, &vip, PSH_ACK, payload),
        }
    }
}

/// A VIP without memory of its own.
#[derive(Clone, Copy)]
struct To {
    address: Address,
    protocol: u8,
    port: u16,
}

impl To {
    fn of(vip: &Vip) -> Option<Self> {
        let known = matches!(vip.address.len(), 4 | 16);
        known.then(|| Self { address: Address::of(&vip.address), protocol: vip.protocol, port: vip.port })
    }
}

/// 4 or 16 bytes.
#[derive(Clone, Copy)]
struct Address {
    bytes: [u8; 16],
    length: usize,
}

impl Address {
    fn of(from: &[u8]) -> Self {
        let mut bytes = [0; 16];
        bytes[..from.len()].copy_from_slice(from);
        Self { bytes, length: from.len() }
    }

    fn is_ipv4(&self) -> bool {
        self.length == 4
    }
}

impl std::ops::Deref for Address {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

struct Source {
    client: u64,
    port: u16,
}

impl Source {
    /// In the family of `like`.
    fn address(&self, like: &Address) -> Address {
        let client = self.client.to_be_bytes();
        if like.is_ipv4() {
            return Address::of(&[198, 18 | client[5] & 1, client[6], client[7]]);
        }
        let mut bytes = [0x20, 0x01, 0x00, 0x02, 0, 0, client[6], client[7], 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[8..].copy_from_slice(&client);
        Address { bytes, length: 16 }
    }
}

/// A whole frame with checksums that hold.
fn write(data: &mut Vec<u8>, source: &Source, vip: &To, flags: u8, payload: usize) {
    let header = if vip.protocol == UDP { 8 } else { 20 };
    let from = source.address(&vip.address);
    let start = ip(data, &from, &vip.address, vip.protocol, header + payload);
    data.extend_from_slice(&source.port.to_be_bytes());
    data.extend_from_slice(&vip.port.to_be_bytes());
    if vip.protocol == UDP {
        data.extend_from_slice(&((header + payload) as u16).to_be_bytes());
        data.extend_from_slice(&[0, 0]);
    } else {
        data.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    }
    data.resize(start + header + payload, b'.');
    let at = start + if vip.protocol == UDP { 6 } else { 16 };
    let sum = checksum(&[
        &from,
        &vip.address,
        &[0, vip.protocol],
        &((header + payload) as u16).to_be_bytes(),
        &data[start..],
    ]);
    let sum = if vip.protocol == UDP && sum == 0 { 0xffff } else { sum };
    data[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Ethernet and IP around `bytes` that follow; where they start.
fn ip(data: &mut Vec<u8>, from: &[u8], to: &[u8], protocol: u8, bytes: usize) -> usize {
    data.extend_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
    if to.len() == 4 {
        data.extend_from_slice(&[0x08, 0x00, 0x45, 0]);
        data.extend_from_slice(&((20 + bytes) as u16).to_be_bytes());
        data.extend_from_slice(&[0, 0, 0x40, 0, 64, protocol, 0, 0]);
        data.extend_from_slice(from);
        data.extend_from_slice(to);
        let sum = checksum(&[&data[14..34]]);
        data[24..26].copy_from_slice(&sum.to_be_bytes());
    } else {
        data.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
        data.extend_from_slice(&(bytes as u16).to_be_bytes());
        data.extend_from_slice(&[protocol, 64]);
        data.extend_from_slice(from);
        data.extend_from_slice(to);
    }
    data.len()
}

/// Makes IPv4 a first fragment; an IPv6 frame gets a fragment header's number for what follows.
fn fragment(data: &mut [u8]) {
    if data[12] == 0x08 {
        data[20] = 0x20;
    } else {
        data[20] = 44;
    }
}

fn echo(data: &mut Vec<u8>, source: &Source, vip: &To) {
    let (protocol, kind) = if vip.address.is_ipv4() { (1, 8) } else { (58, 128) };
    ip(data, &source.address(&vip.address), &vip.address, protocol, 8);
    data.extend_from_slice(&[kind, 0, 0, 0, 0, 0, 0, 0]);
}

fn arp(data: &mut Vec<u8>) {
    data.extend_from_slice(&[0xff; 6]);
    data.extend_from_slice(&[2, 0, 0, 0, 0, 2, 0x08, 0x06]);
    data.resize(60, 0);
}

/// The Internet checksum (RFC 1071) over pieces of even length but the last.
fn checksum(pieces: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for piece in pieces {
        for pair in piece.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
