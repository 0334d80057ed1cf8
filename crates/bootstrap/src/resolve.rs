//! Which packages make the image, and in which order they are installed.
//!
//! Chosen are the packages that the distribution calls essential or required, those that were asked for, and what they need, in the way
//! of debootstrap(8): what conflicts is not looked at, since no archive's required packages do. Where one of several will do, one that
//! is chosen already is taken, then the one that has least to do, then the first that there is. What leaves no choice is followed
//! first, so that choices come last.

use crate::error::{Error, Result};
use crate::index::{Index, Package};
use crate::relation::{Need, Wanted, needs};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Packages of one image.
const CHOSEN_MAX: usize = 20_000;

/// Taken before others that would do. `usrmerge` moves directories together, which are together here from the first file on.
const PREFERRED: [&str; 1] = ["usr-is-merged"];

/// What is installed first, each alone, since the scripts of all others count on it (debootstrap's order, which archives are tested
/// with).
const FIRST: [&str; 7] = ["base-passwd", "base-files", "dpkg", "libc6", "perl-base", "mawk", "debconf"];

/// The packages of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Those whose files must be there before anything can be installed, by their names.
    pub required: Vec<String>,
    /// Of those, what is installed first, in this order.
    pub first: Vec<String>,
    /// What is installed after the required ones, in steps: before each step, all earlier ones work.
    pub later: Vec<Vec<String>>,
}

impl Chosen {
    /// All packages.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.required.iter().chain(self.later.iter().flatten())
    }
}

/// Picks the packages: the required ones, and `wishes`, which are names.
///
/// # Errors
/// [`Error::NoSystem`] where nothing is required, [`Error::UnknownPackage`] for a wish that is none, [`Error::Unmet`] where something is needed that there is not.
pub fn choose(index: &Index, wishes: &[String]) -> Result<Chosen> {
    let mut choice = Choice { index, chosen: BTreeSet::new(), sure: VecDeque::new(), open: VecDeque::new() };
    for package in index.packages().filter(|package| package.is_required) {
        choice.add(package)?;
    }
    choice.settle()?;
    let required = choice.chosen.clone();
    if required.is_empty() {
        return Err(Error::NoSystem { places: index.places.join(", ") });
    }
    for wish in wishes {
        let any = Wanted::any(wish);
        let package = index.get(wish).or_else(|| index.providers(&any).next());
        let package = package.ok_or_else(|| Error::UnknownPackage {
            name: wish.clone(),
            places: index.places.join(", "),
            near: index.near(wish),
        })?;
        choice.add(package)?;
    }
    choice.settle()?;
    let later: BTreeSet<String> = choice.chosen.difference(&required).cloned().collect();
    let later = steps(index, &later)?;
    let first =
        FIRST.iter().filter(|name| required.contains(**name)).map(|name| (*name).to_owned()).collect();
    Ok(Chosen { required: required.into_iter().collect(), first, later })
}

struct Choice<'i> {
    index: &'i Index,
    chosen: BTreeSet<String>,
    /// What is needed, with whom by: first what leaves no choice.
    sure: VecDeque<(String, Need)>,
    open: VecDeque<(String, Need)>,
}

impl Choice<'_> {
    fn add(&mut self, package: &Package) -> Result<()> {
        if !self.chosen.insert(package.name.clone()) {
            return Ok(());
        }
        if self.chosen.len() > CHOSEN_MAX {
            return Err(self.unmet(&package.name, &format!("more than {CHOSEN_MAX} packages")));
        }
        for need in all_needs(package)? {
            let is_sure = matches!(need.0.as_slice(), [one] if self.index.real(one).is_some());
            let queue = if is_sure { &mut self.sure } else { &mut self.open };
            queue.push_back((package.name.clone(), need));
        }
        Ok(())
    }

    /// Follows everything that is needed to its end.
    fn settle(&mut self) -> Result<()> {
        while let Some((by, need)) = self.sure.pop_front().or_else(|| self.open.pop_front()) {
            if need.0.iter().any(|wanted| self.is_met(wanted)) {
                continue;
            }
            let package = self.pick(&need).ok_or_else(|| self.unmet(&by, &need.to_string()))?;
            self.add(&package)?;
        }
        Ok(())
    }

    fn is_met(&self, wanted: &Wanted) -> bool {
        let is_chosen = |package: &Package| self.chosen.contains(&package.name);
        self.index.real(wanted).is_some_and(is_chosen) || self.index.providers(wanted).any(is_chosen)
    }

    fn pick(&self, need: &Need) -> Option<Package> {
        let real = || need.0.iter().filter_map(|wanted| self.index.real(wanted));
        let preferred = real().find(|package| PREFERRED.contains(&package.name.as_str()));
        let provider =
            || need.0.iter().find_map(|wanted| self.index.providers(wanted).min_by_key(|one| &one.name));
        preferred.or_else(|| real().next()).or_else(provider).cloned()
    }

    fn unmet(&self, package: &str, need: &str) -> Error {
        Error::Unmet {
            package: package.to_owned(),
            need: need.to_owned(),
            places: self.index.places.join(", "),
        }
    }
}

fn all_needs(package: &Package) -> Result<Vec<Need>> {
    let mut all = Vec::new();
    for field in [&package.pre_depends, &package.depends] {
        all.extend(needs(field).map_err(|part| Error::Archive {
            url: package.path.clone(),
            what: format!("the package {} needs {part:?}, which makes no sense", package.name),
        })?);
    }
    Ok(all)
}

