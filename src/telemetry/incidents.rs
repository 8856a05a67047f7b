//! Failures that many objects share, logged once when they begin and once when they end.
//!
//! The conditions of each object show why it waits. If the operator also logged every failed attempt of every object, an
//! outage would fill the log. So every part of the operator that meets a shared failure reports it here, each time, with
//! the message of the conditions. The first report is logged as a warning and repeated ones at debug. When no object is
//! affected any longer, one line logs the end.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::api::{Reason, Uid};
use crate::clock;
use crate::core::arn::{AccountId, AccountRegion};
use crate::core::clock::Moment;
use crate::core::error_class::ErrorClass;
use crate::core::intervals::millis;
use crate::core::outcome::{Failure, Operation};
use crate::core::wait::{explain, is_of_clock};
use crate::sync::lock;

/// An intermittent failure is logged at most once in this time.
const LOG_AGAIN: Duration = Duration::from_mins(1);
/// A failure that was not reported for this long counts as ended, even if its end was not reported.
const FORGET_AFTER: Duration = Duration::from_hours(1);
/// In place of an object's uid: the failure affects the whole operator.
pub(crate) const OPERATOR: &str = "";

/// A failure that can affect many objects at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SharedFailure {
    /// There are no credentials, or STS does not report their account.
    Credentials,
    /// The role of an account cannot be assumed.
    Role(AccountId),
    /// STS cannot be reached, so the operator uses the account that the credentials carry.
    UnconfirmedAccount,
    /// App Runner of an account and region rejects the credentials, or does not answer.
    AppRunner(AccountRegion),
    /// The operator acts for another account or other regions than objects name; with the message of their conditions.
    WrongAccount(String),
    /// The API server does not answer.
    ApiServer,
    /// The API server refuses writes to objects.
    WriteRefused,
}

/// The shared failures that last, and those that were logged in the last minute.
#[derive(Default)]
pub(crate) struct Incidents {
    all: Mutex<HashMap<SharedFailure, Incident>>,
}

#[derive(Default)]
struct Incident {
    began: Moment,
    /// The time of the last report.
    reported: Moment,
    /// The uids of the affected objects, or [`OPERATOR`]; the incident ends when the set is empty.
    affected: HashSet<Uid>,
    /// The largest number of affected objects at once.
    most: usize,
    /// The time of the last log line, by kind.
    logged: HashMap<String, Moment>,
    /// The kind that was logged last.
    kind: String,
    /// The error text that was logged last.
    error: String,
}

/// The end of an incident that was logged.
#[derive(Debug, PartialEq, Eq)]
struct EndedIncident {
    failure: SharedFailure,
    /// The largest number of affected objects at once; none if the failure affected the whole operator.
    objects: Option<usize>,
    lasted: Duration,
    kind: String,
    error: String,
}

impl SharedFailure {
    /// The account and the region, if the failure is in one account, or one account and region, only.
    fn account_and_region(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::AppRunner(AccountRegion { account, region }) => (Some(account.as_str()), Some(region.as_str())),
            Self::Role(account) => (Some(account.as_str()), None),
            _ => (None, None),
        }
    }
}

impl Incidents {
    /// Reports a failed call that affects the whole operator.
    pub(crate) fn failed(&self, shared: &SharedFailure, failure: &Failure) {
        self.begin(shared, OPERATOR, &kind(failure), &explain(failure));
    }

    /// Reports that the API server did not answer a call for an object, or for [`OPERATOR`].
    pub(crate) fn no_answer(&self, affected: impl Into<Uid>, verb: &str, message: &str) {
        let error = format!("the API server does not answer; the operator tries again: {verb}: {message}");
        self.begin(&SharedFailure::ApiServer, affected, "ApiServer", &error);
    }

    /// Reports that a shared failure affects an object, or [`OPERATOR`]. Each kind of it is logged.
    pub(crate) fn begin(&self, shared: &SharedFailure, affected: impl Into<Uid>, kind: &str, error: &str) {
        let log = note(&mut lock(&self.all), shared, (affected.into(), kind, error), clock::now().moment);
        let (account, region) = shared.account_and_region();
        if log {
            warn!(trouble = kind, account, region, error, "shared failure");
        } else {
            debug!(trouble = kind, account, region, error, "shared failure continues");
        }
    }

