//! `bocage registry …`: a registry of its own, in the foreground, without any daemon. Its flags are the daemon's too, there with
//! `registry-` in front.
//!
//! ```text
//! flags -> lock -> port bound -> image store opened, registry on it -> served -> signal -> end
//!                                                                        SIGHUP: users read again
//! ```
//!
//! What it keeps is laid out as a daemon's data root is: a daemon that is started on the same root later has it all.

mod options;
mod password;

pub(crate) use options::{Options, Taken};

use crate::{lock, log};
use base::{Chain, Clock};
use images::Images;
use images::distribution::{Registry, Served, serve};
use images::registry::Settings;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

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

/// What the role was asked to be.
#[derive(Debug, PartialEq, Eq)]
struct Role {
    registry: Options,
    listen: SocketAddr,
    data: PathBuf,
    log_level: String,
}

fn parse(arguments: &[OsString]) -> Result<Role, String> {
    let (mut registry, mut data, mut log_level) =
        (Options::default(), PathBuf::from(DATA), "info".to_owned());
    let mut words = arguments.iter().map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = words.next() {
        let (flag, joined) = match word.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        let has_value = joined.is_some();
        let value =
            || joined.or_else(|| words.next()).ok_or_else(|| format!("flag needs an argument: {flag}"));
        match flag.as_str() {
            "--data" => data = PathBuf::from(value()?),
            "--log-level" | "-l" => log_level = value()?,
            _ => {
                let name = flag.strip_prefix("--").unwrap_or_default();
                match registry.flag(name, has_value) {
                    Taken::Alone => {}
                    Taken::Value => registry.set(name, value()?),
                    Taken::No => {
                        return Err(format!(
                            "unknown flag: {flag}\nhint: `bocage registry --help` lists the flags"
                        ));
                    }
                }
            }
        }
    }
    if !data.is_absolute() {
        return Err(format!("--data {}: an absolute path is needed", data.display()));
    }
    Ok(Role { listen: registry.address("")?, registry, data, log_level })
}

/// Runs a registry until it is asked to end, or makes a line of its file of users.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let done = match arguments.first().and_then(|word| word.to_str()) {
        Some("password") => password::run(&arguments[1..]),
        _ => parse(arguments).and_then(serve_registry),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            cli::print_error(&format!("registry: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn serve_registry(role: Role) -> Result<(), String> {
    log::start(&role.log_level)?;
    let hint = "stop what uses it, or give this one a place of its own with --data";
    let lock = lock::take(&role.data, "data directory", hint)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_stack_size(THREAD_STACK_BYTES)
        .thread_keep_alive(THREAD_KEEP_ALIVE)
        .enable_all()
        .build()
        .map_err(|error| format!("start the threads: {error}"))?;
    let served = runtime.block_on(async { tokio::spawn(serve_on(role)).await });
    runtime.shutdown_timeout(SHUTDOWN_GRACE);
    drop(lock);
    served.unwrap_or_else(|error| Err(format!("the registry gave up: {error}")))
}

async fn serve_on(role: Role) -> Result<(), String> {
    let listener = listen(role.listen).await?;
    let address = listener.local_addr().map_err(|error| format!("find the port: {error}"))?;
    let hear = |kind| signal(kind).map_err(|error| format!("listen for signals: {error}"));
    let (mut terminate, mut interrupt) = (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?);
    let again = hear(SignalKind::hangup())?;
    let served = tokio::task::block_in_place(|| {
        let images = open_images(&role.data)?;
        make(images, &role.registry, crate::daemon::registries(&crate::config::Config::default()))
    })?;
    let (scheme, data) = (role.registry.scheme(), role.data.display());
    cli::print(&format!("registry on {scheme}://{address}, data in {data}\n"));
    tokio::select! {
        () = serve(listener, Arc::clone(&served)) => {}
        () = read_users_again(again, &role.registry, &served) => {}
        _ = terminate.recv() => tracing::info!("SIGTERM: ending"),
        _ = interrupt.recv() => tracing::info!("SIGINT: ending"),
    }
    Ok(())
}

/// Takes the port.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("listen on {address}: {error}"))
}

/// Makes a registry of an image store, for those that the options let in. Reads files. `settings` tell how others are reached.
pub(crate) fn make(
    images: Arc<Images>,
    options: &Options,
    settings: Settings,
) -> Result<Arc<Served>, String> {
    let clock = Clock::system();
    let registry =
        Registry::open(images, clock).map_err(|error| format!("open the registry: {}", Chain(&error)))?;
    let served = Served::new(Arc::new(registry), options.access()?, clock);
    options.copy(options.encrypt(served)?, settings).map(Arc::new)
}

/// Opens what a daemon would, at the same places.
fn open_images(data: &Path) -> Result<Arc<Images>, String> {
    let store = Store::open(&data.join("state.redb"))
        .map_err(|error| format!("open the table: {}", Chain(&error)))?;
    let images = Images::open(&data.join("images"), Arc::new(store), Clock::system());
    images.map(Arc::new).map_err(|error| format!("open the images: {}", Chain(&error)))
}

/// Lets in whom the file of users names now, at each signal.
async fn read_users_again(mut hangup: Signal, options: &Options, served: &Served) {
    while hangup.recv().await.is_some() {
        match options.access() {
            Ok(access) => {
                served.set_access(access);
                tracing::info!("SIGHUP: the users are read again");
            }
            Err(error) => tracing::error!(%error, "SIGHUP: the users stay as they were"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn flags_are_read_with_their_values_behind_or_beside_them() {
        let role = parse(&words("--listen [::1]:0 --data=/x --users /u --anonymous-pull=a/* -l warn"));
        let role = role.map(|role| (role.listen.to_string(), role.data, role.log_level));
        assert_eq!(role, Ok(("[::1]:0".to_owned(), PathBuf::from("/x"), "warn".to_owned())));
    }

    #[test]
    fn wrong_flags_are_refused_by_name() {
        for (line, told) in [
            ("--fly", "--fly"),
            ("fly", "fly"),
            ("--data", "needs an argument"),
            ("--data x", "absolute"),
            ("--listen 5000", "127.0.0.1:5000"),
            ("--listen 0.0.0.0:5000", "refused"),
        ] {
            assert!(parse(&words(line)).is_err_and(|error| error.contains(told)), "{line}");
        }
    }
}