/// Puts packages into steps: what must work before another can be unpacked (`Pre-Depends`) is in an earlier step, with all that it
/// needs itself. Where that runs in a circle, the rest is one step, and dpkg(1) is told not to mind.
fn steps(index: &Index, names: &BTreeSet<String>) -> Result<Vec<Vec<String>>> {
    let mut before: BTreeMap<&str, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for name in names {
        let Some(package) = index.get(name) else { continue };
        let among = |field: &str| -> BTreeSet<String> {
            let needs = needs(field).unwrap_or_default();
            let wanted = needs.iter().flat_map(|need| &need.0);
            let both = wanted.flat_map(|one| index.real(one).into_iter().chain(index.providers(one)));
            both.map(|package| package.name.clone())
                .filter(|other| names.contains(other) && other != name)
                .collect()
        };
        before.insert(name, (among(&package.pre_depends), among(&package.depends)));
    }
    let mut steps: Vec<Vec<String>> = Vec::new();
    let mut done: BTreeSet<String> = BTreeSet::new();
    while done.len() < names.len() {
        // Whoever waits for nothing that is not done may be unpacked, and works if all it depends on may be as well.
        let mut ready: BTreeSet<&String> = names
            .iter()
            .filter(|name| !done.contains(*name))
            .filter(|name| before.get(name.as_str()).is_none_or(|(pre, _)| pre.is_subset(&done)))
            .collect();
        loop {
            let waiting = |name: &String| {
                let needed = before.get(name.as_str()).map(|(_, depends)| depends);
                needed.into_iter().flatten().any(|other| !done.contains(other) && !ready.contains(other))
            };
            let stuck: Vec<&String> = ready.iter().copied().filter(|name| waiting(name)).collect();
            if stuck.is_empty() {
                break;
            }
            ready.retain(|name| !stuck.contains(name));
        }
        let mut step: Vec<String> = ready.into_iter().cloned().collect();
        if step.is_empty() {
            step = names.difference(&done).cloned().collect();
        }
        done.extend(step.iter().cloned());
        steps.push(step);
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::tests::index;

    fn chosen(paragraphs: &[&str], wishes: &[&str]) -> Result<Chosen> {
        let wishes: Vec<String> = wishes.iter().map(|wish| (*wish).to_owned()).collect();
        choose(&index(paragraphs), &wishes)
    }

    #[test]
    fn required_packages_and_what_they_need_are_chosen() {
        let all = [
            "dpkg\nEssential: yes\nPre-Depends: libc6",
            "libc6\nDepends: libgcc",
            "libgcc",
            "tar\nPriority: required",
            "vim",
        ];
        let chosen = chosen(&all, &[]).unwrap();
        assert_eq!(chosen.required, ["dpkg", "libc6", "libgcc", "tar"]);
        assert_eq!(chosen.first, ["dpkg", "libc6"]);
        assert!(chosen.later.is_empty());
    }

    #[test]
    fn of_several_the_first_that_exists_is_taken_but_for_one_that_is_there_anyway() {
        let all = [
            "a\nEssential: yes\nDepends: none | b | c",
            "b",
            "c",
            "d\nEssential: yes\nDepends: b | e",
            "e\nEssential: yes",
        ];
        assert_eq!(chosen(&all, &[]).unwrap().required, ["a", "b", "d", "e"]);
        // The choice comes last: what `z` needs without one settles it.
        let all = ["a\nEssential: yes\nDepends: b | c", "b", "c", "z\nEssential: yes\nDepends: c"];
        assert_eq!(chosen(&all, &[]).unwrap().required, ["a", "c", "z"]);
        let all = ["init\nEssential: yes\nDepends: usrmerge | usr-is-merged", "usrmerge", "usr-is-merged"];
        assert_eq!(chosen(&all, &[]).unwrap().required, ["init", "usr-is-merged"]);
    }

    #[test]
    fn versions_and_what_is_provided_are_looked_at() {
        let all = [
            "a\nEssential: yes\nDepends: b (>= 2) | virtual",
            "b\nVersion: 1.9",
            "y\nProvides: virtual",
            "x\nProvides: virtual",
        ];
        assert_eq!(chosen(&all, &[]).unwrap().required, ["a", "x"]);
        let all = ["a\nEssential: yes\nDepends: v (>= 2)", "x\nProvides: v", "y\nProvides: v (= 2.1)"];
        assert_eq!(chosen(&all, &[]).unwrap().required, ["a", "y"]);
    }

    #[test]
    fn what_is_missing_is_told_with_who_needs_it() {
        let all = ["a\nEssential: yes\nDepends: b (>= 2)", "b"];
        assert_eq!(
            chosen(&all, &[]).unwrap_err().to_string(),
            "the package a needs b (>= 2), which is not in the test"
        );
        let error = chosen(&["nginx", "a\nEssential: yes"], &["ngix"]).unwrap_err();
        assert_eq!(error.hint().unwrap(), "did you mean nginx?");
    }

    #[test]
    fn wishes_come_after_in_steps() {
        let all = [
            "base\nEssential: yes",
            "app\nPre-Depends: helper\nDepends: lib, base",
            "helper\nDepends: helper-lib",
            "helper-lib",
            "lib\nDepends: app",
        ];
        let chosen = chosen(&all, &["app"]).unwrap();
        assert_eq!(chosen.required, ["base"]);
        assert_eq!(chosen.later, [vec!["helper", "helper-lib"], vec!["app", "lib"]]);
    }

    #[test]
    fn an_archive_of_updates_is_no_system() {
        assert!(matches!(chosen(&["nginx"], &[]), Err(Error::NoSystem { .. })));
    }

    #[test]
    fn a_circle_of_needs_is_one_step() {
        let all = ["base\nEssential: yes", "a\nPre-Depends: b", "b\nPre-Depends: a", "c\nDepends: a"];
        let chosen = chosen(&all, &["c"]).unwrap();
        assert_eq!(chosen.later, [vec!["a", "b", "c"]]);
    }
}
