//! The engine behind the platform's doors: each file is one door.

mod control;
mod image;
pub(crate) use control::ask;
pub(crate) use image::{Bridge, defaults, image_bytes, image_error, written};
mod node;
mod registry;
mod system;
mod volume;

use crate::Shared;
use platform::Doors;
use std::sync::Arc;

/// One engine, seen through any of the doors.
pub(crate) struct Door(pub(crate) Arc<Shared>);

/// All doors of an engine.
pub(crate) fn open(shared: &Arc<Shared>) -> Doors {
    let door = Arc::new(Door(Arc::clone(shared)));
    Doors {
        control: Arc::clone(&door) as _,
        node: Arc::clone(&door) as _,
        images: Arc::clone(&door) as _,
        networks: Arc::clone(&door) as _,
        volumes: Arc::clone(&door) as _,
        system: door,
    }
}

/// Carries a request out to its end, even if its client goes away in the middle: half of it would be left otherwise.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, platform::Error>> + Send + 'static,
) -> Result<T, platform::Error> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(platform::Error::failed(format!("the daemon gave up on this request: {error}"))),
    }
}

/// Runs work that blocks where the asynchronous runtime does not mind.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, platform::Error> + Send + 'static,
) -> Result<T, platform::Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(platform::Error::failed(format!("the daemon gave up on this request: {error}"))),
    }
}
