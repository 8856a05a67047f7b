//! Commands that refuse and allow connections, between the control side and the server.
//!
//! The operating system refuses a connection only while nobody listens on the port, so the server has to stop
//! listening. The gate carries the commands to the server and reports back which command the server has carried out.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// 30 years, longer than any emulator runs.
const FOR_EVER: Duration = Duration::from_hours(30 * 365 * 24);

/// The last command, numbered so that the server can report it as completed.
#[derive(Clone, Copy, Debug, Default)]
struct Command {
    number: u64,
    refused_until: Option<Instant>,
}

/// The command channel to the server.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    command: watch::Sender<Command>,
    completed: watch::Sender<u64>,
}

/// The number of a command that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommandNumber(u64);

impl Gate {
    /// Commands the server to refuse connections, for a period or until they are allowed.
    pub(crate) fn refuse(&self, period: Option<Duration>) -> CommandNumber {
        let now = Instant::now();
        let end = period.and_then(|period| now.checked_add(period));
        self.send(Some(end.unwrap_or(now + FOR_EVER)))
    }

    /// Commands the server to accept connections.
    pub(crate) fn allow(&self) -> CommandNumber {
        self.send(None)
    }

    fn send(&self, refused_until: Option<Instant>) -> CommandNumber {
        let mut number = 0;
        self.command.send_modify(|command| {
            number = command.number + 1;
            *command = Command { number, refused_until };
        });
        CommandNumber(number)
    }

    /// Waits until the server has carried out the command, or a later one.
    pub(crate) async fn completed(&self, command: CommandNumber) {
        // This value owns the sender, so the wait cannot end without the number.
        let _ = self.completed.subscribe().wait_for(|completed| *completed >= command.0).await;
    }

    /// Returns the server's end of the channel.
    pub(crate) fn receiver(&self) -> CommandReceiver<'_> {
        CommandReceiver { gate: self, command: self.command.subscribe(), current: Command::default() }
    }
}

/// The server's end of the command channel.
pub(crate) struct CommandReceiver<'a> {
    gate: &'a Gate,
    command: watch::Receiver<Command>,
    current: Command,
}

impl CommandReceiver<'_> {
    /// Reads the last command, and returns true if it refuses connections now.
    pub(crate) fn refuses_now(&mut self) -> bool {
        self.current = *self.command.borrow_and_update();
        self.current.refused_until = self.current.refused_until.filter(|until| Instant::now() < *until);
        self.current.refused_until.is_some()
    }

    /// Reports the command that was read last as completed.
    pub(crate) fn complete(&self) {
        self.gate.completed.send_replace(self.current.number);
    }

    /// Waits for another command, or for the end of the current refusal.
    pub(crate) async fn changed(&mut self) {
        let ended = async {
            match self.current.refused_until {
                Some(end) => sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // The gate owns the sender, and this receiver borrows the gate.
            _ = self.command.changed() => {}
            () = ended => {}
        }
    }
}
