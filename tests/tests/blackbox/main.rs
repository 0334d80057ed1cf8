//! The rows of the course that this product covers, and what must hold around them, driven from outside.
//!
//! A row carries its number in its module's or function's comment (`E7`). Each row runs twice, by `docker` and by `bocage`.
//!
//! One program for all, so that it is linked once.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that meets the unexpected fails")]

mod archives;
mod bootstrap;
mod bundles;
mod commit;
mod demo;
mod disk;
mod escapes;
mod files;
mod formats;
mod images;
mod isolation;
mod killed;
mod lifecycle;
mod looking;
mod many;
mod named_volumes;
mod names;
mod network;
mod networks;
mod registry;
mod registry_server;
mod resources;
mod running;
mod starting;
mod survival;
mod terminal;
mod users;
mod volume_copies;
mod volumes;
mod wrong_input;
