//! VPC connectors: created, shown, and deleted unless a service holds them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::dispatch::Scene;
use crate::members::Members;
use crate::model::account_region::AccountRegion;
use crate::model::arn::{self, Kind};
use crate::model::clock::later;
use crate::pages::Item;
use crate::state::Region;
use crate::tags::{self, TagMap, Tags};
use crate::wire::{ApiError, Outcome, seconds};
use crate::{Behaviors, ConnectorStatus, ConnectorView, CreateExistingName, DeleteAgain, DeleteReply};

/// A connector as long as the emulator runs; the API forgets it earlier.
#[derive(Debug)]
pub(crate) struct Connector {
    seq: u64,
    pub(crate) arn: String,
    name: String,
    revision: u32,
    subnets: Vec<String>,
    security_groups: Vec<String>,
    created_at: Timestamp,
    inactive_at: Option<Timestamp>,
    pub(crate) tags: Tags,
}

/// What a new connector is made of.
pub(crate) struct NewConnector {
    pub(crate) name: String,
    pub(crate) subnets: Vec<String>,
    pub(crate) security_groups: Vec<String>,
    pub(crate) tags: TagMap,
}

impl Connector {
    pub(crate) fn status(&self, now: Timestamp) -> ConnectorStatus {
        if self.inactive_at.is_some_and(|at| at <= now) { ConnectorStatus::Inactive } else { ConnectorStatus::Active }
    }

    fn is_active(&self, now: Timestamp) -> bool {
        self.status(now) == ConnectorStatus::Active
    }

    /// Says whether a service may still start to use it.
    fn is_usable(&self) -> bool {
        self.inactive_at.is_none()
    }

    fn is_found(&self, behaviors: &Behaviors, now: Timestamp) -> bool {
        self.inactive_at.is_none_or(|at| now < at || now < later(at, behaviors.inactive_connector_kept_ms))
    }

    /// Ends its life at the given time, unless its end is settled already.
    pub(crate) fn delete(&mut self, at: Timestamp) {
        self.inactive_at.get_or_insert(at);
    }

    /// Shows the connector as the API does. Source: App Runner API, `VpcConnector`.
    fn to_json(&self, behaviors: &Behaviors, now: Timestamp) -> Value {
        let mut shown = json!({
            "VpcConnectorName": self.name,
            "VpcConnectorArn": self.arn,
            "VpcConnectorRevision": self.revision,
            "Subnets": self.subnets,
            "SecurityGroups": self.security_groups,
            "Status": behaviors.connector_status(self.status(now)),
            "CreatedAt": seconds(self.created_at),
        });
        if let Some(at) = self.inactive_at.filter(|at| *at <= now) {
            shown["DeletedAt"] = seconds(at);
        }
        shown
    }
}

impl Region {
    /// Makes a connector of the next revision of its name; its caller adds it.
    pub(crate) fn make_connector(
        &mut self,
        owner: &AccountRegion,
        new: NewConnector,
        behaviors: &Behaviors,
        now: Timestamp,
    ) -> Connector {
        let same_name = |connector: &&Connector| connector.is_active(now) && connector.name == new.name;
        let revisions = self.connectors.iter().filter(same_name).map(|connector| connector.revision);
        let revision = revisions.max().unwrap_or(0) + 1;
        Connector {
            seq: self.next_seq(),
            arn: arn::new_connector(&owner.account, &owner.region, &new.name, revision, behaviors.connector_ids),
            name: new.name,
            revision,
            subnets: new.subnets,
            security_groups: new.security_groups,
            created_at: now,
            inactive_at: None,
            tags: Tags::new(new.tags),
        }
    }

    pub(crate) fn found_connector(
        &mut self,
        arn: &str,
        behaviors: &Behaviors,
        now: Timestamp,
    ) -> Option<&mut Connector> {
        self.connectors.iter_mut().find(|connector| connector.arn == arn && connector.is_found(behaviors, now))
    }

    /// Says whether a service can be told to use this connector.
    pub(crate) fn has_usable_connector(&self, arn: &str) -> bool {
        self.connectors.iter().any(|connector| connector.arn == arn && connector.is_usable())
    }

    pub(crate) fn connector_view(&self, connector: &Connector, behaviors: &Behaviors, now: Timestamp) -> ConnectorView {
        ConnectorView {
            arn: connector.arn.clone(),
            name: connector.name.clone(),
            revision: connector.revision,
            subnets: connector.subnets.clone(),
            security_groups: connector.security_groups.clone(),
            status: connector.status(now),
            created_at: connector.created_at,
            deleted_at: connector.inactive_at.filter(|at| *at <= now),
            in_use: self.is_in_use(&connector.arn, behaviors, now),
            tags: connector.tags.latest().clone(),
        }
    }
}

