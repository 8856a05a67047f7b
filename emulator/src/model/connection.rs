//! A connection to a provider of source code.

use jiff::Timestamp;

use super::account_region::AccountRegion;
use super::arn::{self, Kind};
use super::region::Region;
use super::tags::{TagMap, Tags};
use super::views::{ConnectionStatus, ConnectionView};

/// A connection; the emulator forgets a deleted one.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) seq: u64,
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) provider: String,
    pub(crate) status: ConnectionStatus,
    pub(crate) created_at: Timestamp,
    pub(crate) tags: Tags,
}

/// The request for a new connection.
pub(crate) struct NewConnection {
    pub(crate) name: String,
    pub(crate) provider: String,
    pub(crate) status: ConnectionStatus,
    pub(crate) tags: TagMap,
}

impl Connection {
    pub(crate) fn view(&self) -> ConnectionView {
        ConnectionView {
            arn: self.arn.clone(),
            name: self.name.clone(),
            status: self.status,
            created_at: self.created_at,
            tags: self.tags.latest().clone(),
        }
    }
}

impl Region {
    /// Makes a connection; the caller adds it to the region.
    pub(crate) fn make_connection(&mut self, owner: &AccountRegion, new: NewConnection, now: Timestamp) -> Connection {
        Connection {
            seq: self.next_seq(),
            arn: arn::new_resource(Kind::Connection, owner, &new.name),
            name: new.name,
            provider: new.provider,
            status: new.status,
            created_at: now,
            tags: Tags::new(new.tags),
        }
    }
}
