//! What every HTTP client of a store is told, and what is said of roots that cannot be used.

use std::time::Duration;

use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use super::direct::POOL_IDLE;
use super::settings::StoreSettings;
use crate::error::{Exit, Problem};

pub(super) fn plain_http(place: &str) -> Problem {
    Problem::new("C004", Exit::Config, format!("{place}: plain http is refused"))
        .hint("use https, or set store.allow_http = true")
}

pub(super) fn unusable(why: &str) -> Problem {
    Problem::new("S003", Exit::Config, format!("store root cannot be used: {why}"))
        .hint("write file:///folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix")
}

pub(super) fn client(settings: &StoreSettings) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(settings.allow_http)
        .with_connect_timeout(settings.connect_timeout)
        .with_read_timeout(settings.read_timeout)
        .with_timeout(settings.request_timeout)
        .with_pool_idle_timeout(POOL_IDLE)
}

pub(super) fn retry(settings: &StoreSettings) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(10),
            base: 2.0,
        },
        max_retries: settings.max_retries,
        retry_timeout: settings.retry_budget,
    }
}
