//! An issuer's public keys (RFC 7517) and the four signatures that are checked with them (RFC 7518, 8037).

use super::base64url;
use crate::json::{JsonLimits, Object, Tree};
use aws_lc_rs::signature::{
    RsaPublicKeyComponents, UnparsedPublicKey, ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256,
};

/// Keys of one file; more is not a key set but a mistake.
const KEYS_MAX: usize = 64;
/// Bytes of one file.
pub const FILE_BYTES_MAX: usize = 256 * 1024;
/// RSA keys below 2048 bits are refused (RFC 7518, 3.3).
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// Signatures that can be asked for. There is no name for `none` or HMAC, so nobody can let them in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Es256,
    Rs256,
    Ps256,
    EdDsa,
}

impl Algorithm {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ES256" => Self::Es256,
            "RS256" => Self::Rs256,
            "PS256" => Self::Ps256,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

#[derive(Debug)]
enum Material {
    /// Uncompressed point.
    P256([u8; 65]),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    Ed25519([u8; 32]),
}

/// One public key.
#[derive(Debug)]
pub(crate) struct Key {
    id: Option<String>,
    /// `alg` of the key, where it is for one algorithm only.
    only: Option<Algorithm>,
    material: Material,
}

impl Key {
    /// Whether it can check this kind of signature: an algorithm never reaches a key of another kind.
    fn takes(&self, algorithm: Algorithm) -> bool {
        let kind = matches!(
            (&self.material, algorithm),
            (Material::P256(_), Algorithm::Es256)
                | (Material::Rsa { .. }, Algorithm::Rs256 | Algorithm::Ps256)
                | (Material::Ed25519(_), Algorithm::EdDsa)
        );
        kind && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether the signature is this key's over `message`.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let verified = match (&self.material, algorithm) {
            (Material::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            (Material::Rsa { n, e }, Algorithm::Rs256) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            (Material::Rsa { n, e }, Algorithm::Ps256) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PSS_2048_8192_SHA256, message, signature)
            }
            (Material::Ed25519(point), Algorithm::EdDsa) => {
                UnparsedPublicKey::new(&ED25519, point).verify(message, signature)
            }
            _ => return false,
        };
        verified.is_ok()
    }
}

/// The keys of one issuer.
#[derive(Debug)]
pub(crate) struct KeySet(Vec<Key>);

impl KeySet {
    /// Reads a JWKS file. Keys of other kinds and uses are left out.
    ///
    /// # Errors
    /// What is wrong with it, for people; never a part of it.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, String> {
        let limits = JsonLimits { depth_max: 16, body_bytes_max: FILE_BYTES_MAX };
        let tree = Tree::parse(file, limits).map_err(|error| format!("is not valid JSON: {error}"))?;
        let listed = tree.root().object().and_then(|set| set.get("keys")).and_then(|keys| keys.items());
        let listed = listed.ok_or("has no list 'keys'")?;
        let mut keys = Vec::new();
        for (index, entry) in listed.enumerate() {
            if index >= KEYS_MAX {
                return Err(format!("has more than {KEYS_MAX} keys"));
            }
            let entry = entry.object().ok_or_else(|| format!("keys[{index}] is not an object"))?;
            keys.extend(key(entry).map_err(|what| format!("keys[{index}] {what}"))?);
        }
        if keys.is_empty() {
            return Err("has no public key for signatures with ES256, RS256, PS256 or EdDSA".into());
        }
        for (index, key) in keys.iter().enumerate() {
            if key.id.is_some() && keys[..index].iter().any(|other| other.id == key.id) {
                return Err("has two keys with one 'kid'".into());
            }
        }
        Ok(Self(keys))
    }

    /// The one key that a token's header points to. None where it points to none, or could mean several.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut fitting = self
            .0
            .iter()
            .filter(|key| key.takes(algorithm) && id.is_none_or(|id| key.id.as_deref() == Some(id)));
        let found = fitting.next()?;
        fitting.next().is_none().then_some(found)
    }
}

/// None for a key of another kind or use.
fn key(entry: Object<'_>) -> Result<Option<Key>, String> {
    let text = |name: &str| entry.get(name).and_then(|value| value.text());
    let kind = text("kty").ok_or("has no 'kty'")?;
    if kind == "oct" || entry.get("d").is_some() {
        return Err("is a secret key: only public keys belong into the file".into());
    }
    let operations = entry.get("key_ops").and_then(|value| value.items());
    let verifies = operations.is_none_or(|mut ops| ops.any(|op| op.text().as_deref() == Some("verify")));
    if text("use").is_some_and(|used| used != "sig") || !verifies {
        return Ok(None);
    }
    let only = text("alg").map(|name| Algorithm::named(&name));
    if only == Some(None) {
        return Ok(None);
    }
    let bytes = |name: &str| {
        let text = text(name).ok_or_else(|| format!("has no '{name}'"))?;
        base64url(text.as_bytes()).ok_or_else(|| format!("has a '{name}' that is not base64url"))
    };
    let curve = text("crv");
    let material = match (&*kind, curve.as_deref()) {
        ("EC", Some("P-256")) => p256(&bytes("x")?, &bytes("y")?)?,
        ("OKP", Some("Ed25519")) => {
            Material::Ed25519(bytes("x")?.try_into().map_err(|_| "has an 'x' that is not 32 bytes")?)
        }
        ("RSA", _) => rsa(bytes("n")?, bytes("e")?)?,
        _ => return Ok(None),
    };
    Ok(Some(Key { id: text("kid").map(|id| id.into_owned()), only: only.flatten(), material }))
}

fn p256(x: &[u8], y: &[u8]) -> Result<Material, String> {
    if x.len() != 32 || y.len() != 32 {
        return Err("has coordinates that are not 32 bytes".into());
    }
    let mut point = [4; 65];
    point[1..33].copy_from_slice(x);
    point[33..].copy_from_slice(y);
    Ok(Material::P256(point))
}

fn rsa(n: Vec<u8>, e: Vec<u8>) -> Result<Material, String> {
    if !RSA_BYTES.contains(&n.len()) || n.first() == Some(&0) {
        return Err("has a modulus outside 2048 to 8192 bits".into());
    }
    Ok(Material::Rsa { n, e })
}
