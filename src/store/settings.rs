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
    /// Rights that local files and folders are made without, as the system's `umask`.
    pub umask: u32,
    /// Syncs local files before a commit counts.
    pub fsync: bool,
}

/// The folder of a local root, written as a path or as a `file` URI; `None` for every other store, and for a `file` URI of
/// another machine.
pub(crate) fn local_path(root: &str) -> Option<&str> {
    match root.split_once("://") {
        None => Some(root),
        Some(("file", rest)) => {
            rest.strip_prefix("localhost").or(Some(rest)).filter(|path| path.starts_with('/'))
        }
        Some(_) => None,
    }
}

/// Whether a URI carries a user, a password or a signature.
pub(crate) fn has_credentials(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once("://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    scheme != "file" && (authority.contains('@') || rest.contains('?'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_uri_names_an_absolute_path_of_this_machine() {
        assert_eq!(local_path("file:///x/y"), Some("/x/y"));
        assert_eq!(local_path("file://localhost/x"), Some("/x"));
        assert_eq!(local_path("/x"), Some("/x"));
        for other in ["file://host/x", "file://localhost.example/x", "file://x", "s3://b/x"] {
            assert_eq!(local_path(other), None, "{other}");
        }
    }
}
