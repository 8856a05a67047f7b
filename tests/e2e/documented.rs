//! The commands of the docs, as they are printed.
//!
//! A command block after the comment `<!-- run: quickstart -->` is run here: the ones of the quickstart from its second step on,
//! then those of other pages while its operator runs, at last the quickstart's end. A page prints what a reader types, so the
//! blocks of a page are one script, with the variables of the blocks before.

use std::fs;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::release::RELEASE;
use crate::world::{CHECKOUT, World, helm, image, run, scenario};

/// The pages whose commands run while the operator of the quickstart runs.
const PAGES: [&str; 1] = ["docs/operations/runbook.md"];
const QUICKSTART: &str = "docs/quickstart-kind.md";
/// The pages that print the commands for EKS.
const ON_EKS: [&str; 2] = ["README.md", "docs/install/eks.md"];

pub fn scenarios() -> Vec<Trial> {
    vec![
        scenario("documented", the_quickstart_works_as_printed),
        Trial::test("documented-eks", || {
            the_commands_for_eks_render_the_chart();
            Ok(())
        }),
    ]
}

async fn the_quickstart_works_as_printed(world: &World) {
    let quickstart = blocks(QUICKSTART, "quickstart");
    assert!(quickstart.len() > 7, "{}", quickstart.len());
    let printed = script(world, &quickstart.concat());
    for shown in ["storefront", "InUse", "INACTIVE", "legacy"] {
        assert!(printed.contains(shown), "the quickstart does not show {shown}: {printed}");
    }
    let state = ["get", "--raw", "/api/v1/namespaces/apprunner-system/pods/app-runner:8787/proxy/_emulator/state"];
    let state: Value = serde_json::from_str(&world.kubectl(&state)).unwrap();
    let connectors = state["regions"][0]["connectors"].as_array().unwrap();
    let status = |name| connectors.iter().find(|it| it["name"] == name).unwrap()["status"].clone();
    assert_eq!((status("shop-egress"), status("legacy")), ("INACTIVE".into(), "ACTIVE".into()));
    for page in PAGES {
        let commands = blocks(page, "quickstart");
        assert!(!commands.is_empty(), "{page} has no command to run");
        script(world, &commands.concat());
    }
    script(world, &blocks(QUICKSTART, "quickstart-end").concat());
    world.kubectl(&["delete", "crd", "vpcconnectors.apprunner-operator.dev"]);
    world.kubectl(&["delete", "namespace", "shop", "apprunner-system", "--wait=false"]);
}

/// With stand-ins for the AWS CLI, skopeo and make, and with `helm template` in place of `helm install`: the values are
/// accepted, and the Deployment has the image that was pushed.
fn the_commands_for_eks_render_the_chart() {
    let archive = image(RELEASE).unwrap_or_else(|missing| panic!("{missing}"));
    let tools = devcluster::Tools::find().unwrap_or_else(|error| panic!("{error}"));
    let directory = std::env::temp_dir().join(format!("documented-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let pushed = directory.join("pushed");
    let stand_ins = format!(
        "aws() {{ case $1 in sts) echo 111122223333;; ecr) echo password;; cloudformation) test -f \"${{8}}\";; esac; }}\n\
         skopeo() {{ case $1 in login) grep -q password;; copy) test \"$2\" = docker-archive:target/image/{RELEASE}.tar && \
         echo \"${{3#docker://}}\" >{pushed};; esac; }}\n\
         make() {{ test -f {archive}; }}\n\
         helm() {{ shift; {helm} template \"$@\"; }}\n",
        pushed = pushed.display(),
        archive = archive.display(),
        helm = helm(tools.directory()).display(),
    );
    for page in ON_EKS {
        let commands = blocks(page, "stub: eks");
        let [commands] = commands.as_slice() else { panic!("{page} has {} blocks", commands.len()) };
        let script = format!("set -euo pipefail\n{stand_ins}{commands}");
        let rendered = run(Command::new("bash").args(["-c", &script]).current_dir(CHECKOUT));
        let image = fs::read_to_string(&pushed).unwrap();
        assert!(image.starts_with("111122223333.dkr.ecr.us-east-1.amazonaws.com/"), "{image}");
        let runs = |line: &str| line.contains("image:") && line.contains(image.trim());
        assert!(rendered.lines().any(runs), "{page}: no pod runs {image}");
    }
    fs::remove_dir_all(directory).unwrap();
}

/// The command blocks of a page that are marked with this word.
fn blocks(page: &str, mark: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(CHECKOUT).join(page)).unwrap();
    let mark = if mark.contains(": ") { format!("<!-- {mark} -->\n") } else { format!("<!-- run: {mark} -->\n") };
    let marked = text.split(&mark).skip(1).map(|rest| {
        let lines = rest.lines().skip_while(|line| line.is_empty());
        let block = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
        block.map(|line| line.strip_prefix("    ").unwrap_or_default().to_owned() + "\n").collect::<String>()
    });
    marked.inspect(|block| assert!(!block.trim().is_empty(), "{page}: no command block after {mark}")).collect()
}

/// Runs commands in the checkout's root as a reader does, with kubectl and Helm of the tests; returns what they print.
fn script(world: &World, commands: &str) -> String {
    let directory = world.cluster.tools().directory();
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap_or_default());
    let mut bash = world.cluster.client(Path::new("bash"));
    bash.args(["-c", &format!("set -euo pipefail\n{commands}")]).env("PATH", path).current_dir(CHECKOUT);
    run(&mut bash)
}
