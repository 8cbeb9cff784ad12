//! Requests to reload and to stop.

use super::reload::WATCH;
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
    /// The cause of a reload that was requested while another one was in progress, or during the start: files that
    /// have been read already may have changed since.
    pending: Option<&'static str>,
}

/// Creates a control and the sender of its commands. The daemon continues when the sender is dropped.
pub fn channel() -> (mpsc::Sender<Command>, Control) {
    let (sender, commands) = mpsc::channel(WAITING);
    let weak = sender.downgrade();
    (sender, Control { commands, sender: weak, pending: None })
}

impl Control {
    /// Waits for the next command; never returns after all senders were dropped.
    pub async fn next(&mut self) -> Command {
        match self.pending.take() {
            Some(why) => Command::Reload(why),
            None => self.receive().await,
        }
    }

    /// Waits for the next command to stop. A request to reload is kept for [`Control::next`].
    pub(super) async fn stop(&mut self) -> &'static str {
        loop {
            match self.receive().await {
                Command::Stop(signal) => return signal,
                // What an operator requests may do more than what a changed file causes.
                Command::Reload(WATCH) => self.pending = self.pending.or(Some(WATCH)),
                Command::Reload(why) => self.pending = Some(why),
            }
        }
    }

    async fn receive(&mut self) -> Command {
        match self.commands.recv().await {
            Some(command) => command,
            None => std::future::pending().await,
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    /// Commands that arrive while only a stop is waited for, and what is next afterwards.
    #[tokio::test(start_paused = true)]
    async fn reload_during_a_reload_is_kept() {
        const HUP: &str = "SIGHUP";
        for (sent, want) in [
            (&[][..], None),
            (&[HUP], Some(HUP)),
            (&[WATCH], Some(WATCH)),
            (&[WATCH, HUP, WATCH], Some(HUP)),
            (&[HUP, HUP], Some(HUP)),
        ] {
            let (sender, mut control) = channel();
            for why in sent {
                sender.send(Command::Reload(why)).await.unwrap();
            }
            let moment = Duration::from_millis(1);
            assert!(timeout(moment, control.stop()).await.is_err());
            let next = timeout(moment, control.next()).await.ok();
            assert_eq!(next, want.map(Command::Reload), "{sent:?}");
            assert!(timeout(moment, control.next()).await.is_err(), "{sent:?}");
            sender.send(Command::Stop("SIGTERM")).await.unwrap();
            assert_eq!(control.stop().await, "SIGTERM");
        }
    }
}
