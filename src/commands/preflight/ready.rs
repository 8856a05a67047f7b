//! `apprunner-operator preflight ready`: checks that an installed operator works. `helm test` runs it.
//!
//! The check reads the metrics of the operator through its Service, which sends requests to ready pods only. Then it finds out
//! the accounts of its own AWS credentials as the operator does: a pod of the same service account has the same credentials. The
//! metrics alone would not tell, because an operator without objects has not called AWS.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use http::Uri;
use http::uri::Authority;
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::causes::root_text;
use crate::cli::{IdentityArgs, ReadyArgs};
use crate::commands::report::{Identity, identities};

/// Time for a new operator to become ready, to lead and to get credentials.
const WITHIN: Duration = Duration::from_mins(1);
/// Interval between two tries. With two replicas, each try may reach another one.
const EVERY: Duration = Duration::from_secs(1);
/// Time for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Far more than the metrics of the operator.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Why the operator does not work.
#[derive(Debug, thiserror::Error)]
pub enum ReadyError {
    /// The process could not be set up.
    #[error("setting up the process: {0}")]
    Process(std::io::Error),
    /// The result could not be printed.
    #[error("printing the result: {0}")]
    Print(std::io::Error),
    /// No ready operator answered, or none leads.
    #[error(
        "no operator works at {address}: {why}. Look at its pods (`kubectl get pods`) and at its log (`kubectl logs`)"
    )]
    NotReady {
        /// The address that was called.
        address: Authority,
        /// The result of the last try.
        why: String,
    },
    /// The operator's own credentials cannot be used, or those of some accounts.
    #[error(
        "{0} of the AWS accounts cannot be used. The own credentials come from an EKS Pod Identity association of the service \
         account, from its role for IRSA (aws.roleArn), or from a Secret (aws.credentials.secretName); those of another account \
         need a role there that trusts the own one"
    )]
    Credentials(usize),
    /// The operator has no credentials, and this process has.
    #[error(
        "the operator has objects and no AWS credentials, although a new pod of its service account has: restart it with \
         `kubectl rollout restart deployment`, because a pod gets them when it is created"
    )]
    Restart,
}

/// The state of an operator, as its metrics have it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    leads: bool,
    credentials: bool,
    objects: u64,
    stalled: u64,
}

impl State {
    /// Reads metrics in the text format of `OpenMetrics`; `None` if they are not those of the operator.
    fn parse(metrics: &str) -> Option<Self> {
        let leads = sum(metrics, "apprunner_operator_leader")? > 0;
        let number = |name| sum(metrics, name).unwrap_or_default();
        Some(Self {
            leads,
            credentials: number("apprunner_operator_credentials_known") > 0,
            objects: number("apprunner_operator_objects"),
            stalled: number("apprunner_operator_stalled_objects"),
        })
    }

    /// An operator without objects calls AWS for none, and so does not know its credentials.
    fn lacks_credentials(&self) -> bool {
        self.objects > 0 && !self.credentials
    }
}

/// The sum of the samples of a gauge; `None` without a sample.
fn sum(metrics: &str, name: &str) -> Option<u64> {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = if rest.starts_with('{') { rest.rsplit_once("} ")?.1 } else { rest.strip_prefix(' ')? };
        value.parse::<u64>().ok()
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or_default().saturating_add(value)))
}

/// Checks the operator, then the credentials, and prints both.
pub fn ready(args: &ReadyArgs) -> Result<(), ReadyError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ReadyError::Process)?;
    let (state, found) = runtime.block_on(async {
        let state = wait(&args.address, WITHIN / args.aws.pace_divisor.max(1)).await?;
        let of_the_pod = IdentityArgs { accounts: args.accounts.clone(), ..IdentityArgs::default() };
        Ok::<_, ReadyError>((state, identities(&args.aws, &of_the_pod).await))
    })?;
    runtime.shutdown_background();
    std::io::stdout().write_all(render(&args.address, &state, &found).as_bytes()).map_err(ReadyError::Print)?;
    verdict(&state, &found)
}

fn verdict(state: &State, found: &[Identity]) -> Result<(), ReadyError> {
    match found.iter().filter(|identity| identity.problem.is_some()).count() {
        0 if state.lacks_credentials() => Err(ReadyError::Restart),
        0 => Ok(()),
        unusable => Err(ReadyError::Credentials(unusable)),
    }
}

