//! Access to the cluster: kubeconfigs, contexts and proxies, as kubectl handles them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::cluster::operator_user_on;
use crate::support::forward_proxy::{ForwardProxy, Kind};
use crate::support::operator::Operator;
use crate::support::{World, with_finalizer};

/// A name that no resolver knows: only a proxy can reach it.
const NAME: &str = "api.cluster.invalid";
/// Another way to write 127.0.0.1. Resolvers know it, but a comparison of names does not recognise it as an address.
const LOCAL_NAME: &str = "127.1";
/// An address of this machine that a comparison of addresses does not recognise as loopback.
const LOCAL_ADDRESS: &str = "0.0.0.0";

/// Exit code and complete output of a run.
pub struct RunOutput {
    pub code: Option<i32>,
    pub output: String,
}

impl RunOutput {
    pub fn assert_output(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.output);
        for word in words {
            assert!(self.output.contains(word), "{word:?} is missing in {}", self.output);
        }
    }

    fn assert_output_lacks(&self, word: &str) {
        assert!(!self.output.contains(word), "{word:?} is in {}", self.output);
    }
}

/// Runs the program as a subprocess, with these environment variables and no others.
pub async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> RunOutput {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apprunner-operator"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let output_text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    RunOutput { code: output.status.code(), output: output_text }
}

/// Runs `preflight uninstall`.
async fn check(kubeconfig: &Path, environment: &[(&str, &str)]) -> RunOutput {
    let kubeconfig = ("KUBECONFIG", kubeconfig.to_str().unwrap());
    run(&["preflight", "uninstall"], &[&[kubeconfig], environment].concat()).await
}

