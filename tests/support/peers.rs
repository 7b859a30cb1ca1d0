//! Stores that are not a folder, each with what a client needs to speak to it.

use std::any::Any;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::azurite::{self, Azurite};
use crate::moto::Moto;
use crate::s3_server::{self, Front, S3Server};
use crate::support::{Fixture, runtime};

/// Where archives lie and where tables go.
const BUCKETS: [&str; 2] = ["archive", "tables"];

/// A running store with empty buckets `archive` and `tables`.
pub struct Peer {
    /// `s3`, `az` or `gs`.
    pub scheme: &'static str,
    /// What its users have in their environment.
    pub env: Vec<(&'static str, String)>,
    /// Where it listens.
    pub port: u16,
    archive: Arc<dyn ObjectStore>,
    tables: Arc<dyn ObjectStore>,
    _server: Box<dyn Any>,
}

impl Peer {
    /// s3s on a folder, which checks signatures.
    pub fn s3(front: Front) -> Self {
        let server = S3Server::start(front, &BUCKETS);
        Self::at_s3(server.port, Box::new(server))
    }

    /// moto, or `None` where it is not set up.
    pub fn moto() -> Option<Self> {
        let moto = Moto::start()?;
        BUCKETS.iter().for_each(|bucket| moto.put(bucket, b""));
        Some(Self::at_s3(moto.port, Box::new(moto)))
    }

    fn at_s3(port: u16, server: Box<dyn Any>) -> Self {
        let endpoint = format!("http://127.0.0.1:{port}");
        let open = |bucket| -> Arc<dyn ObjectStore> { Arc::new(s3_server::client(port, bucket)) };
        let env = vec![
            ("AWS_ACCESS_KEY_ID", s3_server::KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", s3_server::SECRET.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("T3B_STORE_ENDPOINT", endpoint.clone()),
        ];
        Self { scheme: "s3", env, port, archive: open("archive"), tables: open("tables"), _server: server }
    }

    /// Azurite, or `None` where it is not set up.
    pub fn azure() -> Option<Self> {
        let server = Azurite::start(&BUCKETS)?;
        let endpoint = format!("http://127.0.0.1:{}/{}", server.port, azurite::ACCOUNT);
        let open = |container| -> Arc<dyn ObjectStore> {
            let builder = MicrosoftAzureBuilder::new()
                .with_endpoint(endpoint.clone())
                .with_allow_http(true)
                .with_container_name(container)
                .with_account(azurite::ACCOUNT)
                .with_access_key(azurite::KEY);
            Arc::new(builder.build().unwrap())
        };
        let (archive, tables) = (open("archive"), open("tables"));
        let env = vec![
            ("AZURE_STORAGE_ACCOUNT_NAME", azurite::ACCOUNT.to_owned()),
            ("AZURE_STORAGE_ACCOUNT_KEY", azurite::KEY.to_owned()),
            ("T3B_STORE_ENDPOINT", endpoint),
        ];
        Some(Self { scheme: "az", env, port: server.port, archive, tables, _server: Box::new(server) })
    }

    /// s3s on a folder behind GCS's create-only header: enough for paths and creates, and nothing else of GCS.
    pub fn gcs_headers() -> Self {
        let server = S3Server::start(Front::GcsHeaders, &BUCKETS);
        let account = format!(
            r#"{{"gcs_base_url": "http://127.0.0.1:{}", "disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}}"#,
            server.port
        );
        let open = |bucket| -> Arc<dyn ObjectStore> {
            let options = object_store::ClientOptions::new().with_allow_http(true);
            let builder = GoogleCloudStorageBuilder::new()
                .with_client_options(options)
                .with_bucket_name(bucket)
                .with_service_account_key(&account);
            Arc::new(builder.build().unwrap())
        };
        let (archive, tables) = (open("archive"), open("tables"));
        let env = vec![("GOOGLE_SERVICE_ACCOUNT_KEY", account)];
        Self { scheme: "gs", env, port: server.port, archive, tables, _server: Box::new(server) }
    }

    /// The binary with the user's environment; the archive is `<scheme>://archive/blood`.
    pub fn command(&self, fixture: &Fixture, args: &[&str]) -> Command {
        let mut command = fixture.command(args);
        command
            .env("T3B_STORE_ALLOW_HTTP", "true")
            .env("T3B_INPUT_ROOT", format!("{}://archive/blood", self.scheme))
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Puts the fixture's archive below `archive/blood`.
    pub fn stock(&self, fixture: &Fixture) {
        runtime().block_on(async {
            for (name, bytes) in fixture.files("archive") {
                self.archive.put(&Path::from(format!("blood/{name}")), bytes.into()).await.unwrap();
            }
        });
    }

    /// Puts one object; the key begins with the bucket.
    pub fn put(&self, key: &str, bytes: Vec<u8>) {
        let (bucket, key) = key.split_once('/').expect("a bucket and a key");
        let store = if bucket == "archive" { &self.archive } else { &self.tables };
        runtime().block_on(store.put(&Path::from(key), bytes.into())).unwrap();
    }

    /// Bytes of every object of `tables`, staged ones and receipts too, by key.
    pub fn everything(&self) -> BTreeMap<String, Vec<u8>> {
        runtime().block_on(async {
            let listed: Vec<_> = self.tables.list(None).try_collect().await.unwrap();
            let mut found = BTreeMap::new();
            for meta in listed {
                let bytes = self.tables.get(&meta.location).await.unwrap().bytes().await.unwrap();
                found.insert(meta.location.to_string(), bytes.to_vec());
            }
            found
        })
    }

    /// Bytes of every promised object below `<scheme>://tables/<prefix>`, by path below `tables/`.
    pub fn published(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        published(&*self.tables, prefix)
    }
}

/// Bytes of every promised object of a store below `<prefix>/tables`, by path below that.
pub fn published(store: &dyn ObjectStore, prefix: &str) -> BTreeMap<String, Vec<u8>> {
    let root = format!("{prefix}/tables");
    runtime().block_on(async {
        let listed: Vec<_> = store.list(Some(&Path::from(root.as_str()))).try_collect().await.unwrap();
        let mut found = BTreeMap::new();
        for meta in listed {
            let name = meta.location.as_ref()[root.len() + 1..].to_owned();
            if !name.starts_with("runs/") && !name.starts_with("attempts/") {
                let bytes = store.get(&meta.location).await.unwrap().bytes().await.unwrap();
                found.insert(name, bytes.to_vec());
            }
        }
        found
    })
}
