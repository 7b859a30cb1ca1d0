//! HTTP that goes where it was sent: a redirect is an answer, not an instruction.
//!
//! object_store's own client follows redirects of reads to any host and takes what is there for the object. A wrong or hostile
//! endpoint could so make the job fetch internal addresses.

use std::time::Duration;

use object_store::client::{HttpClient, HttpConnector};
use object_store::{ClientConfigKey, ClientOptions};
use reqwest::redirect::Policy;

use super::answers::Checked;
use super::settings::StoreSettings;
use super::throttle::Throttled;

/// Idle connections are closed before common load balancers do it silently.
pub(super) const POOL_IDLE: Duration = Duration::from_secs(15);

/// Makes clients that follow no redirect, slow down where a store asks for it, and take no answer for another.
#[derive(Debug)]
pub(super) struct Direct {
    connect: Duration,
    read: Duration,
    request: Duration,
}

impl Direct {
    pub(super) fn new(settings: &StoreSettings) -> Self {
        let StoreSettings { connect_timeout, read_timeout, request_timeout, .. } = settings;
        Self { connect: *connect_timeout, read: *read_timeout, request: *request_timeout }
    }
}

impl HttpConnector for Direct {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // Credential services on the machine itself are asked in plain HTTP, which their options say.
        let plain =
            options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|value| value == "true");
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .https_only(!plain)
            .http1_only()
            .user_agent(concat!("t3b/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.connect)
            .read_timeout(self.read)
            .timeout(self.request)
            .pool_idle_timeout(POOL_IDLE)
            .build();
        let failed = |source| object_store::Error::Generic { store: "http", source: Box::new(source) };
        let gated =
            |client| HttpClient::new(Checked::new(HttpClient::new(Throttled::new(HttpClient::new(client)))));
        client.map(gated).map_err(failed)
    }
}

/// Whether the time ran out before there was a connection, which the client's own classes do not tell apart.
pub(super) fn is_connecting(error: &object_store::client::HttpError) -> bool {
    use std::error::Error;
    error
        .source()
        .and_then(|source| source.downcast_ref::<reqwest::Error>())
        .is_some_and(reqwest::Error::is_connect)
}

/// Whether a text is an address that can be asked over HTTP.
#[cfg(any(feature = "s3", feature = "azure"))]
pub(super) fn is_url(text: &str) -> bool {
    let url = reqwest::Url::parse(text);
    url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}
