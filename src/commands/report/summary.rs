//! The numbers of a report, and what it could not read.

use std::collections::BTreeMap;

use super::combine::CALLS;
use super::model::{AccountReport, ConnectorReport, OwnerState, Problem, RegionReport, Report, State, Summary};
use super::rows::credentials;
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Failure, Operation};
use crate::core::wait::explain;

pub(super) fn summary(accounts: &[AccountReport]) -> Summary {
    let subscribed = |region: &&RegionReport| region.state != State::NotSubscribed;
    let regions: Vec<_> = accounts.iter().flat_map(|account| &account.regions).filter(subscribed).collect();
    let connectors = regions.iter().flat_map(|region| region.connectors.iter().flatten());
    let connectors: Vec<_> = connectors.filter(|connector| !connector.is_inactive()).collect();
    let count = |is: &dyn Fn(&ConnectorReport) -> bool| connectors.iter().filter(|connector| is(connector)).count();
    Summary {
        accounts: accounts.len(),
        regions: regions.len(),
        ingress_connections: regions.iter().flat_map(|region| region.ingress_connections.iter().flatten()).count(),
        services: regions.iter().flat_map(|region| region.services.iter().flatten()).count(),
        connectors: connectors.len(),
        deletable: count(&|connector| connector.deletable == Some(true)),
        held: count(&|connector| connector.held_by.as_ref().is_some_and(|held| !held.is_empty())),
        orphans: count(&|connector| connector.owner.state == OwnerState::Orphan),
        complete: accounts.iter().all(|account| account.problem.is_none())
            && regions.iter().all(|region| region.state == State::Read),
    }
}

impl Problem {
    pub(super) fn new(failure: &Failure) -> Self {
        Self {
            operation: failure.operation.to_string(),
            code: failure.code.clone(),
            message: explain(failure),
            missing_action: (failure.class == ErrorClass::AccessDenied).then(|| failure.operation.iam_action()),
            request_id: failure.request_id.clone(),
        }
    }

    /// Two problems with the same key are shown once. The key of a missing IAM action is the action, because IAM's message
    /// names a resource.
    pub(super) fn dedup_key(&self) -> &str {
        self.missing_action.as_deref().unwrap_or(&self.message)
    }
}

impl Report {
    /// Text for what could not be read, with each missing IAM action and each failure once; empty if everything was read.
    pub(super) fn unread(&self) -> String {
        let mut problems = BTreeMap::<&str, (&str, Vec<String>)>::new();
        let mut denied = false;
        for account in &self.accounts {
            let name = account.account.clone().unwrap_or_else(|| credentials(&account.credentials));
            let whole = account.problem.iter().map(|problem| (name.clone(), problem));
            let one_account = self.accounts.len() == 1;
            let parts = account.regions.iter().flat_map(|region| {
                let place = if one_account { region.region.clone() } else { format!("{name} {}", region.region) };
                region.problems.iter().map(move |problem| (place.clone(), problem))
            });
            for (place, problem) in whole.chain(parts) {
                denied |= problem.missing_action.as_deref().is_some_and(|action| action.starts_with("apprunner:"));
                problems.entry(problem.dedup_key()).or_insert((&problem.message, Vec::new())).1.push(place);
            }
        }
        let lines = problems.values().map(|(message, places)| format!("in {}: {message}", places.join(", ")));
        let lines: Vec<_> = lines.collect();
        let actions = CALLS.map(Operation::iam_action).join(", ");
        let needed = if denied { format!(". A report needs {actions}") } else { String::new() };
        if lines.is_empty() { String::new() } else { format!("not all could be read: {}{needed}", lines.join("; ")) }
    }
}
