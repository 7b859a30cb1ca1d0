//! OpenLineage events: the beginning of a run and its end, to a file, a server, or both.
//!
//! Data sets are named after the pipeline, for buckets and folders may identify; what lies in them is told by fingerprints.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::{Ended, LineageSettings, Subject, post};
use crate::error::Exit;

/// Who makes these events.
const PRODUCER: &str = concat!("urn:t3b:", env!("CARGO_PKG_VERSION"));
/// The variable in which OpenLineage's own clients take their key.
const API_KEY: &str = "OPENLINEAGE_API_KEY";
const SPEC: &str = "https://openlineage.io/spec";

/// What is told of a run.
#[derive(Debug, Clone)]
pub(super) enum Event<'a> {
    Start,
    End(&'a Ended),
}

impl Event<'_> {
    /// The type as the specification names it. A run that a signal stopped goes on with the next call.
    fn name(&self) -> &'static str {
        match self {
            Self::Start => "START",
            Self::End(Ended::Failed(error)) if error.exit() == Exit::Preempted => "ABORT",
            Self::End(Ended::Failed(_)) => "FAIL",
            Self::End(_) => "COMPLETE",
        }
    }
}

/// Where events go, and what they are about.
#[derive(Debug)]
pub(super) struct Lineage {
    settings: LineageSettings,
    subject: Subject,
    /// Of this call: a run that is resumed is several to whoever follows lineage.
    uuid: String,
}

impl Lineage {
    pub(super) fn new(settings: LineageSettings, subject: Subject) -> Self {
        Self { settings, subject, uuid: uuid() }
    }

    /// Tells everybody who wants to know; who cannot be told is a warning.
    pub(super) async fn tell(&self, event: Event<'_>) {
        let LineageSettings { file, url, .. } = &self.settings;
        if file.is_none() && url.is_none() {
            return;
        }
        let text = self.text(&event).to_string();
        if let Some(path) = file {
            let open = tokio::fs::OpenOptions::new().append(true).create(true).open(path).await;
            let written = match open {
                // One write, so that lines of several processes stay whole.
                Ok(mut file) => match file.write_all(format!("{text}\n").as_bytes()).await {
                    Ok(()) => file.flush().await,
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                let why = error.kind();
                tracing::warn!(%why, "lineage.file cannot be written; the run goes on");
            }
        }
        if let Some(url) = url
            && let Err(why) = post::post(url, text, std::env::var(API_KEY).ok()).await
        {
            tracing::warn!(why, "lineage.url did not take an event; the run goes on");
        }
    }

    fn text(&self, event: &Event<'_>) -> Value {
        let Subject { pipeline, n_samples, .. } = &self.subject;
        let namespace = &self.settings.namespace;
        let statistics = facet("1-0-0/InputStatisticsInputDatasetFacet", json!({ "rowCount": n_samples }));
        json!({
            "eventType": event.name(),
            "eventTime": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            "producer": PRODUCER,
            "schemaURL": format!("{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"),
            "run": { "runId": self.uuid, "facets": self.run_facets(event) },
            "job": { "namespace": namespace, "name": pipeline, "facets": { "jobType": facet(
                "2-0-3/JobTypeJobFacet",
                json!({ "processingType": "BATCH", "integration": "T3B", "jobType": "JOB" }),
            ) } },
            "inputs": [{
                "namespace": namespace, "name": format!("{pipeline}.images"), "facets": {},
                "inputFacets": { "inputStatistics": statistics },
            }],
            "outputs": self.outputs(event),
        })
    }

    fn run_facets(&self, event: &Event<'_>) -> Value {
        let version = env!("CARGO_PKG_VERSION");
        let engine = json!({ "version": version, "name": "t3b", "openlineageAdapterVersion": version });
        let mut facets = json!({
            "processing_engine": facet("1-1-1/ProcessingEngineRunFacet", engine),
            "t3b_run": self.own_facet(event),
        });
        if let Event::End(Ended::Failed(error)) = event {
            let message = json!({ "message": error.to_string(), "programmingLanguage": "rust" });
            facets["errorMessage"] = facet("1-0-1/ErrorMessageRunFacet", message);
        }
        facets
    }

    fn own_facet(&self, event: &Event<'_>) -> Value {
        let Subject { run_id, spec_sha256, n_samples, shard, .. } = &self.subject;
        let mut own = json!({
            "_producer": PRODUCER, "_schemaURL": format!("{PRODUCER}:run"), "run_id": run_id,
            "spec_sha256": spec_sha256, "n_samples": n_samples,
            "shard": shard.map(|(k, n)| format!("{k}/{n}")),
        });
        if let Event::End(ended) = event {
            own["exit_code"] = ended.exit().code().into();
            match ended {
                Ended::Published { n_scored, n_quarantined, .. } => {
                    own["n_scored"] = (*n_scored).into();
                    own["n_quarantined"] = (*n_quarantined).into();
                }
                Ended::Shard { n_missing } => own["n_missing_partitions"] = (*n_missing).into(),
                Ended::Failed(_) => {}
            }
        }
        own
    }

    /// The tables whose rows follow from what was scored, once they are there.
    fn outputs(&self, event: &Event<'_>) -> Value {
        let Event::End(Ended::Published { n_scored, .. }) = event else { return json!([]) };
        let table = |name: &str, n_rows: u64| {
            let statistics = facet("1-0-2/OutputStatisticsOutputDatasetFacet", json!({ "rowCount": n_rows }));
            json!({
                "namespace": self.settings.namespace, "name": format!("{}.{name}", self.subject.pipeline),
                "facets": {}, "outputFacets": { "outputStatistics": statistics },
            })
        };
        json!([table("predictions", n_scored * self.subject.n_methods), table("signals", *n_scored)])
    }
}

/// A facet of the specification, by its version and name.
fn facet(name: &str, mut body: Value) -> Value {
    let kind = name.rsplit('/').next().unwrap_or_default();
    body["_producer"] = PRODUCER.into();
    body["_schemaURL"] = format!("{SPEC}/facets/{name}.json#/$defs/{kind}").into();
    body
}

/// A random identifier, version 4.
fn uuid() -> String {
    let mut bytes = [0_u8; 16];
    // Without the system's randomness events still have their form; they are told apart by their run.
    let _ignored = getrandom::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Problem;

    #[test]
    fn a_stop_is_no_failure_and_a_failure_says_why() {
        let subject = Subject::example();
        let settings = LineageSettings { file: None, url: None, namespace: "n".into() };
        let lineage = Lineage::new(settings, subject);
        let text = |ended: Ended| lineage.text(&Event::End(&ended));
        let failed = |exit| Ended::Failed(Problem::new("S004", exit, "x").into());
        assert_eq!(text(failed(Exit::Preempted))["eventType"], "ABORT");
        let fail = text(failed(Exit::StoreIo));
        assert_eq!(fail["eventType"], "FAIL");
        assert_eq!(fail["run"]["facets"]["errorMessage"]["message"], "error[S004] x");
        assert_eq!(fail["run"]["facets"]["t3b_run"]["exit_code"], 74);
        let done = text(Ended::Published { n_scored: 3, n_quarantined: 1, is_over: true });
        assert_eq!(done["eventType"], "COMPLETE");
        assert_eq!(done["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"], 6);
        assert_eq!(done["run"]["facets"]["t3b_run"]["exit_code"], 3);
        assert_ne!(uuid(), uuid());
    }
}
