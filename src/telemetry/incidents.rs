//! Troubles that many objects share, logged once when they begin and once when they are over.
//!
//! The conditions of each object say what holds it. If every failed attempt of every object were also logged, an outage
//! would fill the log. So whoever meets a trouble that is not one object's alone reports it here, each time, in the words
//! of the conditions: the first report becomes a warning, repeated ones only a debug line, and when nobody has the trouble
//! any more, one line says that it is over.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::api::Reason;
use crate::clock;
use crate::core::arn::AccountRegion;
use crate::core::clock::Moment;
use crate::core::error_class::ErrorClass;
use crate::core::intervals::millis;
use crate::core::outcome::{Failure, Operation};
use crate::core::wait::{explain, is_of_clock};
use crate::sync::lock;

/// A trouble that comes and goes is not logged again before this time has passed.
const LOG_AGAIN: Duration = Duration::from_mins(1);
/// A trouble that was not met for this long is over, though nobody has reported its end.
const FORGET_AFTER: Duration = Duration::from_hours(1);
/// Who has a trouble that is the whole operator's.
pub(crate) const OPERATOR: &str = "";

/// What may go wrong for many objects at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// There are no credentials, or STS does not say whose they are.
    Credentials,
    /// STS can't be asked, so the account that the credentials carry is believed.
    UnconfirmedAccount,
    /// App Runner of an account and region rejects the credentials, or does not answer.
    AppRunner(AccountRegion),
    /// The operator acts for another account or other regions than objects name; the words of their conditions.
    WrongAccount(String),
    /// The API server does not answer.
    ApiServer,
    /// The API server refuses writes to objects.
    WriteRefused,
}

/// The troubles that last, and those that were logged a short time ago.
#[derive(Default)]
pub struct Incidents {
    all: Mutex<HashMap<Trouble, Incident>>,
}

#[derive(Default)]
struct Incident {
    began: Moment,
    met: Moment,
    /// Who has the trouble; it is over once nobody has it.
    parties: HashSet<String>,
    /// How many had it at once.
    most: usize,
    /// When each kind of it was last logged.
    logged: HashMap<String, Moment>,
    /// The kind that was last logged, and its words.
    kind: String,
    words: String,
}

/// The end of an incident that was logged.
#[derive(Debug, PartialEq, Eq)]
struct Over {
    trouble: Trouble,
    /// How many objects had it at once, if it was the trouble of objects.
    objects: Option<usize>,
    lasted: Duration,
    kind: String,
    words: String,
}

impl Trouble {
    /// The account and the region where it is, if it is in one only.
    fn place(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::AppRunner(AccountRegion { account, region }) => (Some(account.as_str()), Some(region.as_str())),
            _ => (None, None),
        }
    }
}

impl Incidents {
    /// Takes note of a failed call that is the whole operator's trouble.
    pub fn failed(&self, trouble: &Trouble, failure: &Failure) {
        self.begin(trouble, OPERATOR, &kind(failure), &explain(failure));
    }

    /// Takes note that the API server did not answer a call that somebody needs.
    pub fn no_answer(&self, party: &str, verb: &str, message: &str) {
        let words = format!("the API server does not answer; what needs it is tried again: {verb}: {message}");
        self.begin(&Trouble::ApiServer, party, "ApiServer", &words);
    }

    /// Takes note that somebody has a trouble; another kind of it is worth another line.
    pub fn begin(&self, trouble: &Trouble, party: &str, kind: &str, words: &str) {
        let log = note(&mut lock(&self.all), trouble, (party, kind, words), clock::now().moment);
        let (account, region) = trouble.place();
        if log {
            warn!(trouble = kind, account, region, "{words}");
        } else {
            debug!(trouble = kind, account, region, "still: {words}");
        }
    }

    /// Takes note that the whole operator does not have a trouble, or not any more.
    pub fn over(&self, trouble: &Trouble) {
        self.end(trouble, OPERATOR);
    }

