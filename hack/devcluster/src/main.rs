//! Runs a cluster until a signal arrives or the parent process ends. The library's documentation describes the cluster.

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
use devcluster::{DevCluster, Error, NodeCluster, Options};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

/// A real Kubernetes on this machine, for tests and demonstrations
#[derive(Parser)]
enum Cli {
    /// Starts a cluster, prints its kubeconfig's path, and runs until a signal arrives or the parent process ends
    Up {
        /// Leaves the directory with logs and data behind
        #[arg(long)]
        keep: bool,
        /// Adds a node on which pods run, in namespaces of its own; needs root
        #[arg(long)]
        node: bool,
    },
}

fn main() -> ExitCode {
    let Cli::Up { keep, node } = Cli::parse();
    let options = Options { keep, ..Options::default() };
    match if node { up_with_node(options) } else { up(options) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn up(options: Options) -> Result<(), Error> {
    let (parent, started) = (parent_id(), Instant::now());
    let cluster = DevCluster::start(options)?;
    stay(&cluster, options, parent, started)?;
    cluster.stop()
}

fn up_with_node(options: Options) -> Result<(), Error> {
    let (parent, started) = (parent_id(), Instant::now());
    let cluster = NodeCluster::start(options)?;
    say(&format!("the cluster has a network of its own; command for a shell in it: {}", cluster.shell()));
    stay(&cluster, options, parent, started)?;
    cluster.stop()
}

/// Announces the cluster, and returns after a signal or when the parent process has ended.
fn stay(cluster: &DevCluster, options: Options, parent: u32, started: Instant) -> Result<(), Error> {
    // Signals are handled only from here on: a signal during the start ends this process at once, and the cluster's
    // supervisors and sweeper clean up.
    let stopped = on_signals().map_err(|source| Error::Io { action: "listen for signals".to_owned(), source })?;

    announce(cluster).map_err(|source| Error::Io { action: "print the kubeconfig's path".to_owned(), source })?;
    say(&format!("ready after {:.1} s; Ctrl-C stops it", started.elapsed().as_secs_f32()));
    while !stopped.load(Ordering::Relaxed) && parent_id() == parent {
        thread::sleep(Duration::from_millis(50));
    }

    if options.keep {
        say(&format!("keeping {}", cluster.directory().display()));
    }
    Ok(())
}

fn on_signals() -> io::Result<Arc<AtomicBool>> {
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&stopped))?;
    }
    Ok(stopped)
}

/// Prints the path as the first line of standard output, which is for programs; messages for users go to standard
/// error.
fn announce(cluster: &DevCluster) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", cluster.kubeconfig().display())?;
    out.flush()
}

fn say(message: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(io::stderr(), "devcluster: {message}");
}
