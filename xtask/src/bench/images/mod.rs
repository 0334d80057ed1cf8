//! `cargo xtask bench images [ROUNDS]`: what it costs to take an image in and to give it away, ours beside Docker, Podman and skopeo.
//!
//! The image has some 300 MB of Debian's files in six layers, some with few large files, some with thousands of small ones. Every round
//! does each thing on each side in turn; a registry on this machine is the other end, and an empty one is started for each push.
//! Registries are Debian's docker-registry, where it is installed, and our own; the disk is quiet (sync(2)) before each measurement.
//!
//! A figure is the median of the time from the client's start to its end, and of the processor's time of client and daemon
//! together (proc(5), `stat`); the registry's is not in it. Beside them stands the floor: what the common programs
//! take for the parts of it, on the same bytes ([`floor`]).
//!
//! Absent on purpose: who cannot do a thing has no figure for it, and why stands below the table.

mod floor;
mod registry;
mod side;
mod spent;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::facts;
use super::numbers::median;
use crate::{images, product, say};
use registry::{Kind, Registry};
use side::Side;
use spent::Spent;

/// Rounds, unless told otherwise.
const ROUNDS: usize = 3;
/// The name of the image in its archive.
const IMAGE: &str = "stack:latest";

/// What is measured, in the order in which a round does it.
const ROWS: [(Row, &str); 8] = [
    (Row::Load, "load"),
    (Row::Save, "save"),
    (Row::PushPlain, "push, plain layers become gzip"),
    (Row::PushZstd, "push, plain layers become zstd"),
    (Row::PushAgain, "push of what is there"),
    (Row::PullGzip, "cold pull, gzip"),
    (Row::PushCompressed, "push, layers came as gzip"),
    (Row::PullZstd, "cold pull, zstd"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Load,
    Save,
    PushPlain,
    PushZstd,
    PushAgain,
    PullGzip,
    PushCompressed,
    PullZstd,
}

/// Refuses words that cannot be understood.
pub(super) fn check(words: &[&str]) -> Result<()> {
    rounds(words).map(|_| ())
}

fn rounds(words: &[&str]) -> Result<usize> {
    match words {
        [] => Ok(ROUNDS),
        [count] => count.parse().with_context(|| format!("`{count}` is no number of rounds")),
        _ => bail!("`bench images` takes one word, the number of rounds"),
    }
}

/// The half that needs root.
pub(super) fn run(words: &[&str]) -> Result<()> {
    let rounds = rounds(words)?;
    let (archive, layers) = images::stack()?;
    say::line(&facts::machine());
    let binary = product::built()?;
    let (mut sides, mut absent) = side::all(&binary)?;
    let kinds = Kind::all(&mut absent);
    absent.iter().for_each(|note| say::step(note));
    let names: Vec<&str> = sides.iter().map(|side| side.name).collect();
    say::line(&format!("sides: {}; {rounds} rounds", names.join(", ")));
    floor::tell(&layers)?;
    for (number, kind) in kinds.into_iter().enumerate() {
        let mut bench = Bench::new(kind, &binary, archive.clone(), number > 0);
        bench.fill(&sides[0])?;
        for round in 0..rounds {
            for side in &mut sides {
                bench.turn(side).with_context(|| format!("round {round} on {}", side.name))?;
            }
        }
        bench.tell(&sides);
    }
    sides.into_iter().try_for_each(Side::stop)
}

/// All turns against one kind of registry.
struct Bench<'b> {
    kind: Kind,
    binary: &'b Path,
    archive: PathBuf,
    /// What needs no registry is measured already.
    local_is_done: bool,
    /// Has the image in both packings.
    source: Option<Registry>,
    figures: BTreeMap<(Row, &'static str), Vec<Spent>>,
    /// What somebody cannot do, and why.
    notes: BTreeSet<String>,
}

impl<'b> Bench<'b> {
    fn new(kind: Kind, binary: &'b Path, archive: PathBuf, local_is_done: bool) -> Bench<'b> {
        let (figures, notes) = (BTreeMap::new(), BTreeSet::new());
        Bench { kind, binary, archive, local_is_done, source: None, figures, notes }
    }

    /// Starts the registry that is pulled from, and gives it the image.
    fn fill(&mut self, ours: &Side) -> Result<()> {
        let source = Registry::start(self.kind, self.binary)?;
        ours.quietly(&["load", "-q", "-i", &self.archive.to_string_lossy()])?;
        for packing in ["gzip", "zstd"] {
            let name = source.image(packing);
            ours.quietly(&["tag", IMAGE, &name])?;
            ours.quietly(&["push", "-q", "--compression", packing, &name])?;
        }
        ours.forget()?;
        self.source = Some(source);
        Ok(())
    }

    /// Everything once on one side.
    fn turn(&mut self, side: &mut Side) -> Result<()> {
        let source = self.source.take().context("there is no registry to pull from")?;
        let done = self.local(side).and_then(|()| self.far(side, &source));
        self.source = Some(source);
        side.forget()?;
        done
    }

    /// From an archive, into an archive, and to registries.
    fn local(&mut self, side: &mut Side) -> Result<()> {
        side.forget()?;
        let archive = self.archive.to_string_lossy().into_owned();
        if side.is_engine() && !self.local_is_done {
            self.measure(Row::Load, side, &["load", "-q", "-i", &archive]);
            let saved = side.folder.join("saved.tar");
            self.measure(Row::Save, side, &["save", "-o", &saved.to_string_lossy(), IMAGE]);
            let _ = std::fs::remove_file(saved);
        } else if side.is_engine() {
            side.quietly(&["load", "-q", "-i", &archive])?;
        }
        let registry = Registry::start(self.kind, self.binary)?;
        let name = registry.image("plain");
        side.tag(IMAGE, &name)?;
        let from = format!("docker-archive:{archive}");
        let again = self.measure_push(Row::PushPlain, side, &from, &name, None);
        if again {
            self.measure_push(Row::PushAgain, side, &from, &name, None);
        }
        drop(registry);
        let registry = Registry::start(self.kind, self.binary)?;
        let name = registry.image("zstd");
        side.tag(IMAGE, &name)?;
        self.measure_push(Row::PushZstd, side, &from, &name, Some("zstd"));
        side.forget()
    }

    /// From a registry, and to another as it came.
    fn far(&mut self, side: &mut Side, source: &Registry) -> Result<()> {
        let (gzip, zstd) = (source.image("gzip"), source.image("zstd"));
        let registry = Registry::start(self.kind, self.binary)?;
        let name = registry.image("copy");
        let mut layout = String::new();
        let pulled = match side.is_engine() {
            true => self.measure(Row::PullGzip, side, &side.pull(&gzip)),
            false => {
                layout = format!("oci:{}", side.folder.join("layout").display());
                side.quietly(&side::words(&side.copy(&format!("docker://{gzip}"), &layout, None))).is_ok()
            }
        };
        if pulled {
            side.tag(&gzip, &name)?;
            self.measure_push(Row::PushCompressed, side, &layout, &name, None);
        }
        let _ = std::fs::remove_dir_all(side.folder.join("layout"));
        side.forget()?;
        if side.is_engine() {
            self.measure(Row::PullZstd, side, &side.pull(&zstd));
        }
        Ok(())
    }

    /// Whether it could be done.
    fn measure_push(&mut self, row: Row, side: &Side, from: &str, to: &str, packing: Option<&str>) -> bool {
        match side.push(from, to, packing) {
            Some(words) => self.measure(row, side, &side::words(&words)),
            None => false,
        }
    }

    fn measure(&mut self, row: Row, side: &Side, words: &[impl AsRef<str>]) -> bool {
        match side.measured(words) {
            Ok(spent) => {
                self.figures.entry((row, side.name)).or_default().push(spent);
                true
            }
            Err(error) => {
                let what = ROWS.iter().find(|(other, _)| *other == row).map_or("", |(_, what)| *what);
                let why = format!("{error:#}").lines().last().unwrap_or_default().to_owned();
                self.notes.insert(format!("{}: no `{what}`: {why}", side.name));
                false
            }
        }
    }

    fn tell(&self, sides: &[Side]) {
        let head: String = sides.iter().map(|side| format!("{:>22}", side.name)).collect();
        say::line(&format!(
            "\nagainst {}: seconds, of the processor, times ours\n{:<32}{head}",
            self.kind, ""
        ));
        for (row, what) in ROWS {
            let figures: Vec<Option<(f64, f64)>> = sides
                .iter()
                .map(|side| self.figures.get(&(row, side.name)).map(|all| medians(all)))
                .collect();
            let ours = figures.first().copied().flatten();
            let cells: String = figures.iter().map(|figure| cell(*figure, ours)).collect();
            say::line(&format!("{what:<32}{cells}"));
        }
        self.notes.iter().for_each(|note| say::line(note));
    }
}

fn medians(all: &[Spent]) -> (f64, f64) {
    let of = |figure: fn(&Spent) -> f64| median(&all.iter().map(figure).collect::<Vec<_>>());
    (of(|spent| spent.wall), of(|spent| spent.processor))
}

fn cell(figure: Option<(f64, f64)>, ours: Option<(f64, f64)>) -> String {
    let Some((wall, processor)) = figure else { return format!("{:>22}", "-") };
    let ratio = ours.map_or_else(String::new, |(ours, _)| format!("{:.1}x", wall / ours));
    format!("{wall:>9.3}{processor:>7.2}{ratio:>6}")
}
