//! `t3b nightly`: one line and one exit code for each night.

use chrono::NaiveDate;
use clap::Args;

use super::SpecArgs;
use super::opening::{load, on_runtime};
use super::signals::follow;
use crate::error::{Exit, Problem, RunError};
use crate::flow::meter::Meter;
use crate::job::{Call, Night, Nights};
use crate::ledger::{Layout, NightState};

/// Most nights of one call.
const MAX_NIGHTS: i64 = 3660;

/// `t3b nightly`.
#[derive(Debug, Args)]
pub struct NightlyArgs {
    /// Which settings.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Day of the night; by default today (UTC).
    #[arg(long, value_name = "YYYY-MM-DD", env = "T3B_NIGHT_DATE", conflicts_with_all = ["from", "to"])]
    pub date: Option<NaiveDate>,
    /// First of several nights, which are done one after another; those that are done already are left alone.
    #[arg(long, value_name = "YYYY-MM-DD", env = "T3B_NIGHT_FROM", requires = "to")]
    pub from: Option<NaiveDate>,
    /// Last of several nights.
    #[arg(long, value_name = "YYYY-MM-DD", env = "T3B_NIGHT_TO", requires = "from")]
    pub to: Option<NaiveDate>,
    /// The exit code when nothing new was there, for schedulers that tell such nights apart: 99 for Airflow.
    #[arg(long, value_name = "CODE", default_value_t = 0, env = "T3B_EXIT_WHEN_EMPTY")]
    pub exit_when_empty: u8,
    /// Gives up the night of --date, which an earlier call left unfinished and which cannot be finished: the next night takes
    /// its objects. Nobody may be at work on it.
    #[arg(long, env = "T3B_GIVE_UP", requires = "date")]
    pub give_up: bool,
    /// Goes on with a night that a machine with other numerics began.
    #[arg(long, env = "T3B_ALLOW_OTHER_NUMERICS")]
    pub allow_other_numerics: bool,
    /// Prints one JSON object a night instead of its line.
    #[arg(long, env = "T3B_JSON")]
    pub json: bool,
}

/// Runs the nights that are asked for.
pub(super) fn nightly(args: &NightlyArgs) -> Result<Exit, RunError> {
    let spec = load(&args.spec)?;
    let nights = days(args)?;
    let settings = spec.settings.clone();
    let output_root = spec.pipeline.output.root.clone();
    on_runtime(&settings, async {
        let all = Nights::open(spec, args.allow_other_numerics)?;
        if args.give_up {
            for date in nights {
                let n_objects = all.give_up(date).await?;
                say!("night {date} given up; the next night takes its {n_objects} objects");
            }
            return Ok(Exit::Done);
        }
        let meter = Meter::default();
        let (_following, stop) = follow(settings.drain_deadline, meter.clone());
        let call = Call { stop, meter };
        let mut exit = Exit::Empty(args.exit_when_empty);
        for date in nights {
            let mut taken_up = Vec::new();
            let night = all.night(date, &call, &mut taken_up).await;
            for state in taken_up {
                let night = Night::Settled(state.clone());
                tell_night(&state.date, &night, &output_root, args.json);
                exit = worse(exit, exit_of(&night, args.exit_when_empty));
            }
            let night = night.inspect_err(|_| say!("night {date} FAILED"))?;
            tell_night(&date.to_string(), &night, &output_root, args.json);
            exit = worse(exit, exit_of(&night, args.exit_when_empty));
        }
        Ok(exit)
    })
}

/// The nights of a call, oldest first.
fn days(args: &NightlyArgs) -> Result<Vec<NaiveDate>, Problem> {
    let wrong = |what: String| Problem::new("C005", Exit::Config, what);
    let today = chrono::Utc::now().date_naive();
    let (from, to) = match (args.from, args.to) {
        (Some(from), Some(to)) => (from, to),
        _ => (args.date.unwrap_or(today), args.date.unwrap_or(today)),
    };
    // Where the sun rises first it is tomorrow already.
    if to > today.succ_opt().unwrap_or(today) {
        return Err(wrong(format!("night {to} has not been yet: today is {today} (UTC)"))
            .hint("days are UTC; leave --date out for today's night"));
    }
    let n_days = (to - from).num_days();
    if !(0..MAX_NIGHTS).contains(&n_days) {
        return Err(wrong(format!(
            "--from {from} --to {to}: found {} nights, allowed 1 to {MAX_NIGHTS}, oldest first",
            n_days + 1
        ))
        .hint("give the older day to --from; longer spans take several calls"));
    }
    Ok(from.iter_days().take_while(|day| *day <= to).collect())
}

