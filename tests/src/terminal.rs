//! A pseudo-terminal with a client in it: what a person types goes in, what a person sees comes out. See pty(7).

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::until_within;

/// The longest wait for words to appear, and for the client to end.
const SCREEN_LIMIT: Duration = Duration::from_secs(30);

/// A client in a terminal. Dropped, it is killed.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    controller: File,
    screen: Arc<Mutex<Vec<u8>>>,
    /// How much of the screen's bytes was seen already.
    seen: usize,
}

impl Terminal {
    /// Starts a command with a new terminal of 24 rows and 80 columns as its controlling one.
    pub(crate) fn start(wanted: &Command) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal can be opened");
        grantpt(&controller).expect("a terminal can be granted");
        unlockpt(&controller).expect("a terminal can be unlocked");
        let name = ptsname(&controller, Vec::new()).expect("a terminal has a name");
        let controller = File::from(controller);
        resize(&controller, 24, 80);
        let name = name.to_str().expect("a terminal's name is a path").to_owned();
        let user = || {
            File::options().read(true).write(true).open(&name).expect("a terminal can be opened by its name")
        };
        // Made the controlling terminal by a program: the call that does so may only be made in the child.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(wanted.get_program()).args(wanted.get_args()).env_clear();
        for (name, value) in wanted.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        if let Some(folder) = wanted.get_current_dir() {
            command.current_dir(folder);
        }
        let child =
            command.stdin(user()).stdout(user()).stderr(user()).spawn().expect("a client can be started");
        let screen = Arc::new(Mutex::new(Vec::new()));
        let mut reader = controller.try_clone().expect("a descriptor can be copied");
        let written = Arc::clone(&screen);
        thread::spawn(move || {
            let mut buffer = [0_u8; 4096];
            // The read fails with EIO when the last process has closed the terminal.
            while let Ok(count) = reader.read(&mut buffer) {
                if count == 0 {
                    break;
                }
                written.lock().expect("no reader panics").extend_from_slice(&buffer[..count]);
            }
        });
        Self { child, controller, screen, seen: 0 }
    }

    /// Types.
    pub fn send(&mut self, text: &str) {
        self.controller.write_all(text.as_bytes()).expect("a terminal can be typed into");
    }

    /// Waits until these words appear after those that were waited for before.
    ///
    /// # Panics
    /// Where they do not; with what is on the screen.
    pub fn expect(&mut self, words: &str) {
        let seen = self.seen;
        let screen = Arc::clone(&self.screen);
        let text = || screen.lock().expect("no reader panics").clone();
        let what =
            || format!("{words:?} appears; on the screen is {:?}", String::from_utf8_lossy(&text()[seen..]));
        let start = std::time::Instant::now();
        let place = until_within(SCREEN_LIMIT * 2, words, || {
            assert!(start.elapsed() < SCREEN_LIMIT, "not within {SCREEN_LIMIT:?}: {}", what());
            let bytes = text();
            bytes[seen..].windows(words.len()).position(|window| window == words.as_bytes())
        });
        self.seen = seen + place + words.len();
    }

    /// Everything that was shown so far.
    #[must_use]
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().expect("no reader panics")).into_owned()
    }

    /// Whether the terminal is as a shell wants to find it: lines are edited and echoed, ^C is a signal.
    #[must_use]
    pub fn is_for_lines(&self) -> bool {
        let modes = tcgetattr(&self.controller).expect("a terminal has settings").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Changes the size of the window.
    pub fn resize(&self, rows: u16, columns: u16) {
        resize(&self.controller, rows, columns);
    }

    /// Waits until the client ends, and returns its exit code.
    ///
    /// # Panics
    /// Where it goes on, with what is on the screen; or where it left the terminal changed.
    pub fn finish(mut self) -> i32 {
        let start = std::time::Instant::now();
        let status = until_within(SCREEN_LIMIT * 2, "the client in the terminal ends", || {
            let ended = self.child.try_wait().expect("a child can be waited for");
            assert!(
                ended.is_some() || start.elapsed() < SCREEN_LIMIT,
                "the client goes on; it shows {:?}",
                self.shown()
            );
            ended
        });
        assert!(self.is_for_lines(), "the client left the terminal changed");
        status.code().unwrap_or(-1)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn resize(terminal: &File, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).expect("a terminal has a size");
}