    /// Reports that a shared failure does not affect the whole operator.
    pub(crate) fn ended(&self, shared: &SharedFailure) {
        self.end(shared, OPERATOR);
    }

    /// Reports that a shared failure does not affect an object.
    pub(crate) fn end(&self, shared: &SharedFailure, affected: impl Into<Uid>) {
        self.end_all(&affected.into(), |other| other == shared);
    }

    /// Reports the message of an object that waits because of its account or region, or that it does not wait for those.
    pub(crate) fn note_wrong_account(&self, uid: impl Into<Uid>, error: Option<&str>) {
        let now = error.map(|error| SharedFailure::WrongAccount(error.to_owned()));
        let uid = uid.into();
        self.end_all(&uid, |other| matches!(other, SharedFailure::WrongAccount(_)) && Some(other) != now.as_ref());
        if let (Some(shared), Some(error)) = (now, error) {
            self.begin(&shared, uid, "WrongAccount", error);
        }
    }

    /// Forgets a deleted object, which no failure affects.
    pub(crate) fn forget(&self, uid: impl Into<Uid>) {
        self.end_all(&uid.into(), |_| true);
    }

    fn end_all(&self, affected: &Uid, which: impl Fn(&SharedFailure) -> bool) {
        let ended = remove(&mut lock(&self.all), affected, which, clock::now().moment);
        for EndedIncident { failure, objects, lasted, kind, error } in ended {
            let (account, region) = failure.account_and_region();
            let lasted_ms = millis(lasted);
            info!(trouble = kind, account, region, error, objects, lasted_ms, "shared failure ended");
        }
    }
}

impl Incident {
    fn is_active(&self) -> bool {
        !self.affected.is_empty()
    }

    /// True if this kind was logged since the incident began.
    fn has_logged(&self, kind: &str) -> bool {
        self.logged.get(kind).is_some_and(|at| *at >= self.began)
    }
}

/// Notes a report, and returns whether it is logged as a warning.
fn note(
    all: &mut HashMap<SharedFailure, Incident>,
    shared: &SharedFailure,
    (affected, kind, error): (Uid, &str, &str),
    now: Moment,
) -> bool {
    all.retain(|_, incident| {
        now.since(incident.reported) < if incident.is_active() { FORGET_AFTER } else { LOG_AGAIN }
    });
    if *shared == SharedFailure::Credentials
        && kind != Reason::Unreachable.to_string()
        && let Some(logged) = rejected_by_app_runner(all, kind)
    {
        all.insert(SharedFailure::Credentials, logged);
    }
    let incident = all.entry(shared.clone()).or_default();
    if !incident.is_active() {
        (incident.began, incident.most) = (now, 0);
    }
    incident.reported = now;
    incident.affected.insert(affected);
    incident.most = incident.most.max(incident.affected.len());
    let recently = incident.logged.get(kind).is_some_and(|at| now.since(*at) < LOG_AGAIN);
    let log = !recently && !incident.has_logged(kind);
    if log {
        incident.logged.insert(kind.to_owned(), now);
        (incident.kind, incident.error) = (kind.to_owned(), error.to_owned());
    }
    log
}

/// Removes an object from incidents, and returns those that ended with it and were logged.
fn remove(
    all: &mut HashMap<SharedFailure, Incident>,
    affected: &Uid,
    which: impl Fn(&SharedFailure) -> bool,
    now: Moment,
) -> Vec<EndedIncident> {
    let mut ended = Vec::new();
    for (failure, incident) in all.iter_mut().filter(|(failure, _)| which(failure)) {
        let ends = incident.affected.remove(affected) && !incident.is_active();
        if ends && incident.has_logged(&incident.kind) {
            let objects = (*affected != OPERATOR.into()).then_some(incident.most);
            let (failure, lasted) = (failure.clone(), now.since(incident.began));
            let (kind, error) = (incident.kind.clone(), incident.error.clone());
            ended.push(EndedIncident { failure, objects, lasted, kind, error });
        }
    }
    ended
}

/// Takes the incident of App Runner out, which rejected the same credentials: when STS rejects them as well, it is the same
/// failure, and is logged already.
fn rejected_by_app_runner(all: &mut HashMap<SharedFailure, Incident>, kind: &str) -> Option<Incident> {
    let same = |shared: &SharedFailure, incident: &mut Incident| {
        matches!(shared, SharedFailure::AppRunner(_)) && incident.is_active() && incident.has_logged(kind)
    };
    all.extract_if(same).map(|(_, incident)| incident).min_by_key(|incident| incident.began)
}

