//! Requests to reload and to stop.

use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// A request to the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Read the configuration again; the text is the cause, for the log.
    Reload(&'static str),
    /// Finish pending work and stop; a second request stops at once.
    Stop(&'static str),
}

/// Most queued commands. Further ones are redundant.
const WAITING: usize = 4;

/// Receiver of commands.
#[derive(Debug)]
pub struct Control {
    commands: mpsc::Receiver<Command>,
    sender: mpsc::WeakSender<Command>,
}

/// Creates a control and the sender of its commands. The daemon continues when the sender is dropped.
pub fn channel() -> (mpsc::Sender<Command>, Control) {
    let (sender, commands) = mpsc::channel(WAITING);
    let weak = sender.downgrade();
    (sender, Control { commands, sender: weak })
}

impl Control {
    /// Waits for the next command; never returns after all senders were dropped.
    pub async fn next(&mut self) -> Command {
        match self.commands.recv().await {
            Some(command) => command,
            None => std::future::pending().await,
        }
    }

    /// Waits for the next command to stop. Reload commands are discarded, since a reload is in progress.
    pub(super) async fn stop(&mut self) -> &'static str {
        loop {
            if let Command::Stop(signal) = self.next().await {
                return signal;
            }
        }
    }

    /// Another sender of commands, while one exists.
    pub(super) fn sender(&self) -> Option<mpsc::Sender<Command>> {
        self.sender.upgrade()
    }
}

/// Creates the control of a real process: SIGHUP and SIGUSR1 reload, SIGTERM and SIGINT stop.
pub fn signals() -> io::Result<Control> {
    let (sender, control) = channel();
    let mut hangup = signal(SignalKind::hangup())?;
    let mut user = signal(SignalKind::user_defined1())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            let command = tokio::select! {
                _ = hangup.recv() => Command::Reload("SIGHUP"),
                _ = user.recv() => Command::Reload("SIGUSR1"),
                _ = terminate.recv() => Command::Stop("SIGTERM"),
                _ = interrupt.recv() => Command::Stop("SIGINT"),
            };
            if sender.send(command).await.is_err() {
                return;
            }
        }
    });
    Ok(control)
}
