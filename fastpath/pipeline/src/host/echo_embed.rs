//! Embeddings of the echo engine: a unit vector for each input, made from its bytes by a fixed rule, so that clients can
//! be tested against known values. Equal inputs are equal, all others are far apart; nothing else is meant by them.

use serde_json::Value;

/// Length of a vector where the request does not say.
const DIMENSIONS: usize = 64;
/// Longest vector.
const DIMENSIONS_MAX: usize = 4096;
/// Numbers of one answer: about 13 bytes each, so that they fit into a frame.
const NUMBERS_MAX: usize = 500_000;

/// The array `data` of the answer and the tokens of all inputs: the words of a text, the ids of a list of ids.
///
/// # Errors
/// What is wrong with the request, for people.
pub fn answer(body: &[u8]) -> Result<(Vec<u8>, u32), String> {
    let body: Value = serde_json::from_slice(body).map_err(|_| "the body is not JSON".to_owned())?;
    let inputs = inputs(body.get("input").unwrap_or(&Value::Null));
    let asked = body.get("dimensions").and_then(Value::as_u64).map(usize::try_from);
    let dimensions = asked.map_or(DIMENSIONS, |asked| asked.unwrap_or(usize::MAX));
    if !(1..=DIMENSIONS_MAX).contains(&dimensions) || inputs.len() * dimensions > NUMBERS_MAX {
        return Err(format!("echo makes up to {DIMENSIONS_MAX} dimensions and {NUMBERS_MAX} numbers"));
    }
    let coded = body.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let mut out = b"[".to_vec();
    for (index, (bytes, _)) in inputs.iter().enumerate() {
        let separator = if index > 0 { "," } else { "" };
        let head = format!(r#"{separator}{{"object":"embedding","index":{index},"embedding":"#);
        out.extend_from_slice(head.as_bytes());
        put(&mut out, &unit_vector(bytes, dimensions), coded);
        out.push(b'}');
    }
    out.push(b']');
    Ok((out, inputs.iter().map(|(_, tokens)| *tokens).fold(0, u32::saturating_add)))
}

/// Bytes and tokens of each input; policy has checked that it is a text, ids, or a list of these.
fn inputs(input: &Value) -> Vec<(Vec<u8>, u32)> {
    match input {
        Value::Array(items) if !items.iter().all(Value::is_number) => items.iter().map(one).collect(),
        other => vec![one(other)],
    }
}

fn one(input: &Value) -> (Vec<u8>, u32) {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    match input {
        Value::String(text) => (text.clone().into_bytes(), count(text.split_whitespace().count())),
        Value::Array(ids) => (input.to_string().into_bytes(), count(ids.len())),
        other => (other.to_string().into_bytes(), 1),
    }
}

/// FNV-1a of the bytes seeds SplitMix64, which gives the numbers; then length 1.
fn unit_vector(bytes: &[u8], dimensions: usize) -> Vec<f32> {
    let seed = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let mut state = bytes.iter().fold(0xcbf2_9ce4_8422_2325, seed);
    let numbers: Vec<f64> = (0..dimensions).map(|_| number(&mut state)).collect();
    let length = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
    numbers.iter().map(|number| (number / length) as f32).collect()
}

/// From -1 to 1, never 0.
fn number(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    ((mixed >> 11 | 1) as f64) / (1_u64 << 52) as f64 - 1.0
}

/// An array of numbers, or the base64 of their little-endian 32-bit floats, which is what OpenAI's SDKs ask for.
fn put(out: &mut Vec<u8>, vector: &[f32], coded: bool) {
    if coded {
        let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        out.push(b'"');
        put_base64(out, &bytes);
        out.push(b'"');
    } else {
        // Finite floats always serialise, and a Vec always takes them.
        let _ = serde_json::to_writer(out, vector);
    }
}

/// RFC 4648, 4.
fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let known = digit <= group.len();
            out.push(if known { DIGITS[(bits >> (18 - 6 * digit) & 63) as usize] } else { b'=' });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn vectors(body: &str) -> (Vec<Vec<f64>>, u32) {
        let (data, tokens) = answer(body.as_bytes()).unwrap();
        let data: Vec<Value> = serde_json::from_slice(&data).unwrap();
        assert!(data
            .iter()
            .enumerate()
            .all(|(index, item)| item["index"] == index && item["object"] == "embedding"));
        let numbers = |item: &Value| {
            item["embedding"].as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect()
        };
        (data.iter().map(numbers).collect(), tokens)
    }

    #[test]
    fn each_form_of_input_gives_its_vectors() {
        for (input, count, tokens) in [
            (r#""two words""#, 1, 2),
            (r#"["a","b c"]"#, 2, 3),
            ("[1,2,3]", 1, 3),
            ("[[1,2],[3]]", 2, 3),
            (r#"["a",[7]]"#, 2, 2),
        ] {
            let (found, counted) = vectors(&format!(r#"{{"input":{input}}}"#));
            assert_eq!((found.len(), counted), (count, tokens), "{input}");
            for vector in &found {
                assert_eq!(vector.len(), DIMENSIONS);
                assert!((vector.iter().map(|n| n * n).sum::<f64>() - 1.0).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn equal_inputs_are_equal_and_others_are_not() {
        let (found, _) = vectors(r#"{"input":["a","b","a"],"dimensions":16}"#);
        assert_eq!((found[0].len(), found[0] == found[2], found[0] == found[1]), (16, true, false));
    }

    #[test]
    fn base64_holds_the_same_floats() {
        let (data, _) = answer(br#"{"input":"a","dimensions":2,"encoding_format":"base64"}"#).unwrap();
        let data: Value = serde_json::from_slice(&data).unwrap();
        let floats = unit_vector(b"a", 2);
        let mut expected = Vec::new();
        put_base64(&mut expected, &floats.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>());
        assert_eq!(data[0]["embedding"].as_str().unwrap().as_bytes(), expected);
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            let mut out = Vec::new();
            put_base64(&mut out, plain.as_bytes());
            assert_eq!(out, coded.as_bytes());
        }
    }

    #[test]
    fn what_would_not_fit_into_a_frame_is_refused() {
        assert!(answer(br#"{"input":"a","dimensions":4097}"#).is_err());
        let many = format!(r#"{{"input":[{}],"dimensions":4096}}"#, vec!["\"a\""; 200].join(","));
        assert!(answer(many.as_bytes()).is_err());
        let fits = format!(r#"{{"input":[{}],"dimensions":4096}}"#, vec!["\"a\""; 122].join(","));
        assert!(answer(fits.as_bytes()).unwrap().0.len() < dpu_types::gen::worker_frame::FRAME_BYTES_MAX);
    }
}
