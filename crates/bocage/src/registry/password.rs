//! `bocage registry password NAME`: a line for a registry's file of users, with the password from standard input.

use images::distribution::hash_password;
use rustix::stdio::stdin;
use rustix::termios::{LocalModes, OptionalActions, isatty, tcgetattr, tcsetattr};
use std::ffi::OsString;
use std::io::{BufRead, Read};

/// Bytes of a line that are read.
const LINE_BYTES_MAX: u64 = 4096;

/// Reads a password and prints the line.
pub(super) fn run(arguments: &[OsString]) -> Result<(), String> {
    let [name] = arguments else {
        return Err("password: one user's name is needed: `bocage registry password NAME < FILE`".into());
    };
    let name = name.to_str().filter(|name| is_name(name)).ok_or_else(|| {
        format!("password: {} cannot be a user's name: letters, digits and . _ @ - can", name.display())
    })?;
    let line = format!("{name}:{}\n", hash_password(&read()?)?);
    cli::print(&line);
    Ok(())
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'@' | b'-');
    !name.is_empty() && name.bytes().all(fits)
}

/// The first line of standard input, unseen where that is a terminal.
fn read() -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| format!("read the password: {error}");
    let mut line = String::new();
    let mut input = std::io::stdin().lock().take(LINE_BYTES_MAX);
    if !isatty(stdin()) {
        input.read_line(&mut line).map_err(|error| failed(&error))?;
    } else {
        cli::print_prompt("Password: ");
        let before = tcgetattr(stdin()).map_err(|error| failed(&error))?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin(), OptionalActions::Flush, &silent).map_err(|error| failed(&error))?;
        let read = input.read_line(&mut line);
        // The line's end was not shown either.
        cli::print_prompt("\n");
        tcsetattr(stdin(), OptionalActions::Now, &before).map_err(|error| failed(&error))?;
        read.map_err(|error| failed(&error))?;
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
