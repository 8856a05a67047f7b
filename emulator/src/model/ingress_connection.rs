//! A VPC ingress connection: the private way to a service from a VPC.

use jiff::Timestamp;

use super::account_region::AccountRegion;
use super::arn::{self, Kind};
use super::clock::later;
use super::ids::random_hex;
use super::region::Region;
use super::tags::{TagMap, Tags};
use super::views::{IngressConnectionStatus, IngressConnectionView};

/// A VPC ingress connection; the emulator keeps it until a reset.
#[derive(Debug)]
pub(crate) struct IngressConnection {
    pub(crate) seq: u64,
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) vpc: String,
    pub(crate) vpc_endpoint: String,
    pub(crate) domain: String,
    pub(crate) created_at: Timestamp,
    pub(crate) tags: Tags,
    /// Status since the last operation; see [`IngressConnection::status`] for the end of an operation.
    last_status: IngressConnectionStatus,
    /// End of the last operation.
    settled_at: Timestamp,
}

/// The request for a new VPC ingress connection.
pub(crate) struct NewIngressConnection {
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) vpc: String,
    pub(crate) vpc_endpoint: String,
    pub(crate) tags: TagMap,
}

impl IngressConnection {
    pub(crate) fn status(&self, now: Timestamp) -> IngressConnectionStatus {
        match self.last_status {
            IngressConnectionStatus::PendingCreation if self.settled_at <= now => IngressConnectionStatus::Available,
            IngressConnectionStatus::PendingDeletion if self.settled_at <= now => IngressConnectionStatus::Deleted,
            other => other,
        }
    }

    /// Returns true until the deletion has ended; until then, the service cannot be deleted.
    pub(crate) fn exists(&self, now: Timestamp) -> bool {
        self.status(now) != IngressConnectionStatus::Deleted
    }

    /// Returns the time of the deletion, if it has ended.
    pub(crate) fn deleted_at(&self, now: Timestamp) -> Option<Timestamp> {
        (!self.exists(now)).then_some(self.settled_at)
    }

    /// Starts the deletion, which takes the given time.
    pub(crate) fn start_deletion(&mut self, takes_ms: u64, now: Timestamp) {
        self.last_status = IngressConnectionStatus::PendingDeletion;
        self.settled_at = later(now, takes_ms);
    }

    /// Sets a status that no time ends.
    pub(crate) fn set_status(&mut self, status: IngressConnectionStatus, now: Timestamp) {
        self.last_status = status;
        // A pending operation would end at once.
        let is_pending =
            matches!(status, IngressConnectionStatus::PendingCreation | IngressConnectionStatus::PendingDeletion);
        self.settled_at = if is_pending { Timestamp::MAX } else { now };
    }

    pub(crate) fn view(&self, now: Timestamp) -> IngressConnectionView {
        IngressConnectionView {
            arn: self.arn.clone(),
            name: self.name.clone(),
            service: self.service.clone(),
            vpc_endpoint: self.vpc_endpoint.clone(),
            status: self.status(now),
            created_at: self.created_at,
            deleted_at: self.deleted_at(now),
            tags: self.tags.latest().clone(),
        }
    }
}

impl Region {
    /// Makes a VPC ingress connection, whose creation takes the given time; the caller adds it to the region.
    pub(crate) fn make_ingress_connection(
        &mut self,
        owner: &AccountRegion,
        new: NewIngressConnection,
        takes_ms: u64,
        now: Timestamp,
    ) -> IngressConnection {
        IngressConnection {
            seq: self.next_seq(),
            arn: arn::new_resource(Kind::IngressConnection, owner, &new.name),
            name: new.name,
            service: new.service,
            vpc: new.vpc,
            vpc_endpoint: new.vpc_endpoint,
            domain: format!("{}.{}.awsapprunner.com", &random_hex()[..10], owner.region),
            created_at: now,
            tags: Tags::new(new.tags),
            last_status: IngressConnectionStatus::PendingCreation,
            settled_at: later(now, takes_ms),
        }
    }

    /// Returns a VPC ingress connection, also a deleted one.
    pub(crate) fn find_ingress_connection(&mut self, arn: &str) -> Option<&mut IngressConnection> {
        self.ingress_connections.iter_mut().find(|connection| connection.arn == arn)
    }

    /// Returns the VPC ingress connections of a service that are not deleted.
    pub(crate) fn ingress_connections_of<'a>(
        &'a self,
        service: &'a str,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a IngressConnection> {
        self.ingress_connections
            .iter()
            .filter(move |connection| connection.service == service && connection.exists(now))
    }
}
