//! Public JSON test suites: nst/JSONTestSuite and the RFC 8785 pairs of cyberphone/json-canonicalization.
//!
//! The data lies beside the repository (`../shared/testdata`); where it does not, the test says that it was left out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use dpu_policy::json::{canonical, JsonLimits, Tree};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

const LIMITS: JsonLimits = JsonLimits { depth_max: 64, body_bytes_max: 1 << 20 };
const I_CASES: &str = include_str!("json_i_cases.tsv");

fn data(folder: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("left out: {} is not there", path.display());
    None
}

fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let Some(path) = data(folder) else { return Vec::new() };
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// "accepted", or the name of the reason.
fn outcome(body: &[u8]) -> &'static str {
    Tree::parse(body, LIMITS).map_or_else(|error| error.reason.info().name, |_| "accepted")
}

#[test]
fn every_y_file_is_accepted_but_duplicate_keys() {
    for (name, body) in files("json_parsing").iter().filter(|(name, _)| name.starts_with("y_")) {
        let duplicate = name.starts_with("y_object_duplicated_key");
        assert_eq!(outcome(body), if duplicate { "json_duplicate_key" } else { "accepted" }, "{name}");
    }
}

#[test]
fn every_n_file_is_refused() {
    for (name, body) in files("json_parsing").iter().filter(|(name, _)| name.starts_with("n_")) {
        assert_ne!(outcome(body), "accepted", "{name}");
    }
}

#[test]
fn every_i_file_does_what_the_table_says() {
    let rows = I_CASES.lines().filter(|line| !line.starts_with('#'));
    let table: BTreeMap<&str, &str> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('\t').collect();
            assert!(cells.len() == 3 && !cells[2].is_empty(), "a row is: file, outcome, why: {row}");
            (cells[0], cells[1])
        })
        .collect();
    let files = files("json_parsing");
    for (name, body) in files.iter().filter(|(name, _)| name.starts_with("i_")) {
        assert_eq!(table.get(name.as_str()), Some(&outcome(body)), "{name}");
    }
    let met = files.iter().filter(|(name, _)| name.starts_with("i_")).count();
    assert!(met == 0 || met == table.len(), "the table has rows without a file");
}

#[test]
fn canonical_forms_are_the_published_ones_byte_for_byte() {
    let outputs: BTreeMap<String, Vec<u8>> = files("jcs/output").into_iter().collect();
    for (name, input) in files("jcs/input") {
        let tree = Tree::parse(&input, LIMITS).unwrap();
        let (got, expected) = (canonical::to_vec(&tree), outputs[&name].trim_ascii_end());
        assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(expected), "{name}");
        assert_eq!(got, expected, "{name}");
    }
}
