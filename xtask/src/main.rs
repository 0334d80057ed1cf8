//! `cargo xtask`: everything that is done to the project, as one program.
//!
//! | command | what it does |
//! |---|---|
//! | `build` | the release binary ([`product`]) |
//! | `check` | format, lints, layers, licences, dead files, words ([`check`]) |
//! | `generate` | writes the pages that are made from code ([`generate`]) |
//! | `images` | container images made from Debian packages ([`images`]) |
//! | `test` | packages, build, images, every required test ([`test`]) |
//! | `demo` | the main job with a real web server ([`demo`]) |
//! | `broken` | takes each protection away and expects a test to fail ([`broken`]) |
//! | `bench start` | what a container costs, beside Docker and Podman ([`bench`]) |
//! | `bench runtime` | what everything costs, beside crun, runc, Docker and Podman ([`bench`]) |
//! | `bench images` | what an image costs on its way, beside Docker, Podman and skopeo ([`bench`]) |
//! | `bench net` | what names and published ports cost, names beside Docker and Podman ([`bench`]) |
//! | `suite distribution` | the distribution specification's own tests, against our registry ([`suite`]) |
//! | `suite clients` | skopeo, podman, buildah, docker and docker-registry, with our registry ([`clients`]) |
//! | `torture images`, `torture registry` | the tests of crates that take too long for every day ([`torture`]) |
//! | `vm-demo` | the binary alone on a Debian machine in QEMU ([`vm`]) |
//! | `vm-test` | tests of containers and control groups in such a machine ([`vm`]) |
//!
//! Flow: a command runs as the user who typed it for as long as it builds, and starts itself again through `sudo` for what
//! needs root ([`shell::as_root`]), so that nothing in the target folder but the images belongs to root.
//!
//! Absent on purpose: a library of command line flags. The commands take next to none.

#![allow(
    clippy::disallowed_methods,
    reason = "a tool of the project reads the clock and the environment of who runs it"
)]

mod bench;
mod broken;
mod check;
mod clients;
mod demo;
mod generate;
mod http;
mod images;
mod product;
mod say;
mod scratch;
mod shell;
mod suite;
mod test;
mod torture;
mod vm;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// What a person may type, and what each does.
const COMMANDS: [(&str, &str); 17] = [
    ("build", "build the release binary"),
    ("check", "check format, lints, layers, licences, dead files and words"),
    ("generate", "write the pages that are made from code"),
    ("images", "make the test images and print their paths"),
    ("test", "install, build, and run all required tests"),
    ("demo", "publish three nginx containers, kill one, kill the daemon, clean up"),
    ("broken", "take each protection away in a copy of the sources and expect a test to fail"),
    ("bench start", "measure create+start+wait+delete, beside Docker and Podman where installed"),
    ("bench runtime", "measure bundles, exec, many at a time, beside crun, runc, Docker and Podman"),
    ("bench images", "measure load, save, pull and push, beside Docker, Podman and skopeo"),
    ("bench net", "measure names, beside Docker and Podman, and ten thousand published ports"),
    ("suite distribution", "run the distribution specification's own tests against our registry"),
    ("suite clients", "copy images between our registry, docker-registry and the clients that are installed"),
    ("torture images", "kill every operation on images and registries at each of its steps"),
    ("torture registry", "push a thousand times while everything that may be is collected"),
    ("vm-demo", "boot a Debian machine in QEMU and run `bocage demo` there"),
    ("vm-test", "boot one with control groups v2 alone and run tests there"),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::error(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    match words {
        ["build"] => product::build().map(|binary| say::line(&binary.display().to_string())),
        ["check", rest @ ..] => check::run(rest),
        ["generate"] => generate::write(),
        ["images"] => images::command(),
        ["test", rest @ ..] => test::run(rest),
        ["demo"] => demo::run(),
        ["broken", rest @ ..] => broken::run(rest),
        ["bench", rest @ ..] => bench::run(rest),
        ["suite", rest @ ..] => suite::run(rest),
        ["torture", rest @ ..] => torture::run(rest),
        ["vm-demo"] => vm::demo(),
        ["vm-test", rest @ ..] => vm::test(rest),
        // The halves of the commands above that need root; see `shell::as_root`.
        ["root", "images"] => images::make(),
        ["root", "demo"] => demo::as_root(),
        ["root", "bench", rest @ ..] => bench::as_root(rest),
        ["root", "bench-floor", rest @ ..] => bench::floor(rest),
        ["root", "suite", "clients"] => clients::as_root(),
        ["root", "vm-demo"] => vm::demo_as_root(),
        ["root", "vm-test", rest @ ..] => vm::test_as_root(rest),
        [] | ["help" | "--help" | "-h"] => {
            help();
            Ok(())
        }
        other => {
            help();
            bail!("there is no command `{}`", other.join(" "))
        }
    }
}

fn help() {
    say::line("Usage: cargo xtask COMMAND\n");
    for (name, what) in COMMANDS {
        say::line(&format!("  {name:<18} {what}"));
    }
}
