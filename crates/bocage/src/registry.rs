//! `bocage registry …`: a registry of its own, in the foreground, without any daemon.
//!
//! ```text
//! flags -> lock -> port bound -> image store opened, registry on it -> served -> signal -> end
//! ```
//!
//! What it keeps is laid out as a daemon's data root is: a daemon that is started on the same root later has it all.

use crate::{lock, log};
use base::{Chain, Clock};
use images::Images;
use images::distribution::{Access, Registry, Served, serve};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Where it listens where nobody says otherwise.
const LISTEN: &str = "127.0.0.1:5000";
/// Where it keeps everything where nobody says otherwise.
const DATA: &str = "/var/lib/bocage-registry";
/// Threads that wait on nothing but the network.
const WORKER_THREADS: usize = 2;
/// Threads that may block on the disk.
const BLOCKING_THREADS_MAX: usize = 64;
/// Stack of each of these, in bytes.
const THREAD_STACK_BYTES: usize = 512 << 10;
/// How long an idle thread is kept.
const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(2);
/// How long requests that are under way may take to end.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// What the registry was asked to be.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    listen: SocketAddr,
    data: PathBuf,
    log_level: String,
}

fn parse(arguments: &[OsString]) -> Result<Options, String> {
    let mut listen = LISTEN.to_owned();
    let mut options = Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data: PathBuf::from(DATA),
        log_level: "info".to_owned(),
    };
    let mut words = arguments.iter().map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = words.next() {
        let (flag, joined) = match word.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        let mut value = || {
            joined.clone().or_else(|| words.next()).ok_or_else(|| format!("flag needs an argument: {flag}"))
        };
        match flag.as_str() {
            "--listen" => listen = value()?,
            "--data" => options.data = PathBuf::from(value()?),
            "--log-level" | "-l" => options.log_level = value()?,
            _ => return Err(format!("unknown flag: {flag}\nhint: `bocage registry --help` lists the flags")),
        }
    }
    options.listen = listen.parse().map_err(|_| {
        format!("--listen {listen}: an address and a port are needed, as in {LISTEN} or [::1]:5000")
    })?;
    if !options.data.is_absolute() {
        return Err(format!("--data {}: an absolute path is needed", options.data.display()));
    }
    if !options.listen.ip().is_loopback() {
        return Err(format!(
            "--listen {} is refused: whoever reaches it could push, as users and TLS are not built yet; listen on 127.0.0.1",
            options.listen
        ));
    }
    Ok(options)
}

/// Runs a registry until it is asked to end.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    match parse(arguments).and_then(serve_registry) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            cli::print_error(&format!("registry: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn serve_registry(options: Options) -> Result<(), String> {
    log::start(&options.log_level)?;
    let hint = "stop what uses it, or give this one a place of its own with --data";
    let lock = lock::take(&options.data, "data directory", hint)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_stack_size(THREAD_STACK_BYTES)
        .thread_keep_alive(THREAD_KEEP_ALIVE)
        .enable_all()
        .build()
        .map_err(|error| format!("start the threads: {error}"))?;
    let served = runtime.block_on(async { tokio::spawn(serve_on(options)).await });
    runtime.shutdown_timeout(SHUTDOWN_GRACE);
    drop(lock);
    served.unwrap_or_else(|error| Err(format!("the registry gave up: {error}")))
}

async fn serve_on(options: Options) -> Result<(), String> {
    let failed = |what: String| move |error: std::io::Error| format!("{what}: {error}");
    let listener =
        TcpListener::bind(options.listen).await.map_err(failed(format!("listen on {}", options.listen)))?;
    let address = listener.local_addr().map_err(failed("find the port".to_owned()))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed("listen for SIGTERM".to_owned()))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("listen for SIGINT".to_owned()))?;
    let registry = tokio::task::block_in_place(|| open(&options))?;
    let served = Arc::new(Served { registry: Arc::new(registry), access: Access::everyone() });
    cli::print(&format!("registry on http://{address}, data in {}\n", options.data.display()));
    tokio::select! {
        () = serve(listener, served) => {}
        _ = terminate.recv() => tracing::info!("SIGTERM: ending"),
        _ = interrupt.recv() => tracing::info!("SIGINT: ending"),
    }
    Ok(())
}

/// Opens what a daemon would, at the same places.
fn open(options: &Options) -> Result<Registry, String> {
    let clock = Clock::system();
    let store = Store::open(&options.data.join("state.redb"))
        .map_err(|error| format!("open the table: {}", Chain(&error)))?;
    let images = Images::open(&options.data.join("images"), Arc::new(store), clock)
        .map_err(|error| format!("open the images: {}", Chain(&error)))?;
    Registry::open(Arc::new(images), clock).map_err(|error| format!("open the registry: {}", Chain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn the_address_is_loopback_unless_another_is_given() {
        let options = parse(&words("--data /x --log-level=warn"));
        assert_eq!(options.map(|options| options.listen.to_string()), Ok(LISTEN.to_owned()));
        let options = parse(&words("--listen [::1]:0"));
        assert_eq!(options.map(|options| options.listen.to_string()), Ok("[::1]:0".to_owned()));
    }

    #[test]
    fn wrong_flags_are_refused_by_name() {
        for (line, told) in [
            ("--fly", "--fly"),
            ("--data", "needs an argument"),
            ("--data x", "absolute"),
            ("--listen 5000", "127.0.0.1:5000"),
            ("--listen 0.0.0.0:5000", "refused"),
        ] {
            assert!(parse(&words(line)).is_err_and(|error| error.contains(told)), "{line}");
        }
    }
}
