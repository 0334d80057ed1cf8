//! The role `daemon`: takes its roots, opens the engine, serves the API, and ends in order.
//!
//! ```text
//! flags -> locks -> sockets bound -> engine opened (containers adopted) -> API served -> signal or request -> end
//! ```
//!
//! Sockets are bound before the engine is opened: a client that is early waits instead of being refused.

use crate::registry::{self, Taken};
use crate::{lock, log};
use api_docker::Listener;
use base::Clock;
use engine::{Config, Engine, Roots};
use images::registry::{Proxies, Settings};
use model::container::Userns;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

/// The shim program, built by this crate's build script.
pub(crate) static SHIM: &[u8] = include_bytes!(env!("BOCAGE_SHIM"));

/// Threads that wait on nothing but the network.
const WORKER_THREADS: usize = 2;
/// Threads that may block, on a disk or on the kernel.
const BLOCKING_THREADS_MAX: usize = 128;
/// Stack of each of these, in bytes.
const THREAD_STACK_BYTES: usize = 512 << 10;
/// How long an idle thread is kept.
const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(2);
/// How long requests that are under way may take to end.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// What to do when another daemon has a root.
const LOCK_HINT: &str = "stop a daemon with `bocage daemon stop`, or give this one roots of its own with --data-root and \
                         --exec-root";

/// Groups that may use the socket, the first that there is.
const GROUPS: [&str; 2] = ["docker", "bocage"];

/// What the daemon was asked to be.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    data_root: PathBuf,
    exec_root: PathBuf,
    hosts: Vec<String>,
    log_level: String,
    plain_tcp: bool,
    userns: Userns,
    registry: registry::Options,
    config: Option<PathBuf>,
}

/// Reads the flags; `lookup` is the environment.
fn parse(arguments: &[OsString], lookup: impl Fn(&str) -> Option<OsString>) -> Result<Options, String> {
    let root = |name: &str, default: &str| lookup(name).map_or_else(|| PathBuf::from(default), PathBuf::from);
    let mut options = Options {
        data_root: root("BOCAGE_DATA_ROOT", "/var/lib/bocage"),
        exec_root: root("BOCAGE_EXEC_ROOT", "/run/bocage"),
        hosts: Vec::new(),
        log_level: "info".to_owned(),
        plain_tcp: false,
        userns: Userns::Host,
        registry: registry::Options::default(),
        config: lookup("BOCAGE_CONFIG").map(PathBuf::from),
    };
    let mut words = arguments.iter().map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = words.next() {
        let (flag, joined) = match word.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        if flag == "--tcp-without-tls" && joined.is_none() {
            options.plain_tcp = true;
            continue;
        }
        if flag == "--registry" && joined.is_none() {
            options.registry.turn_on();
            continue;
        }
        let has_value = joined.is_some();
        let mut value = || {
            joined.clone().or_else(|| words.next()).ok_or_else(|| format!("flag needs an argument: {flag}"))
        };
        if let Some(name) = flag.strip_prefix("--registry-") {
            match options.registry.flag(name, has_value) {
                Taken::Alone => continue,
                Taken::Value => {
                    options.registry.set(name, value()?);
                    continue;
                }
                Taken::No => {}
            }
        }
        match flag.as_str() {
            "--data-root" => options.data_root = PathBuf::from(value()?),
            "--exec-root" => options.exec_root = PathBuf::from(value()?),
            "--config" => options.config = Some(PathBuf::from(value()?)),
            "--host" | "-H" => options.hosts.push(value()?),
            "--userns-default" => {
                options.userns = match value()?.as_str() {
                    "host" => Userns::Host,
                    "auto" => Userns::Auto,
                    "keep" => Userns::Keep,
                    other => return Err(format!("{flag}: {other:?} is none of host, auto, keep")),
                }
            }
            "--log-level" | "-l" => options.log_level = value()?,
            _ => return Err(format!("unknown flag: {flag}\nhint: `bocage daemon --help` lists the flags")),
        }
    }
    for (root, flag) in [(&options.data_root, "--data-root"), (&options.exec_root, "--exec-root")] {
        if !root.is_absolute() {
            return Err(format!("{flag} {}: an absolute path is needed", root.display()));
        }
    }
    if options.hosts.is_empty() {
        options.hosts.push(format!("unix://{}", options.exec_root.join("bocage.sock").display()));
    }
    Ok(options)
}

