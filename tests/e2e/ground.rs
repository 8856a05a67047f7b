//! That the ground bears: what every other scenario takes for granted.

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;
use libtest_mimic::Trial;
use tokio::net::TcpStream;

use crate::world::{World, image, scenario};

pub fn scenarios() -> Vec<Trial> {
    vec![
        scenario("network", the_test_the_emulator_and_the_only_node_are_in_one_network),
        scenario("helm", helm_installs_into_the_cluster_and_takes_it_back),
        Trial::test("missing-image", || {
            an_image_that_is_not_built_is_named_with_what_to_do();
            Ok(())
        }),
    ]
}

async fn the_test_the_emulator_and_the_only_node_are_in_one_network(world: &World) {
    let nodes = Api::<Node>::all(world.client.clone()).list(&ListParams::default()).await.unwrap();
    assert_eq!(nodes.items.len(), 1);

    TcpStream::connect(world.emulator.address()).await.unwrap();
    assert_eq!(world.endpoint, format!("http://apprunner.test:{}", world.emulator.address().port()));
}

async fn helm_installs_into_the_cluster_and_takes_it_back(world: &World) {
    let chart = world.cluster.directory().join("stand-in");
    let chart = chart.to_str().unwrap();
    world.helm(&["create", chart]);
    world.helm(&["install", "released", chart, "--set", "replicaCount=0"]);

    assert_eq!(world.helm(&["list", "--short"]), "released\n");
    let service = ["get", "service", "released-stand-in", "--output=name"];
    assert_eq!(world.kubectl(&service), "service/released-stand-in\n");

    world.helm(&["uninstall", "released", "--wait"]);
    assert_eq!(world.kubectl(&["get", "services", "--output=name"]), "");
}

fn an_image_that_is_not_built_is_named_with_what_to_do() {
    let message = image("nobody").unwrap_err();
    assert!(message.ends_with("target/image/nobody.tar is missing: make image"), "{message}");
}
