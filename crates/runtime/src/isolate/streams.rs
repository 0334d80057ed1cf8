//! The steps that give the program its standard streams: pipes of the shim, or a terminal of the container's own.

use super::dev::is_device;
use super::environment::{Child, During, Outcome, Problem};
use super::mounts::{copy_of_open, put};
use super::talk;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

/// `DEVPTS_SUPER_MAGIC` of statfs(2).
pub(super) const DEVPTS: u64 = 0x1cd1;

/// Connects standard input, output and error.
pub(super) fn connect(child: &mut Child<'_>) -> Outcome {
    if child.process.terminal {
        return connect_terminal(child);
    }
    if child.handover.is_some() {
        // They are its caller's, and it has them already.
        return Ok(());
    }
    let Some(streams) = child.streams else { return Err(Problem::new("no standard streams")) };
    match streams.stdin {
        Some(stdin) => rustix::stdio::dup2_stdin(stdin),
        None => rustix::stdio::dup2_stdin(nothing_to_read(child)?),
    }
    .during("connect standard input")?;
    rustix::stdio::dup2_stdout(streams.stdout).during("connect standard output")?;
    rustix::stdio::dup2_stderr(streams.stderr).during("connect standard error")
}

/// The container's own null device, never the host's: its mode could be changed through the descriptor. A container
/// that has none reads from a pipe that has ended.
fn nothing_to_read(child: &Child<'_>) -> Result<OwnedFd, Problem> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = match &child.found.dev {
        Some(dev) => rustix::fs::openat(dev, c"null", flags | OFlags::NOFOLLOW, Mode::empty()),
        None => rustix::fs::open(c"/dev/null", flags | OFlags::NOFOLLOW, Mode::empty()),
    };
    if let Ok(null) = opened
        && is_device(null.as_fd(), 1, 3).unwrap_or(false)
    {
        rustix::fs::fcntl_setfl(&null, OFlags::RDWR).during("unblock /dev/null")?;
        return Ok(null);
    }
    let (read, _write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).during("make a pipe")?;
    Ok(read)
}

/// Opens a terminal in the container's devpts, takes it as the controlling one and passes its other end to the shim.
fn connect_terminal(child: &mut Child<'_>) -> Outcome {
    let master = open_master(child)?;
    rustix::pty::unlockpt(&master).during("unlock the terminal")?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).during("open the terminal")?;
    if let Some((rows, columns)) = child.process.size {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size).during("set the terminal's size")?;
    }
    if let Some(dev) = child.found.dev.as_ref().filter(|_| child.setup.is_some()) {
        bind_console(dev.as_fd(), slave.as_fd())?;
    }
    rustix::process::ioctl_tiocsctty(&slave).during("take the controlling terminal")?;
    rustix::stdio::dup2_stdin(&slave).during("connect standard input")?;
    rustix::stdio::dup2_stdout(&slave).during("connect standard output")?;
    rustix::stdio::dup2_stderr(&slave).during("connect standard error")?;
    talk::send_descriptor(child.report, talk::TERMINAL, master.as_fd())
        .during("pass the terminal to the shim")
}

/// The multiplexer of the container's devpts: a fresh one's, or, in a container that runs and may lie, one that is
/// shown to be the kernel's.
fn open_master(child: &Child<'_>) -> Result<OwnedFd, Problem> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if child.setup.is_some() {
        let Some(pts) = &child.found.pts else {
            return Err(Problem::new("a terminal needs a devpts on /dev/pts"));
        };
        return rustix::fs::openat(pts, c"ptmx", flags, Mode::empty()).during("open /dev/pts/ptmx");
    }
    let master = rustix::fs::open(c"/dev/pts/ptmx", flags, Mode::empty()).during("open /dev/pts/ptmx")?;
    let kind = rustix::fs::fstatfs(&master).during("look at /dev/pts/ptmx")?.f_type as u64;
    if kind != DEVPTS || !is_device(master.as_fd(), 5, 2).during("look at /dev/pts/ptmx")? {
        return Err(Problem::new("the container's /dev/pts/ptmx is not a terminal multiplexer"));
    }
    Ok(master)
}

/// The terminal is the container's console too. The target is made here, or is a plain file or a device that was there: a
/// link is refused, since it could lead what is mounted on it anywhere.
fn bind_console(dev: BorrowedFd<'_>, slave: BorrowedFd<'_>) -> Outcome {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    let target = match rustix::fs::openat(dev, c"console", flags, Mode::from_raw_mode(0o620)) {
        Err(Errno::EXIST) => {
            let there = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let target =
                rustix::fs::openat(dev, c"console", there, Mode::empty()).during("open /dev/console")?;
            let stat = rustix::fs::fstat(&target).during("look at /dev/console")?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile | FileType::CharacterDevice => target,
                _ => return Err(Problem::new("/dev/console is neither a file nor a device")),
            }
        }
        other => other.during("make /dev/console")?,
    };
    let copy = copy_of_open(slave, false).during("copy the terminal's mount")?;
    put(copy.as_fd(), target.as_fd()).during("mount /dev/console")
}

/// A program that is not root may open its streams again, by `/dev/stdout`.
pub(super) fn give_to_user(child: &mut Child<'_>) -> Outcome {
    if child.found.identity.uid == 0 {
        return Ok(());
    }
    let owner = Some(Uid::from_raw(child.found.identity.uid));
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    for stream in streams {
        if is_device(stream, 1, 3).during("look at a standard stream")? {
            continue;
        }
        match rustix::fs::fchown(stream, owner, None) {
            // What cannot be owned (a socket of another kind) can be used all the same.
            Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS) => {}
            Err(error) => return Err(error).during("set the owner of a standard stream"),
        }
    }
    Ok(())
}