/// Runs the daemon until it is asked to end.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let options = parse(arguments, |name| std::env::var_os(name));
    match options.and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            cli::print_error(&format!("daemon: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(options: Options) -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err(
            "the daemon makes namespaces, mounts and networks and needs to be root: start it with sudo"
                .into(),
        );
    }
    log::start(&options.log_level)?;
    take_all_descriptors();
    let locks = [
        lock::take(&options.data_root, "data root", LOCK_HINT)?,
        lock::take(&options.exec_root, "exec root", LOCK_HINT)?,
    ];
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
    drop(locks);
    served.unwrap_or_else(|error| Err(format!("the daemon gave up: {error}")))
}

/// Allows as many open files as may be had: each running container and each client needs some, getrlimit(2).
fn take_all_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, all) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// The proxies of the environment.
#[expect(clippy::disallowed_methods, reason = "this crate reads the environment")]
fn proxies() -> Proxies {
    Proxies::of(|name| std::env::var(name).ok())
}

/// How registries are reached.
pub(crate) fn registries(config: &crate::config::Config) -> Settings {
    Settings {
        hosts: config.hosts(),
        certificates: config.certificates.clone(),
        proxies: proxies(),
        user_agent: concat!("bocage/", env!("CARGO_PKG_VERSION")).to_owned(),
        ..Settings::default()
    }
}

async fn serve_on(options: Options) -> Result<(), String> {
    let file = crate::config::Config::read(options.config.as_deref())?;
    let mut listeners = Vec::new();
    for host in &options.hosts {
        listeners.push(listen(host, options.plain_tcp).await?);
    }
    let own = options.registry.clone().over(&file.registry);
    let registry = match own.is_asked_for() {
        true => Some(registry::listen(own.address("registry-")?).await?),
        false => None,
    };
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|error| format!("listen for SIGTERM: {error}"))?;
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(|error| format!("listen for SIGINT: {error}"))?;
    let proxies = proxies();
    let config = Config {
        roots: Roots { data: options.data_root.clone(), exec: options.exec_root.clone() },
        clock: Clock::system(),
        shim: SHIM,
        version: env!("CARGO_PKG_VERSION"),
        proxies: (proxies.http, proxies.https, proxies.no),
        userns: options.userns,
        registries: registries(&file),
        network_spaces: file.network_spaces(),
    };
    let engine = tokio::task::block_in_place(|| Engine::open(config)).map_err(|error| error.message)?;
    tracing::info!(daemon = %engine.daemon_id(), hosts = options.hosts.join(" "), "ready");
    let mut served = Vec::new();
    for listener in listeners {
        served.push(tokio::spawn(api_docker::serve(listener, engine.doors(), Clock::system())));
    }
    if let Some(listener) = registry {
        let registry =
            tokio::task::block_in_place(|| registry::make(engine.images(), &own, registries(&file)));
        served.push(tokio::spawn(images::distribution::serve(listener, registry?)));
    }
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: ending, containers go on"),
        _ = interrupt.recv() => tracing::info!("SIGINT: ending, containers go on"),
        () = engine.asked_to_stop() => tracing::info!("asked to end"),
    }
    for task in served {
        task.abort();
    }
    for path in options.hosts.iter().filter_map(|host| host.strip_prefix("unix://")) {
        let _ = std::fs::remove_file(path);
    }
    tokio::task::block_in_place(|| engine.close());
    Ok(())
}