fn exit_of(night: &Night, when_empty: u8) -> Exit {
    match night {
        Night::Empty => Exit::Empty(when_empty),
        Night::Settled(state) | Night::Already(state) if state.exit_code == Exit::OverQuarantine.code() => {
            Exit::OverQuarantine
        }
        Night::Settled(_) | Night::Already(_) => Exit::Done,
    }
}

/// An alarm of any night counts, and a night with something in it more than an empty one.
fn worse(a: Exit, b: Exit) -> Exit {
    let weight = |exit: Exit| match exit {
        Exit::Empty(_) => 0,
        Exit::Done => 1,
        _ => 2,
    };
    if weight(b) > weight(a) { b } else { a }
}

fn tell_night(date: &str, night: &Night, output_root: &str, json: bool) {
    let word = match night {
        Night::Settled(_) => "done",
        Night::Already(_) => "already_done",
        Night::Empty => "empty",
    };
    match night {
        _ if json => {
            let state = match night {
                Night::Settled(state) | Night::Already(state) => Some(state),
                Night::Empty => None,
            };
            say!("{}", serde_json::json!({ "date": date, "state": word, "night": state }));
        }
        Night::Empty => say!("night {date} empty: nothing that no night has taken"),
        Night::Settled(state) => say!("night {date} {}", line(state, output_root)),
        Night::Already(state) => {
            say!("night {date} already done, nothing written: {}", line(state, output_root))
        }
    }
}

/// What is to be known of a night, what matters most first.
fn line(state: &NightState, output_root: &str) -> String {
    let mut words = Vec::new();
    let drift = &state.drift;
    if !drift.alarms.is_empty() {
        words.push(format!("ALARM drift in {} against {} nights", drift.alarms.join(", "), drift.n_nights));
    }
    if state.is_over_quarantine {
        words.push("ALARM over run.max_quarantine".to_owned());
    }
    if words.is_empty() {
        words.push("ok".to_owned());
    }
    let n_objects = state.n_new + state.n_late + state.n_changed;
    words.push(format!("{n_objects} objects ({} late, {} changed)", state.n_late, state.n_changed));
    words.push(format!("{} samples", state.n_samples));
    let reasons = {
        let mut all: Vec<(&String, &u64)> = state.quarantine.iter().collect();
        all.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        all.first().map(|(reason, n)| format!(", most {reason} ({n})")).unwrap_or_default()
    };
    words.push(format!("{} pairs scored and {} quarantined{reasons}", state.n_scored, state.n_quarantined));
    if let Some(first) = state.measured.first() {
        let estimated = if first.is_estimate { " estimated" } else { "" };
        let interval =
            first.interval.map(|[low, high]| format!(" [{:.1}, {:.1}]", 100.0 * low, 100.0 * high));
        let interval = interval.unwrap_or_default();
        words.push(format!("{} {:.1} %{interval}{estimated}", first.metric, 100.0 * first.value));
    }
    if drift.alarms.is_empty() {
        words.push(match drift.n_nights {
            0 if drift.n_other_classes > 0 => format!(
                "WARNING drift was not looked for: none of the {} nights before has these classes",
                drift.n_other_classes
            ),
            0 => "no night to compare with".to_owned(),
            n => format!("no drift against {n} nights"),
        });
    }
    if state.is_retired {
        words.push("its tables are retired".to_owned());
    } else if let Some(run_id) = &state.run_id {
        words.push(format!("{}/{}", output_root.trim_end_matches('/'), Layout::new(run_id).run()));
    }
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_of_any_night_is_the_code_and_an_empty_night_only_where_all_are() {
        let empty = Exit::Empty(99);
        assert_eq!(worse(empty, Exit::Done), Exit::Done);
        assert_eq!(worse(Exit::Done, empty), Exit::Done);
        assert_eq!(worse(Exit::OverQuarantine, Exit::Done), Exit::OverQuarantine);
        assert_eq!(worse(empty, empty).code(), 99);
    }
}
