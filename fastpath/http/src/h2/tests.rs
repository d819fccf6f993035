#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Heads as the h2 crate builds them: `:scheme`, `:authority` and `:path` in the URI, the fields in the map.

use super::*;
use dpu_types::Endpoint;
use dpu_types::Reason::{
    HttpAmbiguousLength, HttpBadExpect, HttpBadHost, HttpHeadTooLarge, HttpMalformedHead, HttpMediaType,
    HttpMethodRefused, HttpNotFound, HttpTooManyHeaders, HttpUpgradeRefused,
};

const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 2000, headers_max: 10 };

fn parts(method: &str, uri: &str, fields: &[(&str, &str)]) -> http::request::Parts {
    let mut builder = http::Request::builder().method(method).uri(uri).version(http::Version::HTTP_2);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

fn refused(method: &str, uri: &str, fields: &[(&str, &str)]) -> Option<Reason> {
    request_head(&parts(method, uri, fields), &LIMITS).err().map(|refused| refused.refusal.reason)
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn a_sound_head_gives_what_policy_needs() {
    let fields = [JSON, ("authorization", "Bearer x"), ("content-length", "5"), ("te", "trailers")];
    let head = request_head(&parts("POST", "https://API.h:8443/v1/completions?x", &fields), &LIMITS).unwrap();
    let request = head.request.unwrap();
    assert_eq!((request.endpoint, request.host.as_str()), (Endpoint::Completions, "api.h"));
    assert_eq!(request.authorization.as_deref(), Some(&b"Bearer x"[..]));
    assert_eq!(head.content_length, Some(5));
}

#[test]
fn requests_that_are_refused_without_closing() {
    for (method, uri, fields, reason, allow) in [
        ("GET", "https://h/nope", &[][..], HttpNotFound, None),
        ("GET", "https://h/v1/completions", &[], HttpMethodRefused, Some("POST")),
        ("HEAD", "https://h/v1/models", &[], HttpMethodRefused, Some("GET")),
        ("POST", "https://h/v1/completions", &[], HttpMediaType, None),
        ("POST", "https://h/v1/completions", &[JSON, ("content-encoding", "br")], HttpMediaType, None),
        ("GET", "https://h/v1/models", &[("content-length", "3")], HttpMalformedHead, None),
    ] {
        let head = request_head(&parts(method, uri, fields), &LIMITS).unwrap();
        assert_eq!((head.request.unwrap_err().reason, head.allow), (reason, allow), "{method} {uri}");
        assert_eq!(head.bodiless, method == "HEAD");
    }
}

#[test]
fn only_https_is_served() {
    let own = [JSON, ("content-length", "0")];
    assert_eq!(refused("POST", "http://h/v1/completions", &own), Some(HttpMalformedHead));
    assert_eq!(refused("POST", "https://h/v1/completions", &own), None);
    // Without ':authority' the h2 crate has dropped the scheme.
    assert_eq!(refused("POST", "/v1/completions", &[own[0], own[1], ("host", "h")]), None);
}

#[test]
fn connection_specific_fields_are_malformed() {
    for field in [
        ("connection", "close"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("http2-settings", "AA"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
        ("x", " padded"),
    ] {
        assert_eq!(refused("GET", "https://h/v1/models", &[field]), Some(HttpMalformedHead), "{field:?}");
    }
    let twice = [("te", "trailers"), ("te", "trailers")];
    assert_eq!(refused("GET", "https://h/v1/models", &twice), Some(HttpMalformedHead));
}

#[test]
fn authority_and_host_name_one_place() {
    for (uri, fields, reason) in [
        ("https://h/v1/models", &[("host", "H:443")][..], None),
        ("/v1/models", &[("host", "h")], None),
        ("/v1/models", &[], Some(HttpBadHost)),
        ("https://h/v1/models", &[("host", "i")], Some(HttpBadHost)),
        ("https://h/v1/models", &[("host", "h:1")], Some(HttpBadHost)),
        ("https://h/v1/models", &[("host", "h"), ("host", "h")], Some(HttpBadHost)),
        ("https://u@h/v1/models", &[], Some(HttpBadHost)),
    ] {
        assert_eq!(refused("GET", uri, fields), reason, "{uri} {fields:?}");
    }
}

#[test]
fn lengths_and_expectations_are_strict() {
    for (field, reason) in [
        (&[JSON, ("content-length", "+5")][..], HttpAmbiguousLength),
        (&[JSON, ("content-length", "5, 5")], HttpAmbiguousLength),
        (&[JSON, ("content-length", "5"), ("content-length", "5")], HttpAmbiguousLength),
        (&[JSON, ("expect", "x")], HttpBadExpect),
    ] {
        assert_eq!(refused("POST", "https://h/v1/completions", field), Some(reason), "{field:?}");
    }
    assert_eq!(refused("CONNECT", "h:443", &[]), Some(HttpUpgradeRefused));
}

#[test]
fn cookie_crumbs_count_as_one_field_and_with_all_their_bytes() {
    let crumbs = [("cookie", "a=b")].repeat(30);
    assert_eq!(refused("GET", "https://h/v1/models", &crumbs), None);
    assert_eq!(refused("GET", "https://h/v1/models", &crumbs.repeat(2)), Some(HttpHeadTooLarge));
}

#[test]
fn as_many_fields_as_the_limit_pass_and_one_more_is_431() {
    let fields = [("x", "y")].repeat(LIMITS.headers_max);
    assert_eq!(refused("GET", "https://h/v1/models", &fields), None);
    let above = [fields, vec![("cookie", "a")]].concat();
    assert_eq!(refused("GET", "https://h/v1/models", &above), Some(HttpTooManyHeaders));
}

#[test]
fn a_path_with_odd_characters_is_malformed() {
    for uri in ["https://h/v1/models/%4", "https://h/v1/{models}"] {
        assert_eq!(refused("GET", uri, &[]), Some(HttpMalformedHead), "{uri}");
    }
}