async fn listen(host: &str, plain_tcp: bool) -> Result<Listener, String> {
    if let Some(path) = host.strip_prefix("unix://") {
        return listen_unix(Path::new(path)).await.map(Listener::Unix);
    }
    let Some(address) = host.strip_prefix("tcp://") else {
        return Err(format!("--host {host}: unix:///path or tcp://address:port is needed"));
    };
    let address: SocketAddr = address.parse().map_err(|_| {
        format!("--host {host}: tcp:// needs an address and a port, as in tcp://127.0.0.1:2375")
    })?;
    if !address.ip().is_loopback() {
        return Err(format!(
            "--host {host} is refused: whoever reaches this port is root on this machine, and TLS is not built yet; listen on \
             127.0.0.1 with --tcp-without-tls and come in through ssh"
        ));
    }
    if !plain_tcp {
        return Err(format!(
            "--host {host} is refused without TLS: every user of this machine would be root; if that is what you want, add \
             --tcp-without-tls"
        ));
    }
    TcpListener::bind(address).await.map(Listener::Tcp).map_err(|error| format!("listen on {host}: {error}"))
}

async fn listen_unix(path: &Path) -> Result<UnixListener, String> {
    let failed = |what: &str, error: std::io::Error| format!("{what} {}: {error}", path.display());
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(|error| failed("make the directory of", error))?;
    }
    if path.exists() {
        if UnixStream::connect(path).await.is_ok() {
            return Err(format!("{} is served by another program", path.display()));
        }
        std::fs::remove_file(path).map_err(|error| failed("remove the stale socket", error))?;
    }
    // Nobody but root may connect before owner and mode are set.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = bound.map_err(|error| failed("listen on", error))?;
    if let Some(group) = group() {
        std::os::unix::fs::chown(path, None, Some(group))
            .map_err(|error| failed("give a group to", error))?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
        .map_err(|error| failed("set the mode of", error))?;
    Ok(listener)
}

/// The number of the group that may use the socket, group(5).
fn group() -> Option<u32> {
    let text = std::fs::read_to_string("/etc/group").ok()?;
    GROUPS.iter().find_map(|name| {
        let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
        line.split(':').nth(2)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn the_socket_lies_in_the_exec_root_unless_a_host_is_given() {
        let options = parse(&words("--exec-root /x --data-root=/y"), |_| None);
        assert_eq!(options.map(|options| options.hosts), Ok(vec!["unix:///x/bocage.sock".to_owned()]));
        let options = parse(&words("-H unix:///a --host tcp://127.0.0.1:1"), |_| None);
        assert_eq!(options.map(|options| options.hosts.len()), Ok(2));
    }

    #[test]
    fn unknown_flags_and_relative_roots_are_refused_by_name() {
        assert!(parse(&words("--fly"), |_| None).is_err_and(|error| error.contains("--fly")));
        assert!(parse(&words("--data-root x"), |_| None).is_err_and(|error| error.contains("absolute")));
        assert!(
            parse(&words("--data-root"), |_| None).is_err_and(|error| error.contains("needs an argument"))
        );
    }

    #[test]
    fn a_registry_is_served_when_any_of_its_flags_is_given() {
        let enabled =
            |line: &str| parse(&words(line), |_| None).map(|options| options.registry.is_asked_for());
        assert_eq!(enabled("--registry"), Ok(true));
        assert_eq!(enabled("--registry-listen 127.0.0.1:1"), Ok(true));
        assert_eq!(enabled("--registry-users=/u --registry-anonymous-pull *"), Ok(true));
        assert_eq!(enabled(""), Ok(false));
        assert!(enabled("--registry-fly").is_err_and(|error| error.contains("--registry-fly")));
    }

    #[test]
    fn tcp_is_refused_unless_it_is_loopback_and_asked_for() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            assert!(listen("tcp://0.0.0.0:0", true).await.is_err_and(|error| error.contains("TLS")));
            assert!(
                listen("tcp://127.0.0.1:0", false)
                    .await
                    .is_err_and(|error| error.contains("--tcp-without-tls"))
            );
            assert!(listen("tcp://127.0.0.1:0", true).await.is_ok());
        });
    }
}
