//! Who asks, by the credentials of the plan.

use super::Policy;
use crate::auth::TokenCache;
use crate::TenantIndex;
use dpu_types::{ClientCertificate, Refusal};

impl Policy {
    /// Whose API key or token the value of `authorization` carries ("Bearer KEY").
    ///
    /// # Errors
    /// `auth_missing`, `auth_invalid`, or `auth_token_*`.
    pub fn authenticate(
        &self,
        authorization: Option<&[u8]>,
        now_unix_s: u64,
        tokens: &mut TokenCache,
    ) -> Result<TenantIndex, Refusal> {
        self.credentials.authenticate(authorization, now_unix_s, tokens)
    }

    /// Whose client certificate it is, for requests without `authorization`. Worth remembering per connection, as
    /// long as [`Self::credentials_id`] is the same.
    ///
    /// # Errors
    /// `auth_invalid`.
    pub fn tenant_of_certificate(&self, certificate: &ClientCertificate) -> Result<TenantIndex, Refusal> {
        self.credentials.of_certificate(certificate)
    }

    /// Differs between any two policies of this process.
    #[must_use]
    pub const fn credentials_id(&self) -> u64 {
        self.credentials.id()
    }
}
