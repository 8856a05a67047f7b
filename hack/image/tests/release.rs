//! The version, and the scripts that make images and releases of it; these run in a copy of the checkout.
#![allow(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const CHART: &str = "charts/apprunner-operator/Chart.yaml";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The tracked files that match these patterns, with their text.
fn tracked(patterns: &[&str]) -> Vec<(String, String)> {
    let listed = Command::new("git").args(["ls-files", "--"]).args(patterns).current_dir(root()).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed.lines().map(|name| (name.to_owned(), fs::read_to_string(root().join(name)).unwrap_or_default())).collect()
}

#[test]
fn cargo_and_the_chart_have_one_version() {
    let chart = fs::read_to_string(root().join(CHART)).unwrap();
    for field in ["version", "appVersion"] {
        assert!(chart.lines().any(|line| line == format!("{field}: {VERSION}")), "{CHART}: {field} is not {VERSION}");
    }
}

/// A release changes these places by hand; the tag of an image that nobody builds any more would fail at the user's.
#[test]
fn printed_images_have_the_version_as_their_tag() {
    let mut found = 0;
    for (name, text) in tracked(&["*.md", "*.yaml", ":!CHANGELOG.md"]) {
        for mark in ["apprunner-operator:", "apprunner-emulator:", "IMAGE_TAG="] {
            for (at, _) in text.match_indices(mark) {
                let tag =
                    text[at + mark.len()..].split(|c: char| !c.is_ascii_alphanumeric() && c != '.').next().unwrap();
                if tag.starts_with(|c: char| c.is_ascii_digit()) {
                    assert_eq!(tag.trim_end_matches('.'), VERSION, "{name}: {mark}{tag}");
                    found += 1;
                }
            }
        }
    }
    assert!(found > 3, "{found}");
}

/// A repository with the files of this checkout in one commit, as they are now.
struct Checkout(PathBuf);

impl Checkout {
    fn new(name: &str) -> Self {
        let copy = Self(std::env::temp_dir().join(format!("scripts-{name}-{}", std::process::id())));
        fs::create_dir_all(&copy.0).unwrap();
        let script = "git ls-files -z --cached --others --exclude-standard -- ':!fuzz' | \
            tar --create --null --files-from=- --ignore-failed-read | tar --extract --directory=\"$0\"";
        let copied = Command::new("bash").args(["-c", script]).arg(&copy.0).current_dir(root()).status().unwrap();
        assert!(copied.success());
        copy.git(&["init", "--quiet"]);
        copy.commit();
        copy
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        for inherited in ["IMAGE_TAG", "IMAGE_TARGET", "IMAGE_OUT", "ARCHITECTURES", "GIT_DIR", "GIT_INDEX_FILE"] {
            command.env_remove(inherited);
        }
        command.args(arguments).current_dir(&self.0).output().unwrap()
    }

    fn git(&self, arguments: &[&str]) {
        let output = self.run("git", arguments);
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        let author = ["-c", "user.name=tests", "-c", "user.email=tests@example.com", "-c", "commit.gpgsign=false"];
        self.git(&[&author[..], &["commit", "--quiet", "--message", "tests"]].concat());
    }

