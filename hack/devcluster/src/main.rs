//! Runs a cluster for as long as someone wants it: see the library for what it is and how it goes away.

use std::{
    io::{self, Write},
    os::unix::process::parent_id,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use devcluster::{DevCluster, Error, Options};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

/// A real Kubernetes control plane on loopback, for tests and demonstrations
#[derive(Parser)]
enum Cli {
    /// Starts one, prints its kubeconfig's path, and runs until a signal, or until the parent process is gone
    Up {
        /// Leaves the directory with logs and data behind
        #[arg(long)]
        keep: bool,
    },
}

fn main() -> ExitCode {
    let Cli::Up { keep } = Cli::parse();
    match up(keep) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn up(keep: bool) -> Result<(), Error> {
    let parent = parent_id();
    let started = Instant::now();
    let cluster = DevCluster::start(Options { keep, ..Options::default() })?;
    // Only now: a signal during the start ends this process at once, and the cluster's own guards do the rest.
    let stopped = on_signals().map_err(|source| Error::Io { action: "listen for signals".to_owned(), source })?;

    announce(&cluster).map_err(|source| Error::Io { action: "print the kubeconfig's path".to_owned(), source })?;
    say(&format!("ready after {:.1} s; Ctrl-C takes it down", started.elapsed().as_secs_f32()));
    while !stopped.load(Ordering::Relaxed) && parent_id() == parent {
        thread::sleep(Duration::from_millis(50));
    }

    if keep {
        say(&format!("keeping {}", cluster.directory().display()));
    }
    cluster.stop()
}

fn on_signals() -> io::Result<Arc<AtomicBool>> {
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&stopped))?;
    }
    Ok(stopped)
}

/// The first line of standard output is for programs; everything for people goes to standard error.
fn announce(cluster: &DevCluster) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", cluster.kubeconfig().display())?;
    out.flush()
}

fn say(message: &str) {
    // Whoever closed standard error does not want to know.
    let _ = writeln!(io::stderr(), "devcluster: {message}");
}
