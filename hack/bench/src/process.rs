//! A measured program: its CPU time and its memory, as the kernel counts them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::floor::READY;
use crate::{PATIENCE, Result};

/// A program that used less than [`QUIET`] of CPU time within this time has come to rest.
const WINDOW: Duration = Duration::from_millis(300);
const QUIET: Duration = Duration::from_millis(2);
/// Time between two requests to `/readyz`, or two looks at a program that is ending.
const POLL: Duration = Duration::from_millis(2);
/// Time for a program to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// A program that ends no later than this one: it ends when its standard input does.
pub(crate) struct Process {
    child: Child,
    /// The user name at the API server.
    pub(crate) user: String,
    /// The address of `/readyz`; a floor prints a line instead.
    health: Option<String>,
    pub(crate) started: Instant,
    ready: bool,
}

impl Drop for Process {
    /// Lets the program end by itself first, since a profiler around it writes its results then.
    fn drop(&mut self) {
        let asked = Instant::now();
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok()) {
            while asked.elapsed() < GRACE && matches!(self.child.try_wait(), Ok(None)) {
                std::thread::sleep(POLL);
            }
        }
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    pub(crate) fn spawn(mut command: Command, user: String, health: Option<String>) -> Result<Self> {
        let started = Instant::now();
        let child = command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        Ok(Self { child, user, health, started, ready: false })
    }

    /// Waits until the program has listed the objects; returns the time since its start.
    pub(crate) async fn ready(&mut self) -> Result<Duration> {
        match self.health.clone() {
            None => {
                let mut line = String::new();
                BufReader::new(self.child.stdout.take().ok_or("no standard output")?).read_line(&mut line)?;
                if line.trim() != READY {
                    return Err(format!("{} ended before it was ready", self.user).into());
                }
            }
            Some(address) => {
                while !answers_ok(&address).await {
                    if self.started.elapsed() > PATIENCE || self.child.try_wait()?.is_some() {
                        return Err(format!("{} was not ready", self.user).into());
                    }
                    tokio::time::sleep(POLL).await;
                }
            }
        }
        self.ready = true;
        Ok(self.started.elapsed())
    }

    /// Returns when the process has ended.
    pub(crate) async fn ended(&mut self) {
        while matches!(self.child.try_wait(), Ok(None)) {
            tokio::time::sleep(WINDOW).await;
        }
    }

    pub(crate) fn was_ready(&self) -> bool {
        self.ready
    }

    /// Waits until the program has come to rest; returns its CPU time then.
    pub(crate) async fn settled(&self) -> Result<Duration> {
        let deadline = Instant::now() + PATIENCE;
        let mut before = self.cpu()?;
        loop {
            tokio::time::sleep(WINDOW).await;
            let now = self.cpu()?;
            if now.saturating_sub(before) < QUIET {
                return Ok(now);
            }
            if Instant::now() > deadline {
                return Err(format!("{} does not come to rest", self.user).into());
            }
            before = now;
        }
    }

    /// CPU time of all threads. `/proc/PID/stat` has the sum as well, but rounded to 10 ms.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut sum = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end between the listing and the read.
            let Ok(line) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            sum += on_cpu(&line).ok_or("the kernel does not report the CPU time of threads")?;
        }
        Ok(sum)
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        Ok(Memory::parse(&status).ok_or("the kernel does not report the memory")?)
    }
}

/// Reads the first number of `/proc/PID/task/TID/schedstat`: nanoseconds on a CPU.
fn on_cpu(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Resident memory in MB (1,000,000 bytes).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Memory {
    pub(crate) resident: f64,
    /// The pages of the program itself, which the kernel can drop and read again.
    pub(crate) program: f64,
    pub(crate) peak: f64,
}

impl Memory {
    fn parse(status: &str) -> Option<Self> {
        let megabytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field))?;
            Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? * 1024.0 / 1e6)
        };
        Some(Self { resident: megabytes("VmRSS:")?, program: megabytes("RssFile:")?, peak: megabytes("VmHWM:")? })
    }
}

async fn answers_ok(address: &str) -> bool {
    let answer = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    };
    answer.await.is_some_and(|answer| answer.lines().next().is_some_and(|line| line.contains(" 200 ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_the_first_number() {
        assert_eq!(on_cpu("962553 0 2\n"), Some(Duration::from_nanos(962_553)));
        assert_eq!(on_cpu(""), None);
    }

    #[test]
    fn memory_is_in_megabytes() {
        let status = "Name:\tx\nVmHWM:\t    2000 kB\nVmRSS:\t    1000 kB\nRssFile:\t     500 kB\n";
        let memory = Memory::parse(status).unwrap();
        assert_eq!(memory, Memory { resident: 1.024, program: 0.512, peak: 2.048 });
        assert_eq!(Memory::parse("VmRSS: 1 kB"), None);
    }
}