/// The kind of a failure, which is the same for all calls that fail for the same cause.
fn kind(failure: &Failure) -> String {
    match failure.class {
        ErrorClass::CredentialsRejected if is_of_clock(failure) => "WrongClock".to_owned(),
        _ if failure.operation == Operation::ResolveCredentials => failure.code.clone(),
        class => class.reason().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::arn::ConnectorArn;

    /// The incidents, with the log lines that each report would write.
    #[derive(Default)]
    struct Log(HashMap<SharedFailure, Incident>);

    impl Log {
        fn begins(&mut self, at: u64, shared: &SharedFailure, affected: &str, kind: &str) -> bool {
            note(&mut self.0, shared, (affected.into(), kind, "text"), second(at))
        }

        /// For each incident that ended: the affected objects and its seconds.
        fn ends(&mut self, at: u64, shared: &SharedFailure, affected: &str) -> Vec<(Option<usize>, u64)> {
            let ended = remove(&mut self.0, &affected.into(), |other| other == shared, second(at));
            assert!(ended.iter().all(|it| it.failure == *shared && it.error == "text"), "{ended:?}");
            ended.into_iter().map(|it| (it.objects, it.lasted.as_secs())).collect()
        }
    }

    fn second(at: u64) -> Moment {
        Moment::new(Duration::from_secs(at))
    }

    fn app_runner(region: &str) -> SharedFailure {
        let arn = format!("arn:aws:apprunner:{region}:111122223333:vpcconnector/shop/1/{}", "0".repeat(32));
        SharedFailure::AppRunner(arn.parse::<ConnectorArn>().unwrap().account_region().clone())
    }

    #[test]
    fn a_shared_failure_is_logged_when_it_begins_and_when_it_ends() {
        let mut log = Log::default();
        assert_eq!(log.ends(0, &SharedFailure::Credentials, OPERATOR), [], "it never began");
        assert!(log.begins(1, &SharedFailure::Credentials, OPERATOR, "Unreachable"));
        for at in 2..600 {
            assert!(!log.begins(at, &SharedFailure::Credentials, OPERATOR, "Unreachable"), "second {at}");
        }
        assert_eq!(log.ends(600, &SharedFailure::Credentials, OPERATOR), [(None, 599)]);
        assert_eq!(log.ends(601, &SharedFailure::Credentials, OPERATOR), []);
        assert!(log.begins(900, &SharedFailure::Credentials, OPERATOR, "Unreachable"), "another time");
    }

    #[test]
    fn each_kind_of_a_shared_failure_is_logged_once() {
        let mut log = Log::default();
        let kinds = ["NoCredentials", "CredentialsRejected", "NoCredentials", "WrongClock", "CredentialsRejected"];
        let logged: Vec<_> = kinds
            .into_iter()
            .zip(0..)
            .map(|(kind, at)| log.begins(at, &SharedFailure::Credentials, OPERATOR, kind))
            .collect();
        assert_eq!(logged, [true, true, false, true, false]);
        assert_eq!(log.ends(9, &SharedFailure::Credentials, OPERATOR).len(), 1);
    }

    #[test]
    fn the_kind_of_a_failure_does_not_depend_on_the_call() {
        use Operation::{DeleteVpcConnector, GetCallerIdentity, ResolveCredentials};
        let kind = |operation, class, message: &str| kind(&Failure::new(operation, class, "Code", message));
        let rejected = ErrorClass::CredentialsRejected;
        for operation in [DeleteVpcConnector, GetCallerIdentity] {
            assert_eq!(kind(operation, rejected, "expired"), "CredentialsRejected");
            assert_eq!(kind(operation, ErrorClass::Unreachable, ""), "Unreachable");
        }
        assert_eq!(kind(ResolveCredentials, rejected, ""), "Code", "AWS was not called");
        for operation in [DeleteVpcConnector, GetCallerIdentity, ResolveCredentials] {
            assert_eq!(kind(operation, rejected, "Signature expired: 1"), "WrongClock");
        }
    }

    #[test]
    fn a_shared_failure_ends_when_it_affects_no_object() {
        let mut log = Log::default();
        assert!(log.begins(0, &SharedFailure::ApiServer, "a", "ApiServer"));
        assert!(!log.begins(1, &SharedFailure::ApiServer, "b", "ApiServer"));
        assert_eq!(log.ends(2, &SharedFailure::ApiServer, "a"), []);
        assert_eq!(log.ends(2, &SharedFailure::ApiServer, "c"), [], "it was not affected");
        assert!(!log.begins(3, &SharedFailure::ApiServer, "c", "ApiServer"));
        assert_eq!(log.ends(4, &SharedFailure::ApiServer, "b"), []);
        assert_eq!(log.ends(5, &SharedFailure::ApiServer, "c"), [(Some(2), 5)]);
    }

    #[test]
    fn an_intermittent_failure_is_logged_once_a_minute_and_a_lasting_one_after_that() {
        let mut log = Log::default();
        let (mut begun, mut ended) = (0, 0);
        for at in 0..300 {
            begun += u32::from(log.begins(at, &SharedFailure::ApiServer, "a", "ApiServer"));
            ended += log.ends(at, &SharedFailure::ApiServer, "a").len();
        }
        assert_eq!((begun, ended), (5, 5));
        assert!(!log.begins(299, &SharedFailure::ApiServer, "a", "ApiServer"), "logged at 240");
        assert!(log.begins(300, &SharedFailure::ApiServer, "a", "ApiServer"), "it lasts");
        assert_eq!(log.ends(310, &SharedFailure::ApiServer, "a"), [(Some(1), 11)]);
    }

    #[test]
    fn each_region_has_its_own_incident_and_sts_continues_that_of_app_runner() {
        let (here, there, rejected) = (app_runner("us-east-1"), app_runner("eu-west-1"), "CredentialsRejected");
        let mut log = Log::default();
        assert!(log.begins(0, &here, OPERATOR, rejected));
        assert!(log.begins(0, &there, OPERATOR, "Unreachable"));
        assert!(!log.begins(1, &SharedFailure::Credentials, OPERATOR, rejected), "the same failure, from STS");
        assert!(log.begins(2, &SharedFailure::Credentials, OPERATOR, "WrongClock"), "another kind");
        assert!(
            log.begins(2, &SharedFailure::Credentials, OPERATOR, "Unreachable"),
            "STS is another service than App Runner"
        );
        assert_eq!(log.ends(3, &SharedFailure::Credentials, OPERATOR), [(None, 3)]);
        assert_eq!(log.ends(4, &here, OPERATOR), [], "it ended with the other");
        assert_eq!(log.ends(5, &there, OPERATOR), [(None, 5)]);
    }

    #[test]
    fn a_failure_that_was_not_reported_for_an_hour_is_forgotten() {
        let mut log = Log::default();
        let hour = FORGET_AFTER.as_secs();
        assert!(log.begins(0, &SharedFailure::ApiServer, "a", "ApiServer"));
        assert!(!log.begins(hour - 1, &SharedFailure::ApiServer, "a", "ApiServer"));
        assert!(log.begins(2 * hour, &SharedFailure::ApiServer, "b", "ApiServer"));
        assert_eq!(log.ends(2 * hour + 1, &SharedFailure::ApiServer, "b"), [(Some(1), 1)]);
        assert!(log.begins(4 * hour, &SharedFailure::Credentials, OPERATOR, "Unreachable"));
        assert_eq!(log.0.len(), 1, "the others are forgotten");
    }

    #[test]
    fn an_object_is_in_one_wrong_account_incident_at_a_time() {
        let incidents = Incidents::default();
        let affecting = |uid: &str| {
            let all = lock(&incidents.all);
            let by = all.iter().filter(|(_, it)| it.affected.contains(&uid.into())).map(|(shared, _)| shared.clone());
            by.collect::<Vec<_>>()
        };
        incidents.note_wrong_account("a", Some("of account 1"));
        assert_eq!(affecting("a"), [SharedFailure::WrongAccount("of account 1".into())]);
        incidents.note_wrong_account("a", Some("of account 2"));
        assert_eq!(affecting("a"), [SharedFailure::WrongAccount("of account 2".into())]);
        incidents.begin(&SharedFailure::ApiServer, "a", "ApiServer", "no answer");
        incidents.note_wrong_account("a", None);
        assert_eq!(affecting("a"), [SharedFailure::ApiServer], "another shared failure");
        incidents.forget("a");
        assert_eq!(affecting("a"), []);
    }
}
