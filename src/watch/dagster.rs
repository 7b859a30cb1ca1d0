//! Dagster Pipes: where Dagster started this process, it is told that the run began, what came of it and how it ended.
//!
//! Two variables hold, as base64 of deflated JSON, where the context lies and where messages go: a file or a standard stream.

use std::io::{Read, Write};
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{Ended, Subject};

const CONTEXT: &str = "DAGSTER_PIPES_CONTEXT";
const MESSAGES: &str = "DAGSTER_PIPES_MESSAGES";
/// Most bytes of a context, unpacked.
const MAX_BYTES: u64 = 1 << 20;

/// Where messages go.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Channel {
    File(PathBuf),
    Stdout,
    Stderr,
}

/// A line to Dagster.
#[derive(Debug)]
pub(super) struct Pipes {
    channel: Channel,
    /// The one asset that this run makes, where it makes one.
    asset_key: Option<String>,
    subject: Subject,
}

impl Pipes {
    /// The line, where both variables are set.
    pub(super) fn from_environment(subject: &Subject) -> Option<Self> {
        let (context, messages) = (std::env::var(CONTEXT).ok()?, std::env::var(MESSAGES).ok()?);
        let pipes = Self::new(&context, &messages, subject);
        if pipes.is_none() {
            tracing::warn!(
                "{CONTEXT} or {MESSAGES} names no file and no standard stream; Dagster is told nothing"
            );
        }
        pipes
    }

    fn new(context: &str, messages: &str, subject: &Subject) -> Option<Self> {
        let context = context_data(&unpacked(context)?)?;
        let messages = unpacked(messages)?;
        let stream = messages["stdio"].as_str().or(messages["buffered_stdio"].as_str());
        let channel = match (messages["path"].as_str(), stream) {
            (Some(path), _) => Channel::File(path.into()),
            (None, Some("stdout")) => Channel::Stdout,
            (None, Some("stderr")) => Channel::Stderr,
            _ => return None,
        };
        let asset_key = match context["asset_keys"].as_array().map(Vec::as_slice) {
            Some([key]) => key.as_str().map(str::to_owned),
            _ => None,
        };
        Some(Self { channel, asset_key, subject: subject.clone() })
    }

    pub(super) fn opened(&self) {
        self.send("opened", json!({ "extras": {} }));
        self.log("INFO", &format!("t3b run {}", self.subject.run_id));
    }

    pub(super) fn closed(&self, ended: &Ended) {
        match ended {
            Ended::Published { n_scored, n_quarantined, is_over } => {
                if *is_over {
                    self.log("WARNING", "more is quarantined than run.max_quarantine allows");
                }
                self.report(*n_scored, *n_quarantined);
                self.send("closed", json!({}));
            }
            Ended::Shard { n_missing } => {
                self.log("INFO", &format!("shard done; {n_missing} partitions are not committed yet"));
                self.send("closed", json!({}));
            }
            Ended::Failed(error) => {
                let name = error.problems()[0].code;
                let exception = json!({
                    "message": error.to_string(), "stack": [], "name": name, "cause": null, "context": null,
                });
                self.send("closed", json!({ "exception": exception }));
            }
        }
    }

    /// What came of the run: of its asset, or as a message of our own.
    fn report(&self, n_scored: u64, n_quarantined: u64) {
        let Subject { run_id, spec_sha256, n_samples, .. } = &self.subject;
        let Some(asset_key) = &self.asset_key else {
            let payload = json!({
                "run_id": run_id, "spec_sha256": spec_sha256, "n_samples": n_samples,
                "n_scored": n_scored, "n_quarantined": n_quarantined,
            });
            return self.send("report_custom_message", json!({ "payload": payload }));
        };
        let value = |kind: &str, value: Value| json!({ "type": kind, "raw_value": value });
        let metadata = json!({
            "run_id": value("text", run_id.as_str().into()),
            "spec_sha256": value("text", spec_sha256.as_str().into()),
            "n_samples": value("int", (*n_samples).into()),
            "n_scored": value("int", n_scored.into()),
            "n_quarantined": value("int", n_quarantined.into()),
        });
        let report = json!({ "asset_key": asset_key, "data_version": null, "metadata": metadata });
        self.send("report_asset_materialization", report);
    }

    fn log(&self, level: &str, message: &str) {
        self.send("log", json!({ "message": message, "level": level }));
    }

    fn send(&self, method: &str, params: Value) {
        let message = json!({ "__dagster_pipes_version": "0.1", "method": method, "params": params });
        let line = format!("{message}\n");
        let sent = match &self.channel {
            Channel::Stdout => std::io::stdout().lock().write_all(line.as_bytes()),
            Channel::Stderr => std::io::stderr().lock().write_all(line.as_bytes()),
            Channel::File(path) => {
                let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
                file.and_then(|mut file| file.write_all(line.as_bytes()))
            }
        };
        if let Err(error) = sent {
            let why = error.kind();
            tracing::warn!(%why, method, "Dagster was not told; the run goes on");
        }
    }
}

fn context_data(params: &Value) -> Option<Value> {
    if params["data"].is_object() {
        return Some(params["data"].clone());
    }
    let file = std::fs::File::open(params["path"].as_str()?).ok()?;
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// base64 of deflated JSON.
fn unpacked(text: &str) -> Option<Value> {
    let bytes = BASE64_STANDARD.decode(text.trim()).ok()?;
    let mut json = String::new();
    flate2::read::ZlibDecoder::new(bytes.as_slice()).take(MAX_BYTES).read_to_string(&mut json).ok()?;
    serde_json::from_str(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(value: &Value) -> String {
        let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        deflate.write_all(value.to_string().as_bytes()).unwrap();
        BASE64_STANDARD.encode(deflate.finish().unwrap())
    }

    #[test]
    fn a_line_goes_where_the_variables_say_or_nowhere() {
        let subject = Subject::example();
        let context = packed(&json!({ "data": { "asset_keys": ["scores"] } }));
        let pipes = |messages: Value| Pipes::new(&context, &packed(&messages), &subject);
        let to_file = pipes(json!({ "path": "/x" })).unwrap();
        assert_eq!(
            (to_file.channel, to_file.asset_key.as_deref()),
            (Channel::File("/x".into()), Some("scores"))
        );
        assert_eq!(pipes(json!({ "stdio": "stderr" })).unwrap().channel, Channel::Stderr);
        assert!(pipes(json!({ "bucket": "b", "key_prefix": "k" })).is_none());
        assert!(Pipes::new("%%%", &context, &subject).is_none());
        assert!(Pipes::new(&BASE64_STANDARD.encode("[]"), &context, &subject).is_none());
    }
}
