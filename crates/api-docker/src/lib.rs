//! `api-docker`: the Docker Engine API: its JSON as types, which the command line shares.

pub mod wire;
