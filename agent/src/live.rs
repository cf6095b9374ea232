//! Settings and folders as they are at this moment, for the rooms that outlive a reload.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    config::Config,
    intake::{FeedFacts, IntakeFacts},
    reload::Standing,
    requests::Folders,
    status::facts::SiteCard,
};

/// Cheap to clone; all clones see the same.
#[derive(Debug, Clone)]
pub(crate) struct Live(Arc<Mutex<Present>>);

#[derive(Debug)]
struct Present {
    config: Config,
    standing: Standing,
    intake: IntakeFacts,
    certificate_until: Option<Timestamp>,
}

impl Live {
    pub(crate) fn new(config: Config, standing: Standing, intake: IntakeFacts) -> Self {
        Self(Arc::new(Mutex::new(Present { config, standing, intake, certificate_until: None })))
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        // Settings are replaced whole: a panic elsewhere leaves them readable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn config(&self) -> Config {
        self.present().config.clone()
    }

    pub(crate) fn standing(&self) -> Standing {
        self.present().standing.clone()
    }

    pub(crate) fn feeds(&self) -> Vec<FeedFacts> {
        self.present().intake.snapshot()
    }

    pub(crate) fn folders(&self) -> Folders {
        self.present().config.feeds.iter().map(|f| (f.name.clone(), f.folder.clone())).collect()
    }

    pub(crate) fn keep_days(&self) -> i64 {
        i64::from(self.present().config.queue.keep_days)
    }

    pub(crate) fn archive_days(&self) -> i32 {
        i32::try_from(self.present().config.queue.archive_days).unwrap_or(i32::MAX).min(3_650_000)
    }

    pub(crate) fn zone(&self) -> TimeZone {
        self.present().config.site.time_zone.clone()
    }

    pub(crate) fn card(&self) -> SiteCard {
        SiteCard::of(&self.present().config)
    }

    pub(crate) fn certificate_until(&self) -> Option<Timestamp> {
        self.present().certificate_until
    }

    /// Notes when the certificate ends, expired or not.
    pub(crate) fn certificate_ends(&self, until: Option<Timestamp>) {
        self.present().certificate_until = until;
    }

    /// Notes how a reload ended that changed nothing.
    pub(crate) fn keep(&self, standing: Standing) {
        self.present().standing = standing;
    }

    /// Puts other settings and folders in place.
    pub(crate) fn replace(&self, config: Config, standing: Standing, intake: IntakeFacts) {
        let mut present = self.present();
        (present.config, present.standing, present.intake) = (config, standing, intake);
    }
}
