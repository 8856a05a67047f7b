//! Configurations of auto scaling and of observability, which services share.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::account_region::AccountRegion;
use super::arn::{self, Kind};
use super::region::Region;
use super::tags::{TagMap, Tags};
use super::views::ConfigurationView;

/// A revision of a configuration; the emulator keeps it until a reset.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) seq: u64,
    /// `Kind::AutoScaling` or `Kind::Observability`.
    pub(crate) kind: Kind,
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) revision: u32,
    /// True for the one that App Runner provides.
    pub(crate) is_default: bool,
    /// Members that replies return in addition.
    pub(crate) settings: Map<String, Value>,
    pub(crate) created_at: Timestamp,
    /// Time of the deletion; absent while the configuration is ACTIVE.
    pub(crate) deleted_at: Option<Timestamp>,
    pub(crate) tags: Tags,
}

/// The request for a new revision of a configuration.
pub(crate) struct NewConfiguration {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) settings: Map<String, Value>,
    pub(crate) tags: TagMap,
}

impl Configuration {
    pub(crate) fn is_active(&self) -> bool {
        self.deleted_at.is_none()
    }

    /// Returns true if the ARN is that of the configuration, or the beginning of it up to the name or the revision.
    pub(crate) fn has_arn(&self, arn: &str) -> bool {
        self.arn.strip_prefix(arn).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    pub(crate) fn view(&self) -> ConfigurationView {
        ConfigurationView {
            arn: self.arn.clone(),
            name: self.name.clone(),
            revision: self.revision,
            created_at: self.created_at,
            deleted_at: self.deleted_at,
            tags: self.tags.latest().clone(),
        }
    }
}

/// The settings of an auto scaling configuration without settings of its own. Source: App Runner API,
/// `CreateAutoScalingConfiguration`.
pub(crate) fn default_auto_scaling() -> Map<String, Value> {
    [("MaxConcurrency", 100), ("MinSize", 1), ("MaxSize", 25)]
        .map(|(name, value)| (name.to_owned(), value.into()))
        .into_iter()
        .collect()
}

impl Region {
    /// Makes the next revision of a configuration's name; the caller adds it to the region.
    pub(crate) fn make_configuration(
        &mut self,
        owner: &AccountRegion,
        new: NewConfiguration,
        now: Timestamp,
    ) -> Configuration {
        let revision = self.latest_revision(new.kind, &new.name).unwrap_or(0) + 1;
        Configuration {
            seq: self.next_seq(),
            kind: new.kind,
            arn: arn::new_resource(new.kind, owner, &format!("{}/{revision}", new.name)),
            name: new.name,
            revision,
            is_default: false,
            settings: new.settings,
            created_at: now,
            deleted_at: None,
            tags: Tags::new(new.tags),
        }
    }

    /// Makes the auto scaling configuration that App Runner provides.
    pub(super) fn make_default_auto_scaling(&mut self, owner: &AccountRegion, now: Timestamp) -> Configuration {
        let new = NewConfiguration {
            kind: Kind::AutoScaling,
            name: "DefaultConfiguration".to_owned(),
            settings: default_auto_scaling(),
            tags: TagMap::new(),
        };
        let AccountRegion { account, region } = owner;
        let word = "autoscalingconfiguration/DefaultConfiguration/1/00000000000000000000000000000001";
        let arn = format!("arn:aws:apprunner:{region}:{account}:{word}");
        Configuration { arn, is_default: true, ..self.make_configuration(owner, new, now) }
    }

    /// Returns a configuration by its full ARN, also a deleted one.
    pub(crate) fn configuration(&self, arn: &str) -> Option<&Configuration> {
        self.configurations.iter().find(|configuration| configuration.arn == arn)
    }

    /// Returns an ACTIVE configuration by its ARN; of an ARN without a revision, the latest one.
    pub(crate) fn find_configuration(&self, kind: Kind, arn: &str) -> Option<&Configuration> {
        let found = self.active_configurations(kind).filter(|configuration| configuration.has_arn(arn));
        found.max_by_key(|configuration| configuration.revision)
    }

    pub(crate) fn active_configurations(&self, kind: Kind) -> impl Iterator<Item = &Configuration> {
        self.configurations.iter().filter(move |configuration| configuration.kind == kind && configuration.is_active())
    }

    /// Returns the highest revision among the ACTIVE configurations of a name.
    pub(crate) fn latest_revision(&self, kind: Kind, name: &str) -> Option<u32> {
        let same_name = self.active_configurations(kind).filter(|configuration| configuration.name == name);
        same_name.map(|configuration| configuration.revision).max()
    }

    pub(super) fn configuration_views(&self, kind: Kind) -> Vec<ConfigurationView> {
        self.configurations.iter().filter(|one| one.kind == kind).map(Configuration::view).collect()
    }
}
