//! The processes of the operator: starts, kills, handovers.

use std::os::unix::process::ExitStatusExt;

use jiff::Timestamp;

use crate::run::Run;
use crate::steps::Process;
use crate::support::operator::Operator;

const SIGTERM: i32 = 15;

/// The processes that run.
#[derive(Default)]
pub struct Processes {
    operator: Option<Operator>,
    second: Option<Operator>,
    /// Processes that received SIGTERM.
    leaving: Vec<Operator>,
}

impl Run {
    pub fn change_processes(&mut self, process: Process) {
        match process {
            Process::Kill => {
                self.crash();
                self.start_operator();
            }
            Process::Crash => self.crash(),
            Process::Start => self.start_operator(),
            Process::HandOver => {
                if let Some(operator) = self.processes.operator.take() {
                    operator.terminate();
                    self.acts.overlaps.push(Timestamp::now());
                    self.processes.leaving.push(operator);
                }
                self.start_operator();
            }
            Process::SecondStarts => {
                if self.processes.second.is_none() {
                    self.acts.starts.push(Timestamp::now());
                    self.acts.overlaps.push(Timestamp::now());
                    self.processes.second = Some(self.world.operator());
                }
            }
            Process::SecondIsKilled => {
                let ended = self.processes.second.take();
                self.acts.logs.extend(ended.map(|operator| operator.log()));
            }
        }
    }

    pub fn start_operator(&mut self) {
        if self.processes.operator.is_none() {
            self.acts.starts.push(Timestamp::now());
            self.processes.operator = Some(self.world.operator_through(&self.proxy));
        }
    }

    pub fn crash(&mut self) {
        let ended = self.processes.operator.take();
        self.acts.logs.extend(ended.map(|operator| operator.log()));
    }

    /// An operator that ends by itself is a violation; the next one is started, as the kubelet does.
    pub fn notice_exits(&mut self) {
        for running in [&mut self.processes.operator, &mut self.processes.second] {
            if let Some(status) = running.as_mut().and_then(Operator::exited) {
                self.acts.violations.push(format!("the operator ended by itself: {status}"));
                self.acts.logs.extend(running.take().map(|operator| operator.log()));
            }
        }
    }

    /// Waits for the processes that received SIGTERM, kills the second operator, and leaves one operator running.
    pub async fn until_one_operator_runs(&mut self) {
        self.change_processes(Process::SecondIsKilled);
        for mut operator in std::mem::take(&mut self.processes.leaving) {
            let status = operator.ended().await;
            // A process that has just started may die of SIGTERM before it can handle it.
            if !status.success() && status.signal() != Some(SIGTERM) {
                self.acts.violations.push(format!("the operator ended with {status} after SIGTERM"));
            }
            self.acts.logs.push(operator.log());
        }
        self.notice_exits();
        self.start_operator();
    }
}
