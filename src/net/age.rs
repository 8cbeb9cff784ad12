//! The limits of a connection that is not in an `IdlePool`: one that many queries share,
//! or one that is counted together with those in use.

use super::idle::{IDLE, LIFETIME};
use tokio::time::Instant;

/// The age of a connection, and its idle time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Age {
    born: Instant,
    used: Instant,
}

impl Age {
    /// The age of a connection that is opened now.
    pub fn new() -> Self {
        let now = Instant::now();
        Age { born: now, used: now }
    }

    /// Records that the connection is in use.
    pub fn renew(&mut self) {
        self.used = Instant::now();
    }

    /// Whether the connection may be used for another query.
    pub fn is_fresh(&self) -> bool {
        self.used.elapsed() < IDLE && self.born.elapsed() < LIFETIME
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::advance;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn connections_expire() {
        // idle
        let age = Age::new();
        advance(Duration::from_secs(IDLE.as_secs() - 1)).await;
        assert!(age.is_fresh());
        advance(SECOND).await;
        assert!(!age.is_fresh());
        // in constant use
        let mut age = Age::new();
        for _ in 0..LIFETIME.as_secs() - 1 {
            advance(SECOND).await;
            age.renew();
            assert!(age.is_fresh());
        }
        advance(SECOND).await;
        age.renew();
        assert!(!age.is_fresh());
    }
}
