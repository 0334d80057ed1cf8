//! `api-docker`: the Docker Engine API, versions 1.24 to 1.51, for the clients that people already have.
//!
//! ```text
//! HTTP request -> table (route, fields) -> coverage (refuse what is not built) -> handle (one file a topic)
//!                                                                                    |
//!                           wire (the JSON) <- from_model <-  platform's doors  <- to_model
//! ```
//!
//! The crate knows the doors of `platform` and nothing behind them. Where to start: [`serve`]; the table of all operations
//! and fields is in `table`, the JSON in [`wire`], which the command line shares. **Nothing is accepted and then ignored**: a
//! field that is not built is refused by its name ([`coverage`]).
//!
//! Absent on purpose: any state between requests, TLS, and every decision about containers.

mod body;
pub mod coverage;
mod detach;
mod filters;
mod from_model;
mod handle;
mod hijack;
mod server;
mod table;
mod time;
mod to_model;
pub mod wire;

pub use server::{Listener, serve};
