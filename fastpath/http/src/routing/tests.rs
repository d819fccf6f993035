#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Ids of models in paths; methods and paths are in `tests/head_accepted.rs`, for both versions' sake.

use super::*;

#[test]
fn ids_are_percent_decoded_once() {
    for (path, id) in [("a", "a"), ("a%2Fb", "a/b"), ("a%252Fb", "a%2Fb"), ("%C3%A9", "é"), ("a+b", "a+b")] {
        let route = route("GET", &format!("/v1/models/{path}")).unwrap();
        assert_eq!(route.path_id, id);
    }
}

#[test]
fn ids_that_are_no_text_are_refused() {
    let long = "a".repeat(PATH_ID_BYTES_MAX + 1);
    for path in ["%", "%4", "%zz", "%+1", "%C3", "%0a", "%7f", &long] {
        let refused = route("GET", &format!("/v1/models/{path}")).unwrap_err();
        assert_eq!(refused.refusal.reason, Reason::HttpMalformedHead, "{path}");
    }
}
