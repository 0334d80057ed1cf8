//! The shim program: what `runtime::shim` does, as a program of its own. Carried inside the daemon and started from
//! sealed memory.

fn main() {
    let code = runtime::shim::main(std::env::args_os().collect(), base::Clock::system());
    std::process::exit(code);
}
