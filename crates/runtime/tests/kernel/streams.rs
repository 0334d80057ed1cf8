//! Input, output and terminals.

use crate::bench::{ALL, OUTPUT, bench, connect, pair, read_all, shell, split, until};
use runtime::setup::{Attached, Streams};
use runtime::shim::wire::{Reply, Request};
use rustix::fd::AsFd;
use std::io::{BufRead, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

#[test]
fn a_client_that_was_there_before_the_start_gets_all_output_by_stream() {
    let Some(bench) = bench() else { return };
    let (ours, theirs) = pair();
    let mut setup = bench.setup("attached", &shell("echo out; echo err >&2"));
    setup.stdio.attached = vec![Attached { descriptor: 20, streams: OUTPUT }];
    let started = bench.start_with(&setup, &[(theirs.as_fd(), 20)]).unwrap();
    drop(theirs);
    assert_eq!(split(&read_all(ours), false), ("out\n".into(), "err\n".into()));
    bench.wait(&setup, &started);
}

#[test]
fn output_is_complete_however_fast_the_program_ends() {
    let Some(bench) = bench() else { return };
    for round in 0..20 {
        let (ours, theirs) = pair();
        let mut setup = bench.setup(&format!("fast{round}"), &shell("seq 1 20000"));
        setup.log.as_mut().unwrap().file_bytes_max = 10 << 20;
        setup.stdio.attached = vec![Attached { descriptor: 3, streams: OUTPUT }];
        let started = bench.start_with(&setup, &[(theirs.as_fd(), 3)]).unwrap();
        drop(theirs);
        let (out, _) = split(&read_all(ours), false);
        bench.wait(&setup, &started);
        assert_eq!(out.lines().count(), 20000);
        assert!(out.ends_with("\n20000\n"));
        assert_eq!(bench.logged(&setup), out);
    }
}

#[test]
fn input_reaches_the_program_and_its_end_ends_it() {
    let Some(bench) = bench() else { return };
    let (mut ours, theirs) = pair();
    let mut setup = bench.setup("cat", &["cat"]);
    setup.stdio.open_stdin = true;
    setup.stdio.stdin_once = true;
    setup.stdio.attached = vec![Attached { descriptor: 5, streams: ALL }];
    let started = bench.start_with(&setup, &[(theirs.as_fd(), 5)]).unwrap();
    drop(theirs);
    let sent: Vec<u8> = (0..200_000u32).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    let mut writing = ours.try_clone().unwrap();
    let expected = sent.clone();
    let writer = std::thread::spawn(move || {
        writing.write_all(&sent).unwrap();
        writing.shutdown(Shutdown::Write).unwrap();
    });
    let mut bytes = Vec::new();
    ours.read_to_end(&mut bytes).unwrap();
    writer.join().unwrap();
    assert_eq!(split(&bytes, false).0.into_bytes(), expected);
    assert_eq!(bench.wait(&setup, &started).exit.unwrap().code, 0);
}

#[test]
fn input_ends_for_a_program_when_the_client_that_gave_it_is_gone() {
    let Some(bench) = bench() else { return };
    let mut setup = bench.setup("gone", &["cat"]);
    setup.stdio.open_stdin = true;
    setup.stdio.stdin_once = true;
    let started = bench.start(&setup).unwrap();
    let (mut stream, mut reader) = connect(&setup.directory, &Request::Attach(ALL));
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "{\"ok\":true}\n");
    stream.write_all(b"last words\n").unwrap();
    drop((stream, reader));
    assert_eq!(bench.wait(&setup, &started).exit.unwrap().code, 0);
    assert_eq!(bench.logged(&setup), "last words\n");
}

#[test]
fn a_second_client_joins_and_one_that_leaves_stops_nothing() {
    let Some(bench) = bench() else { return };
    let mut setup = bench.setup("two", &shell("while read line; do echo got $line; done"));
    setup.stdio.open_stdin = true;
    let started = bench.start(&setup).unwrap();
    let (mut one, mut one_reads) = connect(&setup.directory, &Request::Attach(ALL));
    let (two, mut two_reads) = connect(&setup.directory, &Request::Attach(OUTPUT));
    let mut line = String::new();
    for reader in [&mut one_reads, &mut two_reads] {
        line.clear();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "{\"ok\":true}\n");
    }
    one.write_all(b"1\n").unwrap();
    for reader in [&mut one_reads, &mut two_reads] {
        let mut frame = [0; 14];
        reader.read_exact(&mut frame).unwrap();
        assert_eq!(split(&frame, false).0, "got 1\n");
    }
    drop((two, two_reads));
    one.write_all(b"2\n").unwrap();
    let mut frame = [0; 14];
    one_reads.read_exact(&mut frame).unwrap();
    assert_eq!(split(&frame, false).0, "got 2\n");
    drop((one, one_reads));
    let status = bench.ask(&setup.directory, &Request::Status {});
    assert!(matches!(status, Reply::Status(status) if status.exit.is_none()), "it still runs");
    bench.kill(&setup, &started);
}

