//! What is read at the start and followed while the program runs: policies, and API keys where there are any.

use super::AppError;
use crate::config::Config;
use crate::dispatch::Handle;
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::reload::{self, Live, LiveKeys};
use std::sync::Arc;

/// What was read, before anybody works by it.
pub(super) struct Opened {
    pub(super) live: Live,
    keys: Option<LiveKeys>,
}

/// What the driver is told of at every change.
pub(super) struct Followed {
    pub(super) live: Arc<Live>,
    keys: Option<Arc<LiveKeys>>,
}

impl Opened {
    /// Reads the policy folder and the keys file. Blocks.
    pub(super) fn read(config: &Config, metrics: &Arc<Metrics>) -> Result<Self, AppError> {
        let live = Live::open(config.policies.as_deref(), Arc::clone(metrics)).map_err(AppError::Policies)?;
        let keys = config.keys_file.as_deref().map(|file| LiveKeys::open(file, Arc::clone(metrics)));
        Ok(Self { live, keys: keys.transpose().map_err(AppError::Keys)? })
    }

    /// Has the driver told: of policies from now on, of the tenants that keys stand for now as well.
    pub(super) fn telling(self, handle: &Handle) -> Followed {
        let (under, with) = (handle.clone(), handle.clone());
        let live = self.live.telling(move |policies| under.set_policies(policies));
        let keys = self.keys.map(|keys| Arc::new(keys.telling(move |tenants| with.set_tenants(tenants))));
        Followed { live: Arc::new(live), keys }
    }
}

impl Followed {
    /// The keys that are asked for; `None` where none are.
    pub(super) fn keys(&self) -> Option<Arc<Keys>> {
        self.keys.as_ref().map(|keys| keys.keys())
    }

    /// Keeps both in step with what they were read from, for as long as the future is polled.
    pub(super) async fn watch(self) {
        let keys = async {
            if let Some(keys) = self.keys {
                reload::watch(keys).await;
            }
        };
        tokio::join!(reload::watch(self.live), keys);
    }
}