/// A kubeconfig for a user who reaches the cluster under this host name; `more` is merged into the cluster's entry.
fn user(world: &World, host: &str, more: &Value) -> PathBuf {
    let (_, path) = operator_user_on(&world.cluster);
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let cluster = config["clusters"][0]["cluster"].as_object_mut().unwrap();
    let (address, port) = address(world);
    cluster.insert("server".into(), json!(format!("https://{host}:{port}")));
    cluster.insert("tls-server-name".into(), json!(address));
    cluster.extend(more.as_object().unwrap().clone());
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

fn address(world: &World) -> (String, String) {
    let url = world.cluster.server_url();
    let (host, port) = url.strip_prefix("https://").unwrap().split_once(':').unwrap();
    (host.to_owned(), port.to_owned())
}

async fn forward_proxy(world: &World, kind: Kind) -> ForwardProxy {
    let (host, port) = address(world);
    ForwardProxy::start(kind, &format!("{host}:{port}")).await
}

/// A world with an object that blocks the uninstall, so that the output of a run shows whether it reached the cluster.
async fn world() -> World {
    let world = World::new().await;
    world.create_with("egress", &world.connector("conn-egress"), with_finalizer).await;
    world
}

const REACHED: &[&str] = &["egress", "would be stuck without the operator"];

#[tokio::test]
async fn proxy_of_the_environment_is_used_except_for_no_proxy() {
    let world = world().await;
    let proxy = forward_proxy(&world, Kind::Connect).await;
    let url = format!("http://{}", proxy.address);
    let port = address(&world).1;

    for variable in ["HTTPS_PROXY", "https_proxy"] {
        let before = proxy.asked().len();
        check(&user(&world, NAME, &json!({})), &[(variable, &url)]).await.assert_output(1, REACHED);
        assert_eq!(proxy.asked()[before..], [format!("{NAME}:{port}")], "{variable}");
    }

    for (host, no_proxy) in [
        (LOCAL_NAME, LOCAL_NAME),
        (LOCAL_ADDRESS, LOCAL_ADDRESS),
        (LOCAL_ADDRESS, "10.0.0.0/8, 0.0.0.0/8"),
        (LOCAL_ADDRESS, "*"),
    ] {
        let kubeconfig = user(&world, host, &json!({}));
        let before = proxy.asked().len();
        check(&kubeconfig, &[("HTTPS_PROXY", &url), ("NO_PROXY", no_proxy)]).await.assert_output(1, REACHED);
        check(&kubeconfig, &[("HTTPS_PROXY", &url), ("no_proxy", no_proxy)]).await.assert_output(1, REACHED);
        assert_eq!(proxy.asked().len(), before, "{host} {no_proxy}");
        // The proxy is used for the same server when `NO_PROXY` lists only other hosts.
        check(&kubeconfig, &[("HTTPS_PROXY", &url), ("NO_PROXY", "10.0.0.0/8,example.org")])
            .await
            .assert_output(1, REACHED);
        assert_eq!(proxy.asked()[before..], [format!("{host}:{port}")], "{host}");
    }
}

#[tokio::test]
async fn proxy_of_the_environment_is_not_used_for_a_local_cluster() {
    let world = world().await;
    let kubeconfig = operator_user_on(&world.cluster).1;
    let nowhere = ("HTTPS_PROXY", "http://127.0.0.1:9");
    check(&kubeconfig, &[nowhere, ("NO_PROXY", "127.0.0.1")]).await.assert_output(1, REACHED);
    check(&kubeconfig, &[nowhere]).await.assert_output(1, REACHED);
}

#[tokio::test]
async fn proxy_url_in_any_form_takes_precedence_over_the_environment() {
    let world = world().await;
    let port = address(&world).1;
    for (kind, scheme) in [
        (Kind::Connect, "http://"),
        (Kind::ConnectWithLogin, "http://me:p%40ss@"),
        (Kind::Socks, "socks5://"),
        (Kind::SocksWithLogin, "socks5://me:p%40ss@"),
    ] {
        let proxy = forward_proxy(&world, kind).await;
        let proxy_url = json!({"proxy-url": format!("{scheme}{}", proxy.address)});
        let environment = [("HTTPS_PROXY", "http://127.0.0.1:9"), ("NO_PROXY", "*")];
        check(&user(&world, NAME, &proxy_url), &environment).await.assert_output(1, REACHED);
        assert_eq!(proxy.asked(), [format!("{NAME}:{port}")], "{kind:?}");
    }
}

#[tokio::test]
async fn failing_proxy_is_named_with_its_error_and_without_its_password() {
    let world = world().await;
    for (kind, scheme, words) in [
        (Kind::ConnectWithLogin, "http://me:guessed@", "it asks for a login"),
        (Kind::SocksWithLogin, "socks5://me:nono@", "SOCKS error: "),
    ] {
        let proxy = forward_proxy(&world, kind).await;
        let proxy_url = json!({"proxy-url": format!("{scheme}{}", proxy.address)});
        let ran = check(&user(&world, NAME, &proxy_url), &[]).await;
        let named = format!("through the proxy {} (proxy-url in the kubeconfig): ", proxy.address);
        ran.assert_output(1, &["no answer from the API server", &named, words]);
        ran.assert_output_lacks("guessed");
        ran.assert_output_lacks("nono");
    }
    let refusing = forward_proxy(&world, Kind::Refusing).await;
    let proxy_url = json!({"proxy-url": format!("http://{}", refusing.address)});
    check(&user(&world, NAME, &proxy_url), &[]).await.assert_output(1, &["it refuses to connect to the API server"]);
    // Nothing listens at this address.
    let proxy_url = json!({"proxy-url": "socks5://127.0.0.1:9"});
    check(&user(&world, NAME, &proxy_url), &[])
        .await
        .assert_output(1, &["through the proxy 127.0.0.1:9", "cannot be reached"]);
    let closed = check(&user(&world, NAME, &json!({})), &[("HTTPS_PROXY", "http://127.0.0.1:9")]).await;
    closed.assert_output(1, &["through the proxy 127.0.0.1:9 (HTTPS_PROXY): ", "refused"]);

    // The deadline of a connection is 3 s, that of a call 10 s.
    let silent = forward_proxy(&world, Kind::Silent).await;
    let begun = Instant::now();
    let proxy_url = json!({"proxy-url": format!("http://{}", silent.address)});
    check(&user(&world, NAME, &proxy_url), &[]).await.assert_output(1, &["no connection: "]);
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    assert_eq!(silent.asked().len(), 1);
}

#[tokio::test]
async fn operator_and_report_work_through_a_proxy() {
    let world = World::new().await;
    let arn = world.connector("conn-egress");
    world.create("egress", &arn).await;
    let proxy = forward_proxy(&world, Kind::Socks).await;
    let kubeconfig = user(&world, NAME, &json!({"proxy-url": format!("socks5://{}", proxy.address)}));
    let operator = Operator::start_as(("operator".into(), kubeconfig.clone()), &world.settings);
    world.reason("egress", "Available").await;
    // The client reuses one connection for several calls.
    let connections = proxy.asked().len();
    assert!((1..=8).contains(&connections), "{connections}");

    let environment = [
        ("AWS_ENDPOINT_URL", world.settings.endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", &world.settings.access_key.0),
        ("AWS_SECRET_ACCESS_KEY", &world.settings.access_key.1),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let arguments = ["report", "--regions=us-east-1", "--kubeconfig", kubeconfig.to_str().unwrap()];
    let managed = format!("{}/egress", world.namespace);
    run(&arguments, &environment).await.assert_output(0, &[&managed]);

    world.delete("egress").await;
    world.until_deleted("egress").await;
    assert!(world.inactive(&arn));
    drop(operator);
}

#[tokio::test]
async fn kubeconfig_and_context_are_chosen_as_kubectl_chooses_them() {
    let world = world().await;
    let proxy = forward_proxy(&world, Kind::Connect).await;
    let good = operator_user_on(&world.cluster).1;
    let mut config: Value = serde_json::from_slice(&std::fs::read(&good).unwrap()).unwrap();
    let mut far = config["clusters"][0].clone();
    far["name"] = json!("far");
    far["cluster"]["proxy-url"] = json!(format!("http://{}", proxy.address));
    config["clusters"].as_array_mut().unwrap().push(far);
    let user = config["users"][0]["name"].clone();
    let context = json!({"name": "far", "context": {"cluster": "far", "user": user}});
    config["contexts"].as_array_mut().unwrap().push(context);
    let both = good.with_extension("both");
    std::fs::write(&both, config.to_string()).unwrap();
    let (good, both) = (good.to_str().unwrap(), both.to_str().unwrap());
    let preflight = |arguments: &[&'static str]| [&["preflight", "uninstall"], arguments].concat();

    run(&[&preflight(&[])[..], &["--kubeconfig", good]].concat(), &[("KUBECONFIG", "/nowhere/config")])
        .await
        .assert_output(1, REACHED);
    assert!(proxy.asked().is_empty());
    run(&preflight(&["--context=far"]), &[("KUBECONFIG", both)]).await.assert_output(1, REACHED);
    assert_eq!(proxy.asked().len(), 1);
    // Missing files in a list of several are ignored.
    run(&preflight(&[]), &[("KUBECONFIG", &format!("/nowhere/config:{good}"))]).await.assert_output(1, REACHED);
}

#[tokio::test]
async fn unusable_kubeconfig_is_reported_with_its_cause_and_no_other_advice() {
    let world = World::new().await;
    let good = operator_user_on(&world.cluster).1;
    let at = |name: &str, content: &str| {
        let path = good.with_extension(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let config: Value = serde_json::from_slice(&std::fs::read(&good).unwrap()).unwrap();
    let changed = |pointer: &str, value: Value| {
        let mut config = config.clone();
        *config.pointer_mut(pointer).unwrap() = value;
        config.to_string()
    };
    let cluster = json!({"server": "https://127.0.0.1:1", "proxy-url": "socks4://bastion:1080"});
    let cases: [(Vec<&str>, String, &str); 7] = [
        (vec![], "/nowhere/config".into(), "/nowhere/config"),
        (
            vec!["--kubeconfig=/nowhere/else"],
            String::new(),
            "the kubeconfig /nowhere/else can't be used: there is no such file",
        ),
        (vec!["--context=moon"], at("good", &config.to_string()), "it has no context \"moon\""),
        (vec![], at("bad", "clusters: [secret-key"), "failed to parse kubeconfig YAML"),
        (vec![], at("none", &changed("/current-context", Value::Null)), "it has no current-context"),
        (vec![], at("lost", &changed("/clusters/0/name", json!("other"))), "it has no cluster \"devcluster\""),
        (vec![], at("socks4", &changed("/clusters/0/cluster", cluster)), "its scheme is socks4"),
    ];
    for (arguments, kubeconfig, cause) in cases {
        let environment = [
            ("KUBECONFIG", kubeconfig.as_str()),
            ("HOME", "/nowhere"),
            ("AWS_ENDPOINT_URL", &world.settings.endpoint),
            ("AWS_ACCESS_KEY_ID", &world.settings.access_key.0),
            ("AWS_SECRET_ACCESS_KEY", &world.settings.access_key.1),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        // A report prints what it could read in AWS all the same.
        for (command, code) in [(&["preflight", "uninstall"][..], 1), (&["report", "--regions=us-east-1"], 0)] {
            let ran = run(&[command, &arguments].concat(), &environment).await;
            ran.assert_output(code, &[cause]);
            ran.assert_output_lacks("--no-hooks");
            ran.assert_output_lacks("secret-key");
        }
    }
}