/// Creates a connector. Source: App Runner API, `CreateVpcConnector`.
pub(crate) fn create(scene: &mut Scene<'_>, members: &Members) -> Outcome {
    let name = members.required_text("VpcConnectorName", 4..=40)?;
    if !arn::is_name(name) {
        return Err(members
            .wrong("VpcConnectorName", "must satisfy regular expression pattern: [A-Za-z0-9][A-Za-z0-9\\-_]{3,39}"));
    }
    let subnets = members.texts("Subnets", 0..=51_200)?.ok_or_else(|| members.missing("Subnets"))?;
    if subnets.is_empty() {
        return Err(members.wrong("Subnets", "must have at least one item"));
    }
    let given_groups = members.texts("SecurityGroups", 0..=51_200)?.filter(|groups| !groups.is_empty());
    let tags = tags::read(members)?.unwrap_or_default();
    check_new(scene, name, given_groups.as_deref())?;
    let security_groups = given_groups.unwrap_or_else(|| vec![DEFAULT_SECURITY_GROUP.to_owned()]);
    let new = NewConnector { name: name.to_owned(), subnets, security_groups, tags };
    let connector = scene.region.make_connector(&scene.caller.account_region(), new, scene.behaviors, scene.now);
    let reply = json!({ "VpcConnector": connector.to_json(scene.behaviors, scene.now) });
    scene.region.connectors.push(connector);
    Ok(reply)
}

/// Stands for the default group of the one VPC that every subnet belongs to.
const DEFAULT_SECURITY_GROUP: &str = "sg-0default00000000";

fn check_new(scene: &Scene<'_>, name: &str, groups: Option<&[String]>) -> Result<(), ApiError> {
    let active = || scene.region.connectors.iter().filter(|connector| connector.is_active(scene.now));
    if let Some(existing) = active().find(|connector| connector.name == name)
        && scene.behaviors.create_existing_name == CreateExistingName::Refused
    {
        let message = format!("VPC connector with name {name} already exists. ARN: {}", existing.arn);
        return Err(ApiError::invalid_request(message));
    }
    if let Some(groups) = groups
        && let Some(existing) = active().find(|connector| same_items(&connector.security_groups, groups))
    {
        return Err(ApiError::invalid_request(format!(
            "The security groups combination provided in the request already exists on existing vpc connector. \
             Existing VPC connector arn: {}, Security Groups: [{}]",
            existing.arn,
            groups.join(", ")
        )));
    }
    let quota = scene.behaviors.connector_quota;
    if active().count() >= quota {
        let message = format!("You have reached the quota of {quota} VPC connectors for this account and region.");
        return Err(ApiError::quota_exceeded(message));
    }
    Ok(())
}

fn same_items(left: &[String], right: &[String]) -> bool {
    left.iter().collect::<BTreeSet<_>>() == right.iter().collect::<BTreeSet<_>>()
}

/// Shows a connector. Source: App Runner API, `DescribeVpcConnector`.
pub(crate) fn describe(scene: &mut Scene<'_>, members: &Members) -> Outcome {
    let arn = scene.arn(members, "VpcConnectorArn", &[Kind::Connector])?;
    let found = scene.region.found_connector(arn, scene.behaviors, scene.now);
    let connector = found.ok_or_else(|| ApiError::not_found(Kind::Connector.what(), arn))?;
    Ok(json!({ "VpcConnector": connector.to_json(scene.behaviors, scene.now) }))
}

/// Lists connectors, a page at a time. Source: App Runner API, `ListVpcConnectors`.
pub(crate) fn list(scene: &mut Scene<'_>, members: &Members) -> Outcome {
    let (behaviors, now) = (scene.behaviors, scene.now);
    let listed = |connector: &&Connector| {
        connector.is_active(now) || (behaviors.list_inactive_connectors && connector.is_found(behaviors, now))
    };
    let shown = scene.region.connectors.iter().filter(listed);
    let items = shown.map(|connector| Item { seq: connector.seq, value: connector.to_json(behaviors, now) }).collect();
    let page = scene.region.pages.cut(scene.operation, members, 1..=100, items)?;
    let mut reply = json!({ "VpcConnectors": page.items });
    if let Some(token) = page.next_token {
        reply["NextToken"] = token.into();
    }
    Ok(reply)
}

/// Deletes a connector that no service holds. Source: App Runner API, `DeleteVpcConnector`.
pub(crate) fn delete(scene: &mut Scene<'_>, members: &Members) -> Outcome {
    let arn = scene.arn(members, "VpcConnectorArn", &[Kind::Connector])?;
    let (behaviors, now) = (scene.behaviors, scene.now);
    let in_use = scene.region.is_in_use(arn, behaviors, now);
    let found = scene.region.found_connector(arn, behaviors, now);
    let connector = found.ok_or_else(|| ApiError::not_found(Kind::Connector.what(), arn))?;
    if connector.status(now) == ConnectorStatus::Inactive {
        return delete_again(connector, behaviors, now);
    }
    if in_use {
        // Two spaces, as AWS writes it.
        let awss = || format!("Provided VPC connector arn is being used by other services. ARN:  {arn}");
        return Err(ApiError::invalid_request(behaviors.in_use_message.clone().unwrap_or_else(awss)));
    }
    connector.delete(match behaviors.delete_reply {
        DeleteReply::Inactive => now,
        DeleteReply::Eventual => later(now, behaviors.delete_settles_after_ms),
    });
    Ok(json!({ "VpcConnector": connector.to_json(behaviors, now) }))
}

fn delete_again(connector: &Connector, behaviors: &Behaviors, now: Timestamp) -> Outcome {
    match behaviors.delete_again {
        DeleteAgain::Inactive => Ok(json!({ "VpcConnector": connector.to_json(behaviors, now) })),
        DeleteAgain::NotFound => Err(ApiError::not_found(Kind::Connector.what(), &connector.arn)),
        DeleteAgain::InvalidRequest => {
            Err(ApiError::invalid_request(format!("VPC connector is not active. ARN: {}", connector.arn)))
        }
    }
}