    /// Takes note that somebody does not have a trouble, or not any more.
    pub fn end(&self, trouble: &Trouble, party: &str) {
        self.leave(party, |other| other == trouble);
    }

    /// Takes note of the words that hold an object because of its account or region, if any do.
    pub fn held(&self, uid: &str, words: Option<&str>) {
        let now = words.map(|words| Trouble::WrongAccount(words.to_owned()));
        self.leave(uid, |other| matches!(other, Trouble::WrongAccount(_)) && Some(other) != now.as_ref());
        if let (Some(trouble), Some(words)) = (now, words) {
            self.begin(&trouble, uid, "WrongAccount", words);
        }
    }

    /// Takes note that an object is gone, and with it whatever trouble it had.
    pub fn gone(&self, uid: &str) {
        self.leave(uid, |_| true);
    }

    fn leave(&self, party: &str, which: impl Fn(&Trouble) -> bool) {
        let over = leave(&mut lock(&self.all), party, which, clock::now().moment);
        for Over { trouble, objects, lasted, kind, words } in over {
            let (account, region) = trouble.place();
            info!(trouble = kind, account, region, objects, lasted_ms = millis(lasted), "over: {words}");
        }
    }
}

impl Incident {
    fn lasts(&self) -> bool {
        !self.parties.is_empty()
    }

    /// Whether this kind was logged since the trouble began.
    fn has_logged(&self, kind: &str) -> bool {
        self.logged.get(kind).is_some_and(|at| *at >= self.began)
    }
}

/// Whether this is to be logged.
fn note(
    all: &mut HashMap<Trouble, Incident>,
    trouble: &Trouble,
    (party, kind, words): (&str, &str, &str),
    now: Moment,
) -> bool {
    all.retain(|_, it| now.since(it.met) < if it.lasts() { FORGET_AFTER } else { LOG_AGAIN });
    if *trouble == Trouble::Credentials
        && kind != Reason::Unreachable.to_string()
        && let Some(logged) = rejected_by_app_runner(all, kind)
    {
        all.insert(Trouble::Credentials, logged);
    }
    let it = all.entry(trouble.clone()).or_default();
    if !it.lasts() {
        (it.began, it.most) = (now, 0);
    }
    it.met = now;
    it.parties.insert(party.to_owned());
    it.most = it.most.max(it.parties.len());
    let recently = it.logged.get(kind).is_some_and(|at| now.since(*at) < LOG_AGAIN);
    let log = !recently && !it.has_logged(kind);
    if log {
        it.logged.insert(kind.to_owned(), now);
        (it.kind, it.words) = (kind.to_owned(), words.to_owned());
    }
    log
}

/// The incidents that are over now that somebody does not have these troubles any more.
fn leave(
    all: &mut HashMap<Trouble, Incident>,
    party: &str,
    which: impl Fn(&Trouble) -> bool,
    now: Moment,
) -> Vec<Over> {
    let mut over = Vec::new();
    for (trouble, it) in all.iter_mut().filter(|(trouble, _)| which(trouble)) {
        let ended = it.parties.remove(party) && !it.lasts();
        if ended && it.has_logged(&it.kind) {
            let objects = (party != OPERATOR).then_some(it.most);
            let (trouble, lasted) = (trouble.clone(), now.since(it.began));
            over.push(Over { trouble, objects, lasted, kind: it.kind.clone(), words: it.words.clone() });
        }
    }
    over
}

/// Where App Runner rejected credentials that STS then rejects as well, it is the same trouble, and is logged already.
fn rejected_by_app_runner(all: &mut HashMap<Trouble, Incident>, kind: &str) -> Option<Incident> {
    let same = |trouble: &Trouble, it: &mut Incident| {
        matches!(trouble, Trouble::AppRunner(_)) && it.lasts() && it.has_logged(kind)
    };
    all.extract_if(same).map(|(_, it)| it).min_by_key(|it| it.began)
}

