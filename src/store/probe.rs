//! Does the store create an object exactly once when many ask at the same time?
//!
//! "Honours create-if-absent" is not "atomic": a server was measured to refuse a second create when asked one
//! after the other, yet to let up to 16 of 16 racing creators win. So the probe races.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use futures::future::join_all;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};

use super::Root;
use crate::error::{Exit, Problem};

const ROUNDS: u64 = 20;
const RACERS: u64 = 16;

/// Remembers below the root that it passed.
const PASSED: &str = "_t3b/probe/passed.json";

impl Root {
    /// Races creates and reads the winner back; a root that passed once is not asked again.
    ///
    /// # Errors
    /// `S001` when a round has not exactly one winner or the winner cannot be read back, and store failures.
    pub async fn probe(&self, nonce: &str) -> Result<(), Problem> {
        if self.read(PASSED, "probe result", 1 << 20).await?.is_some() {
            return Ok(());
        }
        for round in 0..ROUNDS {
            let key = format!("_t3b/probe/{nonce}.{round}");
            let result = self.race(&key).await;
            self.delete(&key, "probe object").await?;
            result?;
        }
        let passed = serde_json::json!({ "rounds": ROUNDS, "racers": RACERS }).to_string();
        self.write(PASSED, "probe result", passed.into()).await?;
        Ok(())
    }

    async fn race(&self, key: &str) -> Result<(), Problem> {
        let path = self.at(&Path::from(key));
        let winner = AtomicU64::new(u64::MAX);
        let winners = AtomicU64::new(0);
        join_all((0..RACERS).map(async |racer| {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            let body = PutPayload::from(Bytes::from(racer.to_string()));
            if self.store.put_opts(&path, body, options).await.is_ok() {
                winners.fetch_add(1, Relaxed);
                winner.store(racer, Relaxed);
            }
        }))
        .await;
        let n = winners.load(Relaxed);
        if n > 1 {
            return Err(unfit(format!("{n} of {RACERS} concurrent creates won")));
        }
        let get = async { self.store.get(&path).await?.bytes().await };
        let found = self.timed("read", "probe object", get).await?;
        if n == 1 && found != winner.load(Relaxed).to_string().as_bytes() {
            return Err(unfit("a create that was reported as won was overwritten".to_owned()));
        }
        Ok(())
    }
}

fn unfit(why: String) -> Problem {
    Problem::new("S001", Exit::StoreUnfit, format!("{why}; this store cannot be used for output"))
        .hint("choose a store whose create-if-absent is atomic")
}