#[test]
fn a_client_that_reads_nothing_makes_the_container_wait_and_its_leaving_frees_it() {
    let Some(bench) = bench() else { return };
    let (ours, theirs) = pair();
    let mut setup = bench.setup("slow", &shell("yes | head -c 3000000; exit 3"));
    setup.log = setup.log.map(|log| runtime::setup::Log { file_bytes_max: 100 << 20, ..log });
    setup.stdio.attached = vec![Attached { descriptor: 7, streams: OUTPUT }];
    let started = bench.start_with(&setup, &[(theirs.as_fd(), 7)]).unwrap();
    drop(theirs);
    until("some output came", || !bench.logged(&setup).is_empty());
    let status = bench.ask(&setup.directory, &Request::Status {});
    assert!(matches!(status, Reply::Status(status) if status.exit.is_none()), "it waits for its reader");
    drop(ours);
    assert_eq!(bench.wait(&setup, &started).exit.unwrap().code, 3);
    assert_eq!(bench.logged(&setup).len(), 3_000_000);
}

#[test]
fn a_terminal_is_the_containers_own_with_its_size_and_its_signals() {
    let Some(bench) = bench() else { return };
    let (mut ours, theirs) = pair();
    let script = "tty; stty size; ls -l /dev/console | wc -l; trap 'stty size' WINCH; echo ready; while :; do usleep 10000; done";
    let mut setup = bench.setup("terminal", &shell(script));
    setup.process.terminal = true;
    setup.process.size = Some((30, 100));
    setup.stdio.open_stdin = true;
    setup.stdio.attached = vec![Attached { descriptor: 4, streams: ALL }];
    let started = bench.start_with(&setup, &[(theirs.as_fd(), 4)]).unwrap();
    drop(theirs);
    let mut seen = String::new();
    let mut read_until = |wanted: &str, ours: &mut UnixStream| {
        let mut byte = [0];
        while !seen.ends_with(wanted) {
            assert_eq!(ours.read(&mut byte).unwrap(), 1, "{seen:?}");
            seen.push(char::from(byte[0]));
        }
        seen.clone()
    };
    assert_eq!(read_until("ready\r\n", &mut ours), "/dev/pts/0\r\n30 100\r\n1\r\nready\r\n");
    let resized = bench.ask(&setup.directory, &Request::Resize { rows: 50, columns: 20 });
    assert_eq!(resized, Reply::Ok(true));
    assert!(read_until("50 20\r\n", &mut ours).ends_with("50 20\r\n"));
    ours.write_all(&[3]).unwrap();
    let status = bench.wait(&setup, &started);
    assert_eq!(status.exit.unwrap().code, 130, "control-C on the terminal");
}

#[test]
fn a_fast_program_on_a_terminal_loses_no_output() {
    let Some(bench) = bench() else { return };
    for round in 0..20 {
        let (ours, theirs) = pair();
        let mut setup = bench.setup(&format!("tty{round}"), &shell("seq 1 500"));
        setup.process.terminal = true;
        setup.stdio.attached = vec![Attached { descriptor: 4, streams: OUTPUT }];
        let started = bench.start_with(&setup, &[(theirs.as_fd(), 4)]).unwrap();
        drop(theirs);
        let text = String::from_utf8(read_all(ours)).unwrap();
        assert_eq!(text.lines().count(), 500);
        assert!(text.ends_with("500\r\n"));
        bench.wait(&setup, &started);
    }
}

#[test]
fn nonsense_is_answered_with_the_reason() {
    let Some(bench) = bench() else { return };
    let setup = bench.setup("nonsense", &["sleep", "1000"]);
    let started = bench.start(&setup).unwrap();
    let mut stream = UnixStream::connect(setup.directory.join("shim.sock")).unwrap();
    stream.write_all(b"{\"dance\":{}}\n").unwrap();
    let reply = String::from_utf8(read_all(stream)).unwrap();
    assert!(reply.starts_with("{\"error\":"), "{reply}");
    let resized = bench.ask(&setup.directory, &Request::Resize { rows: 1, columns: 1 });
    assert_eq!(resized, Reply::Error("it has no terminal".into()));
    assert!(matches!(bench.ask(&setup.directory, &Request::Signal(1000)), Reply::Error(_)));
    let only_errors = Request::Attach(Streams { stdin: false, stdout: false, stderr: true });
    drop(connect(&setup.directory, &only_errors));
    bench.kill(&setup, &started);
}
