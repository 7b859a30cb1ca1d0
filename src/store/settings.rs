//! How object stores are spoken to.

use std::time::Duration;

/// How object stores are spoken to. Credentials come from the usual environment only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Endpoint of an S3-compatible server, when it is not the provider's own.
    pub endpoint: Option<String>,
    /// Region of the bucket.
    pub region: Option<String>,
    /// Allows plain http endpoints.
    pub allow_http: bool,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Longest silence inside a response.
    pub read_timeout: Duration,
    /// One request with its body.
    pub request_timeout: Duration,
    /// One operation with all its retries.
    pub operation_deadline: Duration,
    /// Retries of one operation.
    pub max_retries: usize,
    /// Time all retries of one operation share.
    pub retry_budget: Duration,
    /// Syncs local files before a commit counts.
    pub fsync: bool,
}

/// Whether a URI carries a user, a password or a signature.
pub(crate) fn has_credentials(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once("://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    scheme != "file" && (authority.contains('@') || rest.contains('?'))
}