/// Waits until an operator leads and has the credentials that it needs. After the time the last answer counts.
async fn wait(address: &Authority, within: Duration) -> Result<State, ReadyError> {
    let deadline = Instant::now() + within;
    loop {
        let read = scrape(address).await;
        let late = Instant::now() >= deadline;
        match read {
            Ok(state) if state.leads && (late || !state.lacks_credentials()) => return Ok(state),
            Ok(state) if late && !state.leads => {
                let why = "the replica that answers does not lead, and no other one did within the time".into();
                return Err(ReadyError::NotReady { address: address.clone(), why });
            }
            Err(why) if late => return Err(ReadyError::NotReady { address: address.clone(), why }),
            _ => tokio::time::sleep(EVERY.min(within)).await,
        }
    }
}

/// Reads the metrics over a new connection, so that a Service may choose another pod.
async fn scrape(address: &Authority) -> Result<State, String> {
    let uri = Uri::builder().scheme("http").authority(address.clone()).path_and_query("/metrics");
    let uri = uri.build().map_err(|error| error.to_string())?;
    let client = Client::builder(TokioExecutor::new()).build::<_, String>(HttpConnector::new());
    let read = async {
        let answer = client.get(uri).await.map_err(|error| root_text(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await.map_err(|error| root_text(&*error))?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        let state = State::parse(&text).filter(|_| status.is_success());
        state.ok_or_else(|| format!("it answers {status}, and not with the metrics of apprunner-operator"))
    };
    tokio::time::timeout(ANSWER_WITHIN, read).await.unwrap_or_else(|_| Err("no answer within 5 s".into()))
}

fn render(address: &Authority, state: &State, found: &[Identity]) -> String {
    let stalled = if state.stalled > 0 { format!("; {} stalled", state.stalled) } else { String::new() };
    let mut text =
        format!("The operator at {address} is ready and leads. VpcConnector objects: {}{stalled}.\n", state.objects);
    text += "AWS accounts of its service account:\n\n";
    for Identity { account, role, problem } in found {
        let account = account.as_ref().map_or("unknown", |account| account.as_str());
        let role = role.as_deref().unwrap_or("own credentials");
        // Writing to a string cannot fail.
        let _ = match problem {
            None => writeln!(text, "    {account:12}   {role}"),
            Some(problem) => writeln!(text, "    {account:12}   {role}: cannot be used: {problem}"),
        };
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# HELP apprunner_operator_leader 1 if this process leads, otherwise 0.\n\
                           apprunner_operator_leader 1\n\
                           apprunner_operator_objects{reason=\"InUse\"} 2\n\
                           apprunner_operator_objects{reason=\"Available\"} 3\n\
                           apprunner_operator_objects_of_another_kind 7\n\
                           apprunner_operator_stalled_objects 1\n\
                           apprunner_operator_credentials_known 0\n# EOF\n";

    fn identity(account: &str, problem: Option<&str>) -> Identity {
        Identity { account: account.parse().ok(), role: None, problem: problem.map(str::to_owned) }
    }

    #[test]
    fn the_state_is_in_the_metrics_of_an_operator_and_in_no_other_text() {
        let state = State::parse(METRICS).unwrap();
        assert_eq!(state, State { leads: true, credentials: false, objects: 5, stalled: 1 });
        for other in ["", "ok\n", "<html>", "process_cpu_seconds_total 1\n", "apprunner_operator_leader many\n"] {
            assert_eq!(State::parse(other), None, "{other}");
        }
    }

    #[test]
    fn an_operator_with_objects_needs_credentials() {
        let with = |objects, credentials| State { leads: true, credentials, objects, stalled: 0 };
        let usable = [identity("111122223333", None)];
        assert!(verdict(&with(0, false), &usable).is_ok() && verdict(&with(2, true), &usable).is_ok());
        assert!(matches!(verdict(&with(2, false), &usable), Err(ReadyError::Restart)));
        let some = [identity("111122223333", None), identity("444455556666", Some("IAM does not allow it"))];
        assert!(matches!(verdict(&with(2, false), &some), Err(ReadyError::Credentials(1))));
    }

    #[test]
    fn the_output_has_each_account_and_its_problem() {
        let found = [identity("111122223333", None), identity("none", Some("no source has credentials"))];
        let address = "operator.test:8080".parse().unwrap();
        let text = render(&address, &State::parse(METRICS).unwrap(), &found);
        let expected = "The operator at operator.test:8080 is ready and leads. VpcConnector objects: 5; 1 stalled.\n\
                        AWS accounts of its service account:\n\n    111122223333   own credentials\n    \
                        unknown        own credentials: cannot be used: no source has credentials\n\n";
        assert_eq!(text, expected);
    }
}
