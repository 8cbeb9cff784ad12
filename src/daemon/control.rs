//! When to reload and when to stop.

use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// What the daemon is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Read the configuration again; the word says on whose behalf.
    Reload(&'static str),
    /// Finish what is under way and stop; said twice, stop at once.
    Stop(&'static str),
}

/// Commands waiting to be obeyed; more than these few say nothing new.
const WAITING: usize = 4;

/// The receiving end.
#[derive(Debug)]
pub struct Control {
    commands: mpsc::Receiver<Command>,
    sender: mpsc::WeakSender<Command>,
}

/// A control and the end to command it by. When that end is dropped the daemon goes on.
pub fn channel() -> (mpsc::Sender<Command>, Control) {
    let (sender, commands) = mpsc::channel(WAITING);
    let weak = sender.downgrade();
    (sender, Control { commands, sender: weak })
}

impl Control {
    /// The next command; waits for ever where none can come any more.
    pub async fn next(&mut self) -> Command {
        match self.commands.recv().await {
            Some(command) => command,
            None => std::future::pending().await,
        }
    }

    /// The next command to stop; reloads asked for meanwhile are forgotten, as one is under way.
    pub(super) async fn stop(&mut self) -> &'static str {
        loop {
            if let Command::Stop(signal) = self.next().await {
                return signal;
            }
        }
    }

    /// Another end to command by, while there is one.
    pub(super) fn sender(&self) -> Option<mpsc::Sender<Command>> {
        self.sender.upgrade()
    }
}

/// The control of a real process: SIGHUP and SIGUSR1 reload, SIGTERM and SIGINT stop.
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
