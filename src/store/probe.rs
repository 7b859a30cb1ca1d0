//! Does the store create an object exactly once when many ask at the same time?
//!
//! "Honours create-if-absent" is not "atomic": a server was measured to refuse a second create when asked one
//! after the other, yet to let up to 16 of 16 racing creators win. So the probe races.

use bytes::Bytes;
use futures::future::join_all;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};

use super::{Cause, Root, StoreError};
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
        if self.has_passed().await? { Ok(()) } else { self.pass(nonce).await }
    }

    /// [`probe`](Self::probe), and a root that passed once is written to all the same: it may have passed under other
    /// credentials, and be read alone under these.
    ///
    /// # Errors
    /// As there.
    pub async fn probe_writing(&self, nonce: &str) -> Result<(), Problem> {
        if self.has_passed().await? { self.remember().await } else { self.pass(nonce).await }
    }

    async fn has_passed(&self) -> Result<bool, Problem> {
        Ok(self.read(PASSED, "probe result", 1 << 20).await?.is_some())
    }

    async fn pass(&self, nonce: &str) -> Result<(), Problem> {
        let mut may_delete = true;
        for round in 0..ROUNDS {
            let key = format!("_t3b/probe/{nonce}.{round}");
            let result = self.race(&key).await;
            // Deleting is courtesy and no command but tidy and discard needs the right: what has to stay is a few bytes.
            may_delete = may_delete && self.delete(&key, "probe object").await.is_ok();
            result?;
        }
        self.remember().await
    }

    async fn remember(&self) -> Result<(), Problem> {
        let passed = serde_json::json!({ "rounds": ROUNDS, "racers": RACERS }).to_string();
        Ok(self.write(PASSED, "probe result", passed.into()).await?)
    }

    async fn race(&self, key: &str) -> Result<(), Problem> {
        let path = self.at(&Path::from(key));
        let path = &path;
        let answers = join_all((0..RACERS).map(async |racer| {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            let body = PutPayload::from(Bytes::from(racer.to_string()));
            let put = self.store.put_opts(path, body, options);
            self.timed("create", "probe object", put).await.map(|_| racer)
        }))
        .await;
        let winners: Vec<u64> = answers.iter().filter_map(|answer| answer.as_ref().ok().copied()).collect();
        if winners.len() > 1 {
            return Err(unfit(format!("{} of {RACERS} concurrent creates won", winners.len())));
        }
        // Who may not write at all has lost no race.
        let refused = |error: &&StoreError| error.cause.is_lasting();
        let refusal = answers.iter().find_map(|answer| answer.as_ref().err().filter(refused)).cloned();
        if let Some(error) = refusal.filter(|_| winners.is_empty()) {
            return Err(error.into());
        }
        let get = async { self.store.get(path).await?.bytes().await };
        let found = self.timed("read", "probe object", get).await.map_err(|error| {
            // A create that failed without a word leaves nothing: its own error says more than that nothing is there.
            let first = answers.iter().find_map(|answer| answer.as_ref().err());
            first.filter(|_| error.cause == Cause::Missing).cloned().unwrap_or(error)
        })?;
        if winners.first().is_some_and(|winner| found != winner.to_string().as_bytes()) {
            return Err(unfit("a create that was reported as won was overwritten".to_owned()));
        }
        Ok(())
    }
}

fn unfit(why: String) -> Problem {
    Problem::new("S001", Exit::StoreUnfit, format!("{why}; this store cannot be used for output"))
        .hint("choose a store whose create-if-absent is atomic")
}
