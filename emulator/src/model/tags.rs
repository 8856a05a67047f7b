//! The tags of one connector or service.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::clock::later;

/// Tags by key.
pub(crate) type TagMap = BTreeMap<String, String>;

/// The tags of a resource, with their history: `ListTagsForResource` may still show tags from before a write.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    first: TagMap,
    /// Each later state of the tags and the time of its write, oldest first.
    changes: Vec<(Timestamp, TagMap)>,
}

impl Tags {
    pub(crate) fn new(first: TagMap) -> Self {
        Self { first, changes: Vec::new() }
    }

    /// Returns the tags after the last write.
    pub(crate) fn latest(&self) -> &TagMap {
        self.changes.last().map_or(&self.first, |(_, tags)| tags)
    }

    /// Returns the tags after the last write that is at least `visible_after_ms` old.
    pub(crate) fn visible(&self, now: Timestamp, visible_after_ms: u64) -> &TagMap {
        let visible = |(at, _): &&(Timestamp, TagMap)| later(*at, visible_after_ms) <= now;
        self.changes.iter().rev().find(visible).map_or(&self.first, |(_, tags)| tags)
    }

    pub(crate) fn write(&mut self, tags: TagMap, at: Timestamp) {
        self.changes.push((at, tags));
    }
}
