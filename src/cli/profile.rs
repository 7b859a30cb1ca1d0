//! `t3b run --profile`: what each stage did with its time, within 80 columns.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::{Value, json};

use crate::flow::meter::Meter;
use crate::flow::profile::{Profile, StageProfile};
use crate::store;

/// Prints the profile of this call behind its closing lines.
pub(super) fn print(meter: &Meter, wall: Duration) {
    let Some(profile) = Profile::of(meter) else { return };
    let seconds = profile.flowed.as_secs_f64();
    say!(
        "\n{seconds:.1} s from the first read to the last commit; {:.1} s before and after it:",
        wall.as_secs_f64() - seconds
    );
    say!("settings, checks, models, the look at the archive, publishing");
    say!(
        "{:<9}{:>7}{:>9}{:>9}{:>11}{:>9}   {:<15}",
        "stage",
        "busy",
        "starved",
        "blocked",
        "items/s",
        "jobs s",
        "queue before it"
    );
    for stage in &profile.stages {
        say!("{}", line(&profile, stage).trim_end());
    }
    let store = store::meter();
    let mib = |n: u64| n as f64 / f64::from(1 << 20);
    let (read, written) = (mib(store.n_read_bytes.load(Relaxed)), mib(store.n_written_bytes.load(Relaxed)));
    say!("read {read:.1} MiB, {:.1} a second; wrote {written:.1} MiB", read / seconds);
    say!("{}", verdict(&profile));
}

fn line(profile: &Profile, stage: &StageProfile) -> String {
    let percent = |part| format!("{:.1} %", 100.0 * profile.share(part));
    let rate = stage.n_items as f64 / profile.flowed.as_secs_f64();
    let jobs = if stage.jobs.is_zero() { String::new() } else { format!("{:.2}", stage.jobs.as_secs_f64()) };
    let queue = stage.queue.map(|(mean, most)| format!("{mean:.1} of {most}")).unwrap_or_default();
    format!(
        "{:<9}{:>7}{:>9}{:>9}{rate:>11.1}{jobs:>9}   {queue}",
        stage.name,
        percent(stage.busy),
        percent(stage.starved),
        percent(stage.blocked),
    )
}

/// One sentence: which stage holds up the others, and the settings that its speed follows from.
fn verdict(profile: &Profile) -> String {
    let name = profile.bottleneck;
    let busy = profile.stages.iter().find(|stage| stage.name == name).map(|stage| profile.share(stage.busy));
    let busy = 100.0 * busy.unwrap_or_default();
    let follows = match name {
        "source" => "the input store, fetch.concurrency and fetch.range_mib decide its speed",
        "decode" => "threads.cpu and decoder.isolation decide its speed",
        "corrupt" => "threads.cpu and the corruptions themselves decide its speed",
        "sink" => "the output store and run.partition_size decide its speed",
        _ => "device.kind, threads.score and models.tower decide its speed",
    };
    format!("{name} holds up the others, busy {busy:.0} % of the time:\n  {follows}")
}

/// The same as one object; `null` where nothing was scored.
pub(super) fn as_json(meter: &Meter) -> Value {
    let Some(profile) = Profile::of(meter) else { return Value::Null };
    let store = store::meter();
    let stages = profile.stages.iter().map(|stage| {
        json!({
            "stage": stage.name, "n_items": stage.n_items, "busy_s": stage.busy.as_secs_f64(),
            "starved_s": stage.starved.as_secs_f64(), "blocked_s": stage.blocked.as_secs_f64(),
            "jobs_s": stage.jobs.as_secs_f64(), "queue_mean": stage.queue.map(|(mean, _)| mean),
            "queue_capacity": stage.queue.map(|(_, most)| most),
        })
    });
    json!({
        "flowed_s": profile.flowed.as_secs_f64(), "bottleneck": profile.bottleneck,
        "stages": stages.collect::<Vec<_>>(), "read_bytes": store.n_read_bytes.load(Relaxed),
        "written_bytes": store.n_written_bytes.load(Relaxed),
    })
}
