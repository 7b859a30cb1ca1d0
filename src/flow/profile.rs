//! Where the time of a run went: what each stage did with it, how full the links were, and which stage holds up the others.

use std::time::Duration;

use super::meter::{Meter, StageMeter};

/// What one stage did while the graph ran. Busy, starved and blocked add up to that time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StageProfile {
    /// The stage.
    pub name: &'static str,
    /// What it made: objects, images, images in cells, batches, batches; for the sink the batches it took.
    pub n_items: u64,
    /// It had something in hand and did not wait for the next stage.
    pub busy: Duration,
    /// It had nothing in hand: the stage before it gave nothing.
    pub starved: Duration,
    /// It waited for the next stage to take something.
    pub blocked: Duration,
    /// Time of all its jobs, which run side by side, added up; zero for a stage without jobs.
    pub jobs: Duration,
    /// Messages that lay in the link before it on average, and the most that can; the source has none.
    pub queue: Option<(f64, u64)>,
}

/// The profile of one call.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// From the first read to the last commit.
    pub flowed: Duration,
    /// The stages, in flow order.
    pub stages: [StageProfile; 6],
    /// The stage that holds up the others.
    pub bottleneck: &'static str,
}

impl Profile {
    /// What `meter` counted; `None` where no graph ran.
    #[must_use]
    pub fn of(meter: &Meter) -> Option<Self> {
        let flowed = meter.flowed();
        if flowed.is_zero() {
            return None;
        }
        let sink = ("sink", &*meter.sink);
        let mut before: Option<&StageMeter> = None;
        let mut next = meter.stages().into_iter().chain([sink]);
        let stages = std::array::from_fn(|_| {
            let (name, stage) = next.next().unwrap_or(sink);
            let profile = of_stage(name, stage, before, flowed);
            before = Some(stage);
            profile
        });
        Some(Self { flowed, stages, bottleneck: bottleneck(meter, flowed, &stages) })
    }

    /// A part of the time that the graph ran.
    #[must_use]
    pub fn share(&self, part: Duration) -> f64 {
        part.as_secs_f64() / self.flowed.as_secs_f64()
    }
}

fn of_stage(
    name: &'static str,
    stage: &StageMeter,
    before: Option<&StageMeter>,
    flowed: Duration,
) -> StageProfile {
    let (busy, blocked) = (stage.busy().min(flowed), stage.blocked().min(flowed));
    // Little's law: what lay in a link on average is what its messages waited there altogether, over the time. A message
    // that its sender still holds is not in the link yet.
    let queue = before.map(|before| {
        let lay = stage.queued().saturating_sub(before.blocked());
        (lay.as_secs_f64() / flowed.as_secs_f64(), before.capacity())
    });
    StageProfile {
        name,
        n_items: if name == "sink" { before.map_or(0, StageMeter::n_items) } else { stage.n_items() },
        busy,
        starved: flowed.saturating_sub(busy + blocked),
        blocked,
        jobs: stage.jobs(),
        queue,
    }
}

/// The stage that holds up the others. Where no stage waited for the next one for long, as in a run of a few batches, it is the one that was
/// busy longest.
fn bottleneck(meter: &Meter, flowed: Duration, stages: &[StageProfile; 6]) -> &'static str {
    let waited = stages.iter().map(|stage| stage.blocked).max().unwrap_or_default();
    let busiest = stages.iter().max_by_key(|stage| stage.busy).map_or("source", |stage| stage.name);
    if waited * 20 >= flowed { slowest(meter) } else { busiest }
}

/// The stage that holds up the others: the last one that the stage before it waits for about as long as any.
pub(super) fn slowest(meter: &Meter) -> &'static str {
    let receivers = ["decode", "corrupt", "batch", "score", "sink"];
    let waits = meter.stages().map(|(_, stage)| stage.blocked());
    let longest = waits.iter().max().copied().unwrap_or_default();
    let held_up = waits.iter().rposition(|&wait| !wait.is_zero() && wait * 2 >= longest);
    held_up.map_or("source", |n| receivers[n])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_three_times_of_a_stage_add_up_and_a_full_link_is_full() {
        let meter = Meter::default();
        assert_eq!(Profile::of(&meter), None);
        meter.ran(ms(10_000));
        meter.batch.set_capacity(2);
        // Ten batches, each of which lay in the link for two seconds, after its sender had held it for half a second.
        for _ in 0..10 {
            meter.batch.sent(true, ms(500));
            meter.score.received(ms(2_500));
        }
        let profile = Profile::of(&meter).expect("it ran");
        for stage in &profile.stages {
            assert_eq!(stage.busy + stage.starved + stage.blocked, profile.flowed, "{}", stage.name);
        }
        let [.., batch, score, _] = &profile.stages;
        assert_eq!((batch.n_items, batch.blocked), (10, ms(5_000)));
        assert_eq!((score.queue, profile.bottleneck), (Some((2.0, 2)), "score"));
        assert_eq!(profile.stages[0].queue, None);
    }

    #[test]
    fn a_stage_that_waited_a_moment_does_not_make_the_next_one_the_bottleneck() {
        let meter = Meter::default();
        drop(meter.score.hold());
        meter.ran(ms(1_000));
        meter.score.sent(true, ms(1).min(meter.score.busy() / 2));
        assert_eq!(Profile::of(&meter).map(|profile| profile.bottleneck), Some("score"));
    }

    #[test]
    fn a_run_that_nothing_waits_in_is_held_up_by_its_source() {
        let meter = Meter::default();
        assert_eq!(slowest(&meter), "source");
        meter.score.sent(true, ms(3));
        assert_eq!(slowest(&meter), "sink");
    }
}
