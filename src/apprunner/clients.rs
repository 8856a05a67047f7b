//! The clients of App Runner that were used last, over all sessions and regions.
//!
//! A client takes 26 KB and is made in microseconds, and its connections are those of the session. With ten accounts in
//! eleven regions there would be 110, of which few are in use at a time.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_config::SdkConfig;
use lru::LruCache;

use super::client::RegionClient;
use crate::core::arn::Region;
use crate::sync::lock;

/// As many as reconciles at a time by default.
const MAX_CLIENTS: NonZeroUsize = NonZeroUsize::new(32).unwrap();

pub(crate) struct Clients {
    recent: Mutex<LruCache<(SessionId, Region), RegionClient>>,
    sessions: AtomicU64,
}

/// The number of a session: no two sessions share a client, also if one replaces the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SessionId(u64);

impl Default for Clients {
    fn default() -> Self {
        Self { recent: Mutex::new(LruCache::new(MAX_CLIENTS)), sessions: AtomicU64::new(0) }
    }
}

impl Clients {
    pub(super) fn new_session(&self) -> SessionId {
        SessionId(self.sessions.fetch_add(1, Ordering::Relaxed))
    }

    /// The client of a session for a region.
    pub(super) fn get(&self, session: SessionId, region: &Region, config: &SdkConfig) -> RegionClient {
        let mut recent = lock(&self.recent);
        recent.get_or_insert((session, region.clone()), || RegionClient::new(config, region)).clone()
    }
}

#[cfg(test)]
mod tests {
    use aws_config::BehaviorVersion;

    use super::*;
    use crate::apprunner::trust;

    #[test]
    fn only_the_clients_that_were_used_last_are_kept() {
        let client = trust::default_client();
        let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).http_client(client).build();
        let clients = Clients::default();
        let region: Region = "eu-west-1".parse().unwrap();
        let sessions: Vec<_> = (0..=MAX_CLIENTS.get()).map(|_| clients.new_session()).collect();
        for session in &sessions {
            clients.get(*session, &region, &config);
        }
        let recent = lock(&clients.recent);
        assert_eq!(recent.len(), MAX_CLIENTS.get());
        assert!(!recent.contains(&(sessions[0], region.clone())) && recent.contains(&(sessions[1], region)));
    }
}
