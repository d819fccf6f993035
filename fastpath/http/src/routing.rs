//! Method and path to endpoint, for both HTTP versions.

use dpu_types::{Endpoint, Reason, Refusal};

/// A path that is served, with what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What is asked for.
    pub endpoint: Endpoint,
    /// The model of `/v1/models/{id}`, percent-decoded; empty elsewhere.
    pub path_id: String,
}

/// A refusal, and the `allow` field of a 405.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// 404, 405 or 400.
    pub refusal: Refusal,
    /// Methods that the path does take.
    pub allow: Option<&'static str>,
}

const MODEL_PREFIX: &str = "/v1/models/";

/// Bytes of a percent-decoded model id; the table of models has shorter names only.
const PATH_ID_BYTES_MAX: usize = 256;

/// The endpoint of a path without its query. Paths are compared byte for byte: no `//`, `/./` or `%2e` is resolved.
///
/// # Errors
/// `http_not_found`; `http_method_refused` with `allow`; `http_malformed_head` for an id that is not percent-coded
/// UTF-8.
pub fn route(method: &str, path: &str) -> Result<Route, Refused> {
    let endpoint = match path {
        "/v1/chat/completions" => Endpoint::ChatCompletions,
        "/v1/completions" => Endpoint::Completions,
        "/v1/embeddings" => Endpoint::Embeddings,
        "/v1/models" => Endpoint::Models,
        _ if path.len() > MODEL_PREFIX.len() && path.starts_with(MODEL_PREFIX) => Endpoint::Model,
        _ => return Err(Refused { refusal: Reason::HttpNotFound.into(), allow: None }),
    };
    let allow = if endpoint.takes_body() { "POST" } else { "GET" };
    if method != allow {
        return Err(Refused { refusal: Reason::HttpMethodRefused.into(), allow: Some(allow) });
    }
    let path_id = match endpoint {
        Endpoint::Model => decode_id(&path[MODEL_PREFIX.len()..])?,
        _ => String::new(),
    };
    Ok(Route { endpoint, path_id })
}

/// The refusal of `OPTIONS *`: a server-wide question, to which there is no answer but the methods.
#[must_use]
pub fn asterisk() -> Refused {
    Refused { refusal: Reason::HttpMethodRefused.into(), allow: Some("GET, POST") }
}

fn decode_id(coded: &str) -> Result<String, Refused> {
    let malformed = || Refused {
        refusal: Refusal::from(Reason::HttpMalformedHead).because("the model id in the path is not valid"),
        allow: None,
    };
    let bytes = percent_decode(coded.as_bytes()).ok_or_else(malformed)?;
    if bytes.len() > PATH_ID_BYTES_MAX || bytes.iter().any(u8::is_ascii_control) {
        return Err(malformed());
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

/// RFC 3986, 2.1; None for a `%` without two hex digits.
fn percent_decode(coded: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(coded.len());
    let mut rest = coded.iter();
    while let Some(&byte) = rest.next() {
        plain.push(match byte {
            b'%' => hex_digit(*rest.next()?)? << 4 | hex_digit(*rest.next()?)?,
            other => other,
        });
    }
    Some(plain)
}

fn hex_digit(byte: u8) -> Option<u8> {
    // A hex digit is below 16, so it fits.
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests;
