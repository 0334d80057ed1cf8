//! Long work that is told about while it goes on: one JSON message a line.
//!
//! What fails before anything was said has a status of its own, what fails later ends the stream with its message. A
//! client that goes away drops the answer, and with it the receiving end: so the work learns that nobody waits.

use crate::body::Body;
use crate::server::{Answer, json_line, typed};
use crate::wire::stream::{ErrorDetail, JsonMessage};
use futures_util::stream;
use hyper::Response;
use platform::{Answer as Opening, Error};
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// Messages of progress that wait for a slow client.
pub(crate) const PROGRESS_MESSAGES_MAX: usize = 64;

/// What a client is told of one step of progress, in Docker's words.
pub(crate) type Words<P> = Box<dyn FnMut(P) -> Vec<JsonMessage> + Send>;

/// Answers with what `work` tells on the channel, until it ends.
pub(crate) async fn told<P: Send + 'static>(
    work: Opening<'static, ()>,
    progress: mpsc::Receiver<P>,
    words: Words<P>,
) -> Answer {
    let mut telling = Telling { work: Some(work), progress, words, pending: VecDeque::new() };
    let first = match telling.next().await {
        Some(Step::Failed(error)) => return Err(error),
        first => first,
    };
    let parts = stream::unfold((first, Some(telling)), |(first, telling)| async {
        let mut telling = telling?;
        let step = match first {
            Some(step) => step,
            None => telling.next().await?,
        };
        let (message, telling) = match step {
            Step::Said(message) => (message, Some(telling)),
            Step::Failed(error) => (failure(error), None),
        };
        Some((json_line(&message).map_err(std::io::Error::other), (None, telling)))
    });
    Ok(typed(Response::new(Body::parts(parts)), "application/json"))
}

fn failure(error: Error) -> JsonMessage {
    let detail = ErrorDetail { code: 0, message: error.message.clone() };
    JsonMessage { error_detail: Some(detail), error: error.message, ..JsonMessage::default() }
}

/// One thing that is told.
enum Step {
    Said(JsonMessage),
    Failed(Error),
}

struct Telling<P> {
    /// None once it has ended.
    work: Option<Opening<'static, ()>>,
    progress: mpsc::Receiver<P>,
    words: Words<P>,
    /// Messages of a step that are not told yet.
    pending: VecDeque<JsonMessage>,
}

impl<P> Telling<P> {
    async fn next(&mut self) -> Option<Step> {
        loop {
            if let Some(message) = self.pending.pop_front() {
                return Some(Step::Said(message));
            }
            let Some(work) = &mut self.work else {
                // It has ended: what is still in the channel is the rest.
                let progress = self.progress.try_recv().ok()?;
                self.pending.extend((self.words)(progress));
                continue;
            };
            tokio::select! {
                biased;
                Some(progress) = self.progress.recv() => self.pending.extend((self.words)(progress)),
                outcome = work => {
                    self.work = None;
                    if let Err(error) = outcome {
                        return Some(Step::Failed(error));
                    }
                }
            }
        }
    }
}
