//! Fewer requests at once when a store asks for it.
//!
//! A store that answers 429 or 503 is asked for less: half of what it had in its hands, then one more for every round that it
//! took. The client's own retries come through here too, each as a request of its own.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use object_store::client::{HttpClient, HttpError, HttpRequest, HttpResponse, HttpService};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use super::meter;

/// Requests at once while the store refuses none: as many as `fetch.concurrency` can be, so that a willing store is never held
/// back.
const MOST: usize = 1024;
/// Longest wait that a store may ask for: an operation has a deadline, which a wait counts against.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A client whose requests pass a gate, one for each connection pool.
#[derive(Debug)]
pub(super) struct Throttled {
    client: HttpClient,
    gate: Gate,
}

impl Throttled {
    /// `client` behind a gate of its own, open as wide as it gets.
    pub(super) fn new(client: HttpClient) -> Self {
        Self { client, gate: Gate::new(MOST) }
    }
}

#[async_trait]
impl HttpService for Throttled {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let pass = self.gate.enter().await;
        meter::sending();
        let answer = self.client.execute(request).await;
        meter::answered(answer.as_ref().ok().map(|answer| answer.status().as_u16()));
        match &answer {
            Ok(response) if matches!(response.status().as_u16(), 429 | 503) => {
                let wait = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
                pass.refused(wait.and_then(seconds), Instant::now());
            }
            Ok(_) => pass.taken(),
            // A broken connection says nothing about how much the store can do.
            Err(_) => {}
        }
        answer
    }
}

/// `Retry-After` as a number of seconds; as a date it would need clocks that agree.
fn seconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

/// Requests wait here in the order in which they came.
#[derive(Debug)]
struct Gate {
    permits: Semaphore,
    law: Mutex<Law>,
}

#[derive(Debug)]
struct Law {
    most: usize,
    limit: usize,
    /// Permits still out from before the limit fell; they are not given back.
    surplus: usize,
    /// Counts how often the limit fell.
    generation: u64,
    /// Requests taken since the limit last moved.
    n_taken: usize,
    /// Nothing is sent before.
    held_until: Option<Instant>,
}

impl Gate {
    fn new(most: usize) -> Self {
        let law = Law { most, limit: most, surplus: 0, generation: 0, n_taken: 0, held_until: None };
        Self { permits: Semaphore::new(most), law: Mutex::new(law) }
    }

    fn law(&self) -> MutexGuard<'_, Law> {
        self.law.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place, and until nothing is held back. Dropping the future gives the place up.
    async fn enter(&self) -> Pass<'_> {
        // Never closed; without a permit a request would only not be counted.
        let permit = self.permits.acquire().await.ok();
        let mut pass = Pass { gate: self, permit, generation: 0 };
        loop {
            let held_until = {
                let law = self.law();
                pass.generation = law.generation;
                law.held_until.filter(|&until| until > Instant::now())
            };
            let Some(until) = held_until else { return pass };
            sleep_until(until).await;
        }
    }
}

/// The right to have one request on its way, until its answer's headers are there.
#[derive(Debug)]
struct Pass<'a> {
    gate: &'a Gate,
    permit: Option<SemaphorePermit<'a>>,
    generation: u64,
}

impl Pass<'_> {
    /// The store refused: the limit falls to half of what is on its way, once for all requests that were sent before it fell.
    fn refused(&self, wait: Option<Duration>, now: Instant) {
        let mut law = self.gate.law();
        if let Some(wait) = wait {
            law.held_until = law.held_until.max(Some(now + wait.min(LONGEST_WAIT)));
        }
        if self.generation < law.generation {
            return;
        }
        let on_their_way = law.limit + law.surplus - self.gate.permits.available_permits();
        let limit = (law.limit.min(on_their_way) / 2).max(1);
        let excess = law.limit - limit;
        law.surplus += excess - self.gate.permits.forget_permits(excess);
        (law.limit, law.n_taken) = (limit, 0);
        law.generation += 1;
        if law.generation == 1 {
            tracing::warn!(limit, "the store refuses requests for now: fewer are sent at once");
        }
    }

    /// The store took the request; after as many as the limit the limit grows by one.
    fn taken(&self) {
        let mut law = self.gate.law();
        law.n_taken += 1;
        if law.n_taken < law.limit || law.limit == law.most {
            return;
        }
        (law.limit, law.n_taken) = (law.limit + 1, 0);
        match law.surplus.checked_sub(1) {
            Some(rest) => law.surplus = rest,
            None => self.gate.permits.add_permits(1),
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut law = self.gate.law();
        let Some(permit) = self.permit.take() else { return };
        match law.surplus.checked_sub(1) {
            Some(rest) => {
                law.surplus = rest;
                permit.forget();
            }
            None => drop(permit),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// As many passes as can be had at once.
    fn fill(gate: &Gate) -> Vec<Pass<'_>> {
        std::iter::from_fn(|| gate.enter().now_or_never()).collect()
    }

    #[test]
    fn a_burst_of_refusals_halves_once_and_the_next_burst_again() {
        let gate = Gate::new(16);
        for expected in [16, 8, 4, 2, 1, 1] {
            let passes = fill(&gate);
            assert_eq!(passes.len(), expected);
            passes.iter().for_each(|pass| pass.refused(None, Instant::now()));
        }
    }

    #[test]
    fn what_was_on_its_way_counts_not_what_was_allowed() {
        let gate = Gate::new(1000);
        let few: Vec<_> = (0..6).filter_map(|_| gate.enter().now_or_never()).collect();
        few[0].refused(None, Instant::now());
        assert_eq!(fill(&gate).len(), 0, "six are out and three are allowed");
        drop(few);
        assert_eq!(fill(&gate).len(), 3);
    }

    #[test]
    fn the_limit_grows_by_one_for_every_round_taken_and_never_over_its_most() {
        let gate = Gate::new(4);
        fill(&gate)[0].refused(None, Instant::now());
        for expected in [2, 3, 4, 4] {
            let passes = fill(&gate);
            assert_eq!(passes.len(), expected);
            passes.iter().for_each(Pass::taken);
        }
    }

    #[test]
    fn growth_while_old_requests_are_still_out_adds_no_place_too_many() {
        let gate = Gate::new(4);
        let old = fill(&gate);
        old[0].refused(None, Instant::now());
        old[1..3].iter().for_each(Pass::taken);
        assert_eq!(fill(&gate).len(), 0);
        drop(old);
        assert_eq!(fill(&gate).len(), 3);
    }

    #[test]
    fn a_waiter_that_gives_up_leaves_its_place() {
        let gate = Gate::new(1);
        let held = fill(&gate);
        let mut waiting = Box::pin(gate.enter());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop((waiting, held));
        assert_eq!(fill(&gate).len(), 1);
    }

    #[test]
    fn no_wait_is_longer_than_ten_seconds_and_a_date_is_none() {
        let gate = Gate::new(2);
        let now = Instant::now();
        fill(&gate)[0].refused(seconds("3600"), now);
        assert_eq!(gate.law().held_until, Some(now + LONGEST_WAIT));
        assert_eq!(seconds("Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }

    #[test]
    fn nothing_is_sent_before_the_store_said() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _timer = runtime.enter();
        let (gate, now) = (Gate::new(2), Instant::now());
        fill(&gate)[0].refused(seconds(" 7 "), now);
        assert!(gate.enter().now_or_never().is_none());
        gate.law().held_until = Some(now);
        assert!(gate.enter().now_or_never().is_some());
    }
}
