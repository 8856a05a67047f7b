//! An operator whose wall clock is wrong, and is set while it works.
//!
//! libfaketime sets the operator's wall clock and leaves its monotonic clock alone, as NTP and administrators do. `make
//! e2e` runs these tests, because libfaketime comes from the distribution; `hack/e2e/packages` gets it.
#![allow(
    unreachable_pub,
    dead_code,
    unused_imports,
    reason = "the helpers are those of tests/operator, which uses more of them"
)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a failing test panics")]

#[path = "../operator/support/mod.rs"]
mod support;

use std::path::PathBuf;

use support::{ACCOUNT, REGION, World, message};

/// Sets the wall clock of one operator.
struct Clock {
    offset: PathBuf,
}

impl Clock {
    /// Gives the operators of a world a clock with this offset: "+1h", "-3m" or "+0".
    fn of(world: &mut World, offset: &str) -> Self {
        let clock = Self { offset: world.cluster.directory().join(format!("clock-of-{}", world.namespace)) };
        clock.set(offset);
        let variables = [
            ("LD_PRELOAD", library().to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", clock.offset.to_str().unwrap().to_owned()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        world.settings.environment.extend(variables.map(|(name, value)| (name.to_owned(), value)));
        clock
    }

    fn set(&self, offset: &str) {
        let new = self.offset.with_extension("new");
        std::fs::write(&new, offset).unwrap();
        std::fs::rename(new, &self.offset).unwrap();
    }
}

fn library() -> &'static str {
    const PLACES: [&str; 3] = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
        "/usr/lib/faketime/libfaketime.so.1",
    ];
    let found = PLACES.into_iter().find(|place| std::path::Path::new(place).exists());
    found.unwrap_or_else(|| panic!("libfaketime is missing; on Debian, hack/e2e/packages install (as root) gets it"))
}

#[tokio::test]
async fn clock_an_hour_off_is_reported_and_correcting_it_is_enough() {
    for offset in ["+1h", "-1h"] {
        let mut world = World::new().await;
        let clock = Clock::of(&mut world, offset);
        let _operator = world.operator();
        let arn = world.connector("shop");
        world.create("egress", &arn).await;
        let held = world.reason("egress", "CredentialsRejected").await;
        assert!(message(&held).contains("clock"), "{}", message(&held));
        clock.set("+0");
        world.reason("egress", "Available").await;
        world.delete("egress").await;
        world.until_deleted("egress").await;
        assert!(world.inactive(&arn));
    }
}

/// AWS tolerates a difference of three minutes, and three minutes are longer than any wait in a test.
#[tokio::test]
async fn setting_the_clock_during_a_wait_does_not_delay_the_deletion() {
    for offset in ["-3m", "+3m"] {
        let mut world = World::new().await;
        let clock = Clock::of(&mut world, "+0");
        let _operator = world.operator();
        let arn = world.claimed("egress").await;
        let service = world.emulator.create_service(ACCOUNT, REGION, "web", Some(&arn));
        world.delete("egress").await;
        world.reason("egress", "InUse").await;
        clock.set(offset);
        assert!(world.emulator.delete_service(&service));
        world.until_deleted("egress").await;
        assert!(world.inactive(&arn));
    }
}
