//! The second stage: what runs in the container, and installs every package with the distribution's own dpkg.
//!
//! It follows debootstrap(8), which the distributions test their archives with: a few packages alone and first, then all required ones
//! unpacked and after that configured, whatever they depend on; then the others, in steps. Nothing is started
//! (`policy-rc.d`, of Debian's invoke-rc.d(8)), nobody is asked, and there is no network.

use crate::resolve::Chosen;
use std::fmt::Write;

/// Where everything lies in the container that does not belong into the image.
pub const FOLDER: &str = "bocage-bootstrap";
/// The script's name there.
pub const SCRIPT: &str = "install";

/// How often the required packages are configured until all of them are.
const TRIES_MAX: u32 = 5;

/// The environment in which it runs. Time stands at the archive's date for tools that ask for it (reproducible-builds.org's
/// `SOURCE_DATE_EPOCH`).
pub fn environment(date: base::Time) -> Vec<String> {
    vec![
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        "HOME=/root".to_owned(),
        "LC_ALL=C.UTF-8".to_owned(),
        "TERM=dumb".to_owned(),
        "DEBIAN_FRONTEND=noninteractive".to_owned(),
        "DEBCONF_NONINTERACTIVE_SEEN=true".to_owned(),
        format!("SOURCE_DATE_EPOCH={}", date.unix_seconds()),
    ]
}

/// The command that runs it.
pub fn command() -> [String; 2] {
    ["/bin/sh".to_owned(), format!("/{FOLDER}/{SCRIPT}")]
}

/// The script, for /bin/sh.
pub fn script(chosen: &Chosen) -> String {
    let mut text = String::from(
        "# Installs the packages of this image. Made by `bocage image bootstrap`.\n\
         set -eu\n\
         umask 022\n",
    );
    let _ = writeln!(text, "cd /{FOLDER}");
    text.push_str(
        "policy=/usr/sbin/policy-rc.d\n\
         printf '#!/bin/sh\\nexit 101\\n' > $policy\n\
         chmod 755 $policy\n\
         # Scripts want an awk before the one that there is has been set up.\n\
         awk=\n\
         if [ ! -e /usr/bin/awk ] && [ -e /usr/bin/mawk ]; then ln -s mawk /usr/bin/awk; awk=/usr/bin/awk; fi\n\
         dpkg=/usr/bin/dpkg\n\
         options='--force-unsafe-io --force-depends'\n",
    );
    for name in &chosen.first {
        if name == "mawk" {
            text.push_str("if [ -n \"$awk\" ]; then rm -f $awk; fi\n");
        }
        let _ = writeln!(text, "$dpkg $options --install {name}.deb");
    }
    let rest = chosen.required.iter().filter(|name| !chosen.first.contains(name));
    let rest = files(rest);
    if !rest.is_empty() {
        let _ = writeln!(text, "$dpkg $options --unpack{rest}");
        // A script may count on what a package does that its own does not name: once more then, as debootstrap does.
        let _ = write!(
            text,
            "tries={TRIES_MAX}\n\
             until $dpkg $options --force-configure-any --configure --pending; do\n  \
             tries=$((tries - 1))\n  \
             [ $tries -gt 0 ] || exit 1\n\
             done\n"
        );
    }
    for step in &chosen.later {
        let _ = writeln!(
            text,
            "$dpkg $options --force-overwrite --force-confold --install{}",
            files(step.iter())
        );
    }
    text.push_str(
        "wrong=$($dpkg --audit)\n\
         if [ -n \"$wrong\" ]; then printf '%s\\n' \"$wrong\" >&2; exit 1; fi\n\
         rm -f $policy\n",
    );
    let _ = writeln!(text, "cd /\nrm -rf /{FOLDER}");
    text
}

fn files<'n>(names: impl Iterator<Item = &'n String>) -> String {
    names.fold(String::new(), |mut all, name| {
        let _ = write!(all, " {name}.deb");
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_installed_in_the_order_in_which_they_count_on_each_other() {
        let names = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let chosen = Chosen {
            required: names("base-passwd coreutils dpkg mawk"),
            first: names("base-passwd dpkg mawk"),
            later: vec![names("apt libapt"), names("nginx")],
        };
        let script = script(&chosen);
        let lines: Vec<&str> = script.lines().filter(|line| line.contains("$dpkg $options")).collect();
        assert_eq!(
            lines,
            [
                "$dpkg $options --install base-passwd.deb",
                "$dpkg $options --install dpkg.deb",
                "$dpkg $options --install mawk.deb",
                "$dpkg $options --unpack coreutils.deb",
                "until $dpkg $options --force-configure-any --configure --pending; do",
                "$dpkg $options --force-overwrite --force-confold --install apt.deb libapt.deb",
                "$dpkg $options --force-overwrite --force-confold --install nginx.deb",
            ]
        );
    }
}
