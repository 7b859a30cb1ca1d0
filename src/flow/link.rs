//! Bounded links between stages. A stream that ends inside a partition is an error, not an end.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use async_channel::{Receiver, Sender};

use super::meter::{Held, StageMeter};
use crate::flow::Flow;

/// Downstream is gone: stop quietly, somebody else holds the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hangup;

/// Upstream vanished inside a partition: discard what was received of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn;

/// A message and when its sender began to send it.
type Sent<T, R> = (Instant, Flow<T, R>);

/// The sending end; dropping it tells downstream that no more comes.
#[derive(Debug)]
pub struct Outlet<T, R> {
    sender: Sender<Sent<T, R>>,
    meter: Arc<StageMeter>,
}

/// The receiving end; dropping it tells upstream to stop.
#[derive(Debug)]
pub struct Inlet<T, R> {
    receiver: Receiver<Sent<T, R>>,
    inside_partition: bool,
    meter: Arc<StageMeter>,
    held: Option<Held>,
}

/// A link that holds at most `capacity` messages; the meters are of the stage that sends and of the one that receives.
#[must_use]
pub fn link<T, R>(
    capacity: NonZeroUsize,
    from: &Arc<StageMeter>,
    to: &Arc<StageMeter>,
) -> (Outlet<T, R>, Inlet<T, R>) {
    let (sender, receiver) = async_channel::bounded(capacity.get());
    from.set_capacity(capacity.get());
    let inlet = Inlet { receiver, inside_partition: false, meter: Arc::clone(to), held: None };
    (Outlet { sender, meter: Arc::clone(from) }, inlet)
}

impl<T, R> Outlet<T, R> {
    /// Counts the sending stage as holding a message until the guard is dropped: for the source, which receives none.
    #[must_use]
    pub fn hold(&self) -> Held {
        self.meter.hold()
    }

    /// Sends one message, waiting while the link is full.
    ///
    /// # Errors
    /// [`Hangup`] when the receiving stage has ended.
    pub async fn send(&mut self, message: Flow<T, R>) -> Result<(), Hangup> {
        let (started, is_item) = (Instant::now(), matches!(message, Flow::Item(_)));
        let sent = self.sender.send((started, message)).await;
        self.meter.sent(is_item, started.elapsed());
        sent.map_err(|_| Hangup)
    }

    /// [`Outlet::send`] for a stage that is an OS thread.
    ///
    /// # Errors
    /// [`Hangup`] when the receiving stage has ended.
    pub fn send_blocking(&mut self, message: Flow<T, R>) -> Result<(), Hangup> {
        let (started, is_item) = (Instant::now(), matches!(message, Flow::Item(_)));
        let sent = self.sender.send_blocking((started, message));
        self.meter.sent(is_item, started.elapsed());
        sent.map_err(|_| Hangup)
    }
}

impl<T, R> Inlet<T, R> {
    /// The next message, or `None` when upstream ended between partitions.
    ///
    /// # Errors
    /// [`Torn`] when upstream ended inside a partition.
    pub async fn next(&mut self) -> Result<Option<Flow<T, R>>, Torn> {
        self.held = None;
        let sent = self.receiver.recv().await.ok();
        self.account(sent)
    }

    /// [`Inlet::next`] for a stage that is an OS thread.
    ///
    /// # Errors
    /// [`Torn`] when upstream ended inside a partition.
    pub fn next_blocking(&mut self) -> Result<Option<Flow<T, R>>, Torn> {
        self.held = None;
        let sent = self.receiver.recv_blocking().ok();
        self.account(sent)
    }

    /// The receiving stage's meter, for a stage that works on several messages at once.
    pub fn meter(&self) -> Arc<StageMeter> {
        Arc::clone(&self.meter)
    }

    fn account(&mut self, sent: Option<Sent<T, R>>) -> Result<Option<Flow<T, R>>, Torn> {
        let message = sent.map(|(since, message)| {
            self.meter.received(since.elapsed());
            self.held = Some(self.meter.hold());
            message
        });
        match &message {
            Some(Flow::Seal(_)) => self.inside_partition = false,
            Some(_) => self.inside_partition = true,
            None if self.inside_partition => return Err(Torn),
            None => {}
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Seal;

    const ONE: NonZeroUsize = NonZeroUsize::MIN;

    #[test]
    fn an_end_after_a_seal_is_clean_and_inside_a_partition_is_torn() {
        let (mut outlet, mut inlet) =
            link::<u8, ()>(NonZeroUsize::new(4).unwrap(), &Arc::default(), &Arc::default());
        outlet.send_blocking(Flow::Item(1)).unwrap();
        outlet.send_blocking(Flow::Seal(Seal { partition: 0, n_samples: 1, n_by_cell: [1].into() })).unwrap();
        assert!(matches!(inlet.next_blocking(), Ok(Some(Flow::Item(1)))));
        assert!(matches!(inlet.next_blocking(), Ok(Some(Flow::Seal(_)))));
        outlet.send_blocking(Flow::Item(2)).unwrap();
        drop(outlet);
        assert!(matches!(inlet.next_blocking(), Ok(Some(Flow::Item(2)))));
        assert_eq!(inlet.next_blocking().unwrap_err(), Torn);
    }

    #[test]
    fn a_dropped_inlet_hangs_up() {
        let (mut outlet, inlet) = link::<u8, ()>(ONE, &Arc::default(), &Arc::default());
        drop(inlet);
        assert_eq!(outlet.send_blocking(Flow::Item(1)), Err(Hangup));
    }
}
