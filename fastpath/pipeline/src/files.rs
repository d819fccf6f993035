//! The files that a plan names: certificates, keys, client CAs, revocation lists, JWK sets. Read whole, bounded.

use crate::programmed::problem;
use dpu_policy::{KeyFiles, KEY_FILE_BYTES_MAX};
use dpu_tls::{Asked, CertificateInput, ClientsInput, MinVersion, TlsInput};
use dpu_types::plan::{self, Plan, Problem};
use std::io::Read;

/// Bytes of one certificate, key or CA file. The bundle of all public CAs has a quarter of that.
const PEM_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one revocation list: about 800,000 entries.
const CRL_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a listener's TLS is made from.
///
/// # Errors
/// The first file that cannot be read, or a setting that this build does not know.
pub(crate) fn tls(entry: &plan::Listener) -> Result<TlsInput, Problem> {
    let certificates = entry.certificates.iter().enumerate().map(certificate).collect::<Result<_, _>>()?;
    let min_version = match entry.tls_min_version.as_str() {
        "" | "1.3" => MinVersion::Tls13,
        "1.2" => MinVersion::Tls12,
        other => {
            return Err(problem("tls.min_version", &format!("{other:?} is not known"), "write 1.3 or 1.2"))
        }
    };
    Ok(TlsInput { certificates, min_version, clients: clients(entry)? })
}

fn certificate((index, entry): (usize, &plan::Certificate)) -> Result<CertificateInput, Problem> {
    let at = |field: &str| format!("certificates[{index}].{field}");
    Ok(CertificateInput {
        server_names: entry.server_names.clone(),
        chain_pem: read(&entry.certificate_file, &at("certificate_file"), PEM_BYTES_MAX)?,
        key_pem: read(&entry.private_key_file, &at("private_key_file"), PEM_BYTES_MAX)?,
    })
}

fn clients(entry: &plan::Listener) -> Result<ClientsInput, Problem> {
    let asked = match entry.client_certificates() {
        plan::ClientCertificates::None => Asked::None,
        plan::ClientCertificates::Optional => Asked::Optional,
        plan::ClientCertificates::Required => Asked::Required,
    };
    if asked != Asked::None && entry.client_ca_files.is_empty() {
        return Err(problem(
            "client_ca_files",
            "there is none",
            "name the CAs that issue client certificates",
        ));
    }
    let all = |paths: &[String], field: &str, max| {
        let each = paths.iter().enumerate().map(|(i, path)| read(path, &format!("{field}[{i}]"), max));
        each.collect::<Result<Vec<_>, _>>()
    };
    Ok(ClientsInput {
        asked,
        ca_files: all(&entry.client_ca_files, "client_ca_files", PEM_BYTES_MAX)?,
        crl_files: all(&entry.client_crl_files, "client_crl_files", CRL_BYTES_MAX)?,
    })
}

/// What the plan's JWKS files hold, by their names.
///
/// # Errors
/// Every file that cannot be read, at the first entry that names it.
pub(crate) fn jwks(plan: &Plan) -> Result<KeyFiles, Vec<Problem>> {
    let (mut files, mut problems) = (KeyFiles::new(), Vec::new());
    for (t, tenant) in plan.tenants.iter().enumerate() {
        for (j, entry) in tenant.jwt.iter().enumerate() {
            if files.contains_key(&entry.jwks_file) {
                continue;
            }
            let at = format!("tenants[{t}].jwt[{j}].jwks_file");
            let file = read(&entry.jwks_file, &at, KEY_FILE_BYTES_MAX);
            files.insert(entry.jwks_file.clone(), file.map_err(|p| problems.push(p)).unwrap_or_default());
        }
    }
    if problems.is_empty() {
        Ok(files)
    } else {
        Err(problems)
    }
}

fn read(path: &str, at: &str, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let bad = |what: String, fix: &str| problem(at, &format!("{path}: {what}"), fix);
    let fix = "name a file that the fast path may read; for development: make certs";
    let file = std::fs::File::open(path).map_err(|error| bad(error.to_string(), fix))?;
    let mut bytes = Vec::new();
    let limit = bytes_max as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(|error| bad(error.to_string(), fix))?;
    if bytes.len() > bytes_max {
        return Err(bad(format!("is larger than {bytes_max} bytes"), "name another file, or shorten it"));
    }
    Ok(bytes)
}
