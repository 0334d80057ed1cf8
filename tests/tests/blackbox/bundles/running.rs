//! `run`, terminals, and where numbers and errors are written.

use std::fs;
use std::io::{IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixListener;

use blackbox::{Bundle, until};
use rustix::fd::OwnedFd;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

#[test]
fn run_passes_words_and_code_on_and_leaves_nothing() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.shell("echo words; echo others >&2; hostname; exit 5");
    let said = bundle.run(&["run", "--bundle", &bundle.folder(), bundle.id()]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (5, "words\nbocage\n", "others\n"));
    bundle.is_gone();
    bundle.shell("kill -TERM $$");
    // The first process of a namespace takes no signal from within that it does not handle.
    assert_eq!(bundle.run(&["run", "--bundle", &bundle.folder(), bundle.id()]).code, 0);
    bundle.share("pid");
    assert_eq!(bundle.run(&["run", "--bundle", &bundle.folder(), bundle.id()]).code, 143);
    bundle.is_gone();
}

#[test]
fn run_keeps_what_it_is_told_to_keep() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.ok(&["run", "--keep", "--bundle", &bundle.folder(), bundle.id()]);
    assert_eq!(bundle.status(), "stopped");
    bundle.ok(&["delete", bundle.id()]);
    bundle.is_gone();
}

#[test]
fn run_passes_signals_on() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.shell("trap 'exit 7' TERM; echo runs > /said; while :; do sleep 0.1; done");
    let mut run = bundle.command(&["run", "--bundle", &bundle.folder(), bundle.id()]).spawn().unwrap();
    assert_eq!(bundle.until_written("said"), "runs");
    rustix::process::kill_process(rustix::process::Pid::from_child(&run), rustix::process::Signal::TERM)
        .unwrap();
    let status = until("run ends", || run.try_wait().unwrap());
    assert_eq!(status.code(), Some(7));
    bundle.is_gone();
}

#[test]
fn a_detached_one_goes_on_and_its_number_is_written() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.shell("exec sleep 1000");
    let file = bundle.path("pid");
    bundle.ok(&["run", "--detach", "--pid-file", &file, "--bundle", &bundle.folder(), bundle.id()]);
    assert_eq!(bundle.status(), "running");
    assert_eq!(fs::read_to_string(file).unwrap(), bundle.pid().to_string());
    bundle.end();
}

#[test]
fn what_an_engine_reads_errors_from_has_them() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.edit("/process/args", json!(["/nosuch"]));
    let (log, folder, id) = (bundle.path("log.json"), bundle.folder(), bundle.id().to_owned());
    let global = ["--log", &log, "--log-format", "json"];
    let said = bundle.run(&[&global[..], &["run", "--bundle", &folder, &id]].concat());
    assert!(said.code == 1 && said.err.contains("/nosuch"), "{said:?}");
    let line: Value = serde_json::from_str(&fs::read_to_string(&log).unwrap()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(said.err.contains(line["msg"].as_str().unwrap()), "{line} {said:?}");
    bundle.is_gone();
    let log = bundle.path("log.text");
    bundle.run(&["--log", &log, "state", &id]);
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("level=error") && text.contains("does not exist"), "{text}");
}

/// The descriptor that somebody sends to a socket.
fn received(listener: &UnixListener) -> OwnedFd {
    let (connection, _) = until("somebody connects", || listener.accept().ok());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut buffer = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 256];
    recvmsg(&connection, &mut [IoSliceMut::new(&mut bytes)], &mut buffer, RecvFlags::CMSG_CLOEXEC).unwrap();
    let rights = buffer.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    rights.expect("a descriptor comes with the message")
}

/// Reads a terminal until these words are there.
fn read_until(terminal: &mut fs::File, words: &str) {
    let (mut text, mut buffer) = (String::new(), [0; 1024]);
    while !text.contains(words) {
        let length = terminal.read(&mut buffer).unwrap_or_else(|error| panic!("{error} after {text:?}"));
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
}

#[test]
fn a_terminal_is_sent_to_who_waits_for_it() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.edit("/process/terminal", json!(true));
    bundle.edit("/process/consoleSize", json!({ "height": 33, "width": 77 }));
    bundle.shell("tty; stty size; read line; echo got $line; sleep 1000");
    let socket = bundle.path("console");
    let listener = UnixListener::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    bundle.refused(&["create", "--bundle", &bundle.folder(), bundle.id()], "console-socket");
    bundle.ok(&["create", "--console-socket", &socket, "--bundle", &bundle.folder(), bundle.id()]);
    let mut terminal = fs::File::from(received(&listener));
    bundle.ok(&["start", bundle.id()]);
    read_until(&mut terminal, "33 77");
    terminal.write_all(b"oak\n").unwrap();
    read_until(&mut terminal, "got oak");
    bundle.ok(&[
        "exec",
        "--detach",
        "--tty",
        "--console-socket",
        &socket,
        bundle.id(),
        "sh",
        "-c",
        "tty; sleep 1000",
    ]);
    read_until(&mut fs::File::from(received(&listener)), "/dev/pts/1");
    bundle.end();
}

#[test]
fn a_terminal_in_the_foreground_works_and_is_restored() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.edit("/process/terminal", json!(true));
    bundle.shell("tty; stty size; read line; echo got $line; exit 4");
    let mut terminal = bundle.terminal(&["run", "--bundle", &bundle.folder(), bundle.id()]);
    terminal.expect("/dev/pts/0");
    terminal.expect("24 80");
    terminal.send("elm\r");
    terminal.expect("got elm");
    assert_eq!(terminal.finish(), 4);
    bundle.is_gone();
}

#[test]
fn the_root_may_be_read_only() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.edit("/root/readonly", json!(true));
    bundle.shell("echo x > /file; echo code=$?; ls -A /proc/scsi /proc/acpi 2>/dev/null | grep -v :; echo 1 > /proc/sys/kernel/panic; echo code=$?");
    let said = bundle.run_through();
    assert_eq!(said, "code=1\ncode=1");
    bundle.is_gone();
}