/// What makes two failures the same trouble, whichever call they are of.
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

    /// The troubles, and what would be logged at each second.
    #[derive(Default)]
    struct Log(HashMap<Trouble, Incident>);

    impl Log {
        fn begins(&mut self, at: u64, trouble: &Trouble, party: &str, kind: &str) -> bool {
            note(&mut self.0, trouble, (party, kind, "words"), second(at))
        }

        /// For each incident that is over: how many objects had it, and for how many seconds.
        fn ends(&mut self, at: u64, trouble: &Trouble, party: &str) -> Vec<(Option<usize>, u64)> {
            let over = leave(&mut self.0, party, |other| other == trouble, second(at));
            assert!(over.iter().all(|it| it.trouble == *trouble && it.words == "words"), "{over:?}");
            over.into_iter().map(|it| (it.objects, it.lasted.as_secs())).collect()
        }
    }

    fn second(at: u64) -> Moment {
        Moment::new(Duration::from_secs(at))
    }

    fn app_runner(region: &str) -> Trouble {
        let arn = format!("arn:aws:apprunner:{region}:111122223333:vpcconnector/shop/1/{}", "0".repeat(32));
        Trouble::AppRunner(arn.parse::<ConnectorArn>().unwrap().account_region())
    }

    #[test]
    fn a_trouble_is_logged_when_it_begins_and_when_it_is_over() {
        let mut log = Log::default();
        assert_eq!(log.ends(0, &Trouble::Credentials, OPERATOR), [], "what never began");
        assert!(log.begins(1, &Trouble::Credentials, OPERATOR, "Unreachable"));
        for at in 2..600 {
            assert!(!log.begins(at, &Trouble::Credentials, OPERATOR, "Unreachable"), "second {at}");
        }
        assert_eq!(log.ends(600, &Trouble::Credentials, OPERATOR), [(None, 599)]);
        assert_eq!(log.ends(601, &Trouble::Credentials, OPERATOR), []);
        assert!(log.begins(900, &Trouble::Credentials, OPERATOR, "Unreachable"), "another time");
    }

    #[test]
    fn another_kind_of_it_is_logged_once() {
        let mut log = Log::default();
        let kinds = ["NoCredentials", "CredentialsRejected", "NoCredentials", "WrongClock", "CredentialsRejected"];
        let logged: Vec<_> = kinds
            .into_iter()
            .zip(0..)
            .map(|(kind, at)| log.begins(at, &Trouble::Credentials, OPERATOR, kind))
            .collect();
        assert_eq!(logged, [true, true, false, true, false]);
        assert_eq!(log.ends(9, &Trouble::Credentials, OPERATOR).len(), 1);
    }

    #[test]
    fn the_same_trouble_is_of_the_same_kind_whichever_call_it_strikes() {
        use Operation::{DeleteVpcConnector, GetCallerIdentity, ResolveCredentials};
        let kind = |operation, class, message: &str| kind(&Failure::new(operation, class, "Code", message));
        let rejected = ErrorClass::CredentialsRejected;
        for operation in [DeleteVpcConnector, GetCallerIdentity] {
            assert_eq!(kind(operation, rejected, "expired"), "CredentialsRejected");
            assert_eq!(kind(operation, ErrorClass::Unreachable, ""), "Unreachable");
        }
        assert_eq!(kind(ResolveCredentials, rejected, ""), "Code", "AWS has no part in it");
        for operation in [DeleteVpcConnector, GetCallerIdentity, ResolveCredentials] {
            assert_eq!(kind(operation, rejected, "Signature expired: 1"), "WrongClock");
        }
    }

    #[test]
    fn it_lasts_as_long_as_any_object_has_it() {
        let mut log = Log::default();
        assert!(log.begins(0, &Trouble::ApiServer, "a", "ApiServer"));
        assert!(!log.begins(1, &Trouble::ApiServer, "b", "ApiServer"));
        assert_eq!(log.ends(2, &Trouble::ApiServer, "a"), []);
        assert_eq!(log.ends(2, &Trouble::ApiServer, "c"), [], "it never had it");
        assert!(!log.begins(3, &Trouble::ApiServer, "c", "ApiServer"));
        assert_eq!(log.ends(4, &Trouble::ApiServer, "b"), []);
        assert_eq!(log.ends(5, &Trouble::ApiServer, "c"), [(Some(2), 5)]);
    }

    #[test]
    fn one_that_comes_and_goes_is_logged_once_a_minute_and_one_that_stays_after_it() {
        let mut log = Log::default();
        let (mut begun, mut ended) = (0, 0);
        for at in 0..300 {
            begun += u32::from(log.begins(at, &Trouble::ApiServer, "a", "ApiServer"));
            ended += log.ends(at, &Trouble::ApiServer, "a").len();
        }
        assert_eq!((begun, ended), (5, 5));
        assert!(!log.begins(299, &Trouble::ApiServer, "a", "ApiServer"), "told at 240");
        assert!(log.begins(300, &Trouble::ApiServer, "a", "ApiServer"), "it stays");
        assert_eq!(log.ends(310, &Trouble::ApiServer, "a"), [(Some(1), 11)]);
    }

    #[test]
    fn each_region_has_its_own_and_what_sts_confirms_is_logged_already() {
        let (here, there, rejected) = (app_runner("us-east-1"), app_runner("eu-west-1"), "CredentialsRejected");
        let mut log = Log::default();
        assert!(log.begins(0, &here, OPERATOR, rejected));
        assert!(log.begins(0, &there, OPERATOR, "Unreachable"));
        assert!(!log.begins(1, &Trouble::Credentials, OPERATOR, rejected), "the same, by way of STS");
        assert!(log.begins(2, &Trouble::Credentials, OPERATOR, "WrongClock"), "something else");
        assert!(
            log.begins(2, &Trouble::Credentials, OPERATOR, "Unreachable"),
            "STS is another service than App Runner"
        );
        assert_eq!(log.ends(3, &Trouble::Credentials, OPERATOR), [(None, 3)]);
        assert_eq!(log.ends(4, &here, OPERATOR), [], "it was over with the other");
        assert_eq!(log.ends(5, &there, OPERATOR), [(None, 5)]);
    }

    #[test]
    fn what_nobody_has_met_for_an_hour_is_forgotten() {
        let mut log = Log::default();
        let hour = FORGET_AFTER.as_secs();
        assert!(log.begins(0, &Trouble::ApiServer, "a", "ApiServer"));
        assert!(!log.begins(hour - 1, &Trouble::ApiServer, "a", "ApiServer"));
        assert!(log.begins(2 * hour, &Trouble::ApiServer, "b", "ApiServer"));
        assert_eq!(log.ends(2 * hour + 1, &Trouble::ApiServer, "b"), [(Some(1), 1)]);
        assert!(log.begins(4 * hour, &Trouble::Credentials, OPERATOR, "Unreachable"));
        assert_eq!(log.0.len(), 1, "the others take no memory any more");
    }

    #[test]
    fn an_object_is_held_with_the_words_of_the_moment_only() {
        let incidents = Incidents::default();
        let held = |uid: &str| {
            let all = lock(&incidents.all);
            let by = all.iter().filter(|(_, it)| it.parties.contains(uid)).map(|(trouble, _)| trouble.clone());
            by.collect::<Vec<_>>()
        };
        incidents.held("a", Some("of account 1"));
        assert_eq!(held("a"), [Trouble::WrongAccount("of account 1".into())]);
        incidents.held("a", Some("of account 2"));
        assert_eq!(held("a"), [Trouble::WrongAccount("of account 2".into())]);
        incidents.begin(&Trouble::ApiServer, "a", "ApiServer", "no answer");
        incidents.held("a", None);
        assert_eq!(held("a"), [Trouble::ApiServer], "that is another trouble");
        incidents.gone("a");
        assert_eq!(held("a"), []);
    }
}
