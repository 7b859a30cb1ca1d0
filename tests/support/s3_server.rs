//! An S3 server on a folder, in this process: s3s and s3s-fs, with what the folder lacks put before them.
//!
//! s3s-fs looks whether an object exists and then writes it, so racing creates can all win; a lock for each key makes them
//! exclude each other, within this one process. Signatures are checked.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue, IF_NONE_MATCH};
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::support::{end_of, runtime};

/// Key id that the server knows.
pub const KEY: &str = "k";
/// Its secret.
pub const SECRET: &str = "zqxsecretaccesskey00";

/// A client of this server's bucket, or of another's on loopback that checks no signature.
pub fn client(port: u16, bucket: &str) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_endpoint(format!("http://127.0.0.1:{port}"))
        .with_allow_http(true)
        .with_bucket_name(bucket)
        .with_region("us-east-1")
        .with_access_key_id(KEY)
        .with_secret_access_key(SECRET)
        .build()
        .unwrap()
}

/// What stands before the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// Nothing: creates race.
    Bare,
    /// A lock for each key.
    Locked,
    /// The same, with GCS's header for "must not exist" and without signatures. Nothing else of GCS is imitated.
    GcsHeaders,
}

/// The server, ended with the test.
pub struct S3Server {
    /// Where it listens.
    pub port: u16,
    runtime: Option<Runtime>,
    _folder: TempDir,
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            end_of(runtime);
        }
    }
}

type Locks = Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>;

impl S3Server {
    /// Starts it with empty buckets of these names.
    pub fn start(front: Front, buckets: &[&str]) -> Self {
        Self::start_far(front, buckets, |_| Duration::ZERO)
    }

    /// [`S3Server::start`] where each request takes so much longer, by its path.
    pub fn start_far(front: Front, buckets: &[&str], latency: fn(&str) -> Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for bucket in buckets {
            std::fs::create_dir(folder.path().join(bucket)).unwrap();
        }
        let (service, runtime) = (service(folder.path(), front), runtime());
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(serve(listener, service, front, latency));
        Self { port, runtime: Some(runtime), _folder: folder }
    }
}

fn service(folder: &Path, front: Front) -> S3Service {
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).unwrap());
    if front != Front::GcsHeaders {
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
    }
    builder.build()
}

async fn serve(listener: TcpListener, s3: S3Service, front: Front, latency: fn(&str) -> Duration) {
    let locks = Locks::default();
    while let Ok((stream, _)) = listener.accept().await {
        let (s3, locks) = (s3.clone(), Arc::clone(&locks));
        let answer = service_fn(move |request: Request<Incoming>| {
            let (s3, locks) = (s3.clone(), Arc::clone(&locks));
            async move {
                let key = request.uri().path().to_owned();
                tokio::time::sleep(latency(&key)).await;
                let is_locked =
                    front != Front::Bare && ![Method::GET, Method::HEAD].contains(request.method());
                let lock = is_locked.then(|| lock_of(&locks, key));
                let _held = match &lock {
                    Some(lock) => Some(lock.lock().await),
                    None => None,
                };
                s3.call(translated(request, front).map(s3s::Body::from)).await
            }
        });
        let http = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        // A connection that breaks is the client's affair.
        tokio::spawn(async { drop(http.await) });
    }
}

fn lock_of(locks: &Locks, key: String) -> Arc<tokio::sync::Mutex<()>> {
    Arc::clone(locks.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default())
}

fn translated(mut request: Request<Incoming>, front: Front) -> Request<Incoming> {
    if front == Front::GcsHeaders {
        let headers = request.headers_mut();
        headers.remove(AUTHORIZATION);
        if headers.remove("x-goog-if-generation-match").is_some_and(|generation| generation == "0") {
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
    }
    request
}
