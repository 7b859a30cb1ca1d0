//! The clouds' object stores. Each client is a feature of the build: `s3`, `gcs` and `azure`, all on by default.

use std::sync::Arc;

use object_store::ObjectStore;
#[cfg(feature = "s3")]
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum, S3ConditionalPut};
#[cfg(feature = "azure")]
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
#[cfg(feature = "gcs")]
use object_store::gcp::GoogleCloudStorageBuilder;

#[cfg(feature = "azure")]
use super::client::plain_http;
use super::client::unusable;
#[cfg(any(feature = "s3", feature = "azure"))]
use super::direct::is_url;
use super::settings::StoreSettings;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
use super::{
    client::{client, retry},
    direct::Direct,
    error::NO_CREDENTIALS,
};
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
use crate::error::Exit;
use crate::error::Problem;
#[cfg(any(feature = "s3", feature = "azure"))]
use crate::error::quoted;

/// Opens a bucket or container by the scheme of its URI.
///
/// # Errors
/// `S003` where the build has no client for it, or the client lacks something; `S010` for half of a pair of credentials.
#[cfg_attr(
    not(any(feature = "s3", feature = "gcs", feature = "azure")),
    expect(unused_variables, reason = "a build without clouds has none of their clients")
)]
pub(super) fn open(
    scheme: &str,
    bucket: &str,
    settings: &StoreSettings,
) -> Result<Arc<dyn ObjectStore>, Problem> {
    match scheme {
        #[cfg(feature = "s3")]
        "s3" | "s3a" => open_s3(bucket, settings),
        #[cfg(feature = "gcs")]
        "gs" => open_gs(bucket, settings),
        #[cfg(feature = "azure")]
        "az" | "azure" => open_az(bucket, settings),
        other => Err(unusable(&format!("this program was built without a client for {other}://"))
            .hint("build it with the feature s3, gcs or azure, which are on by default")),
    }
}

#[cfg(feature = "s3")]
fn open_s3(bucket: &str, settings: &StoreSettings) -> Result<Arc<dyn ObjectStore>, Problem> {
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        // Whatever the environment says: without it nothing can be committed.
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // The server refuses a body that was damaged on its way.
        .with_checksum_algorithm(Checksum::SHA256)
        .with_client_options(client(settings))
        .with_http_connector(Direct::new(settings))
        .with_retry(retry(settings));
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    check_endpoint(builder.get_config_value(&AmazonS3ConfigKey::Endpoint))?;
    Ok(Arc::new(builder.build().map_err(|error| incomplete("S3", &error))?))
}

#[cfg(feature = "gcs")]
fn open_gs(bucket: &str, settings: &StoreSettings) -> Result<Arc<dyn ObjectStore>, Problem> {
    let builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket)
        .with_client_options(client(settings))
        .with_http_connector(Direct::new(settings))
        .with_retry(retry(settings));
    Ok(Arc::new(builder.build().map_err(|error| incomplete("GCS", &error))?))
}

#[cfg(feature = "azure")]
fn open_az(container: &str, settings: &StoreSettings) -> Result<Arc<dyn ObjectStore>, Problem> {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(container)
        .with_client_options(client(settings))
        .with_http_connector(Direct::new(settings))
        .with_retry(retry(settings));
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    // The client speaks plain HTTP to an emulator without being allowed to.
    let emulator = builder.get_config_value(&AzureConfigKey::UseEmulator).unwrap_or_default();
    let is_emulator = ["1", "true", "on", "yes", "y"].contains(&emulator.to_ascii_lowercase().as_str());
    if is_emulator && !settings.allow_http {
        return Err(plain_http("the Azure emulator"));
    }
    check_endpoint(builder.get_config_value(&AzureConfigKey::Endpoint))?;
    Ok(Arc::new(builder.build().map_err(|error| incomplete("Azure", &error))?))
}

/// The client takes an endpoint for a URL without looking, and ends the process where it is none.
#[cfg(any(feature = "s3", feature = "azure"))]
fn check_endpoint(endpoint: Option<String>) -> Result<(), Problem> {
    let Some(other) = endpoint.filter(|endpoint| !is_url(endpoint)) else { return Ok(()) };
    let what = format!("store.endpoint: found {}, allowed a URL with its scheme", quoted(&other));
    Err(Problem::new("C001", Exit::Config, what)
        .hint("write https://host:port without the bucket; AWS_ENDPOINT_URL sets it too"))
}

/// What a client says that has not all it needs; half of a pair of credentials is none.
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
fn incomplete(store: &str, error: &object_store::Error) -> Problem {
    if error.to_string().to_ascii_lowercase().contains("access") {
        let what =
            format!("{store} credentials are incomplete: one of the key's id and its secret is missing");
        return Problem::new("S010", Exit::Permission, what).hint(NO_CREDENTIALS);
    }
    unusable(&format!("{store} settings are incomplete"))
}