    fn change(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.0.join(path)).unwrap();
        assert!(text.contains(from), "{path} has no {from}");
        fs::write(self.0.join(path), text.replacen(from, to, 1)).unwrap();
    }

    fn tag(&self) -> String {
        let output = self.run("hack/image/build", &["tag"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The reason why there can be no release of this version.
    fn refusal(&self, version: &str) -> String {
        let output = self.run("hack/release/build", &["check", version]);
        assert!(!output.status.success(), "{version} is accepted");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Gives the changelog a heading for this version, with one entry.
    fn add_entry(&self) {
        let release =
            format!("## [Unreleased]\n\n## [{VERSION}] - 2026-01-31\n\n### Added\n\n- An entry.\n\n## [0.0.1]\n");
        self.change("CHANGELOG.md", "## [Unreleased]\n", &release);
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn different_contents_never_share_a_tag() {
    let copy = Checkout::new("tag");
    let commit = String::from_utf8(copy.run("git", &["rev-parse", "HEAD"]).stdout).unwrap();
    let clean = copy.tag();
    assert_eq!(clean, format!("{VERSION}-{}", &commit[..12]));

    copy.change("README.md", "# ", "# A ");
    let changed = copy.tag();
    assert!(changed.starts_with(&format!("{clean}-dirty-")), "{changed}");
    copy.git(&["add", "README.md"]);
    assert_eq!(copy.tag(), changed, "the index decides nothing");

    fs::write(copy.0.join("new.rs"), "one").unwrap();
    let one = copy.tag();
    fs::write(copy.0.join("new.rs"), "two").unwrap();
    let two = copy.tag();
    assert!(changed != one && one != two && changed != two, "{changed} {one} {two}");
    fs::remove_file(copy.0.join("new.rs")).unwrap();
    assert_eq!(copy.tag(), changed);

    copy.git(&["checkout", "--quiet", "HEAD", "README.md"]);
    fs::create_dir(copy.0.join("target")).unwrap();
    fs::write(copy.0.join("target/ignored"), "").unwrap();
    assert_eq!(copy.tag(), clean);
    let set = Command::new(copy.0.join("hack/image/build")).arg("tag").env("IMAGE_TAG", "mine").output().unwrap();
    assert_eq!(String::from_utf8(set.stdout).unwrap(), "mine\n");
}

#[test]
fn a_release_needs_one_version_everywhere_an_entry_and_a_clean_checkout() {
    let copy = Checkout::new("release");
    assert!(copy.refusal("9.9.9").contains(&format!("the version in Cargo.toml is {VERSION}, and not 9.9.9")));

    for field in ["version", "appVersion"] {
        copy.change(CHART, &format!("\n{field}: {VERSION}\n"), &format!("\n{field}: 9.9.9\n"));
        let refusal = copy.refusal(VERSION);
        assert!(refusal.contains(&format!("{field} in {CHART} is 9.9.9, and not {VERSION}")), "{refusal}");
        copy.git(&["checkout", "--quiet", CHART]);
    }

    let unreleased = "# Changelog\n\n## [Unreleased]\n\n- Not released.\n\n## [0.0.1]\n\n- Old.\n";
    fs::write(copy.0.join("CHANGELOG.md"), unreleased).unwrap();
    copy.commit();
    let Output { stdout, stderr, .. } = copy.run("hack/release/build", &["notes", VERSION]);
    assert_eq!(String::from_utf8(stdout).unwrap().trim_end(), "- Not released.");
    let told = format!("no heading '## [{VERSION}] - YYYY-MM-DD': the notes are the entries below [Unreleased]");
    assert!(String::from_utf8(stderr).unwrap().contains(&told));
    let empty = format!("## [Unreleased]\n\n## [{VERSION}] - 2026-01-31\n\n## [0.0.1]\n");
    copy.change("CHANGELOG.md", "## [Unreleased]\n", &empty);
    let refusal = copy.refusal(VERSION);
    assert!(refusal.contains(&format!("CHANGELOG.md has no entries for {VERSION}")), "{refusal}");
    copy.git(&["checkout", "--quiet", "CHANGELOG.md"]);

    copy.add_entry();
    let refusal = copy.refusal(VERSION);
    assert!(refusal.contains("there are changes that are not committed"), "{refusal}");

    copy.commit();
    let checked = copy.run("hack/release/build", &["check", VERSION]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let notes = copy.run("hack/release/build", &["notes", VERSION]);
    assert_eq!(String::from_utf8(notes.stdout).unwrap().trim_end(), "### Added\n\n- An entry.");
    assert!(!copy.0.join("dist").exists());
}

#[test]
fn an_architecture_that_is_named_and_cannot_be_built_is_refused() {
    let copy = Checkout::new("architecture");
    copy.add_entry();
    copy.commit();
    let mut release = Command::new("hack/release/build");
    release.arg(VERSION).env("ARCHITECTURES", "s390x").current_dir(&copy.0);
    let output = release.output().unwrap();
    assert!(!output.status.success());
    let refusal = String::from_utf8(output.stderr).unwrap();
    assert!(refusal.contains("the architecture s390x is not known; known are amd64 and arm64"), "{refusal}");
}

#[test]
fn a_file_that_tells_where_it_was_made_fails_the_check() {
    let copy = Checkout::new("check");
    let check = |writes: &str| {
        let command = format!("mkdir -p dist && {writes} >dist/file");
        copy.run("hack/release/check", &["dist", "bash", "-c", &command])
    };
    let same = check("git rev-parse HEAD");
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stderr));
    for writes in ["pwd", "stat --format=%a README.md"] {
        let other = check(writes);
        assert!(!other.status.success(), "{writes}");
        let why = String::from_utf8(other.stderr).unwrap();
        assert!(why.contains("the two checkouts gave different files dist/file"), "{why}");
    }
}
