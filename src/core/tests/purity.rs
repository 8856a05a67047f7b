use std::path::Path;

/// Tests, models and the running operator must execute the same function.
#[test]
fn the_core_uses_no_client_runtime_clock_or_randomness() {
    const FORBIDDEN: [&str; 13] = [
        "kube::Client",
        "kube::Api",
        "kube::runtime",
        "aws_sdk",
        "aws_config",
        "aws_smithy",
        "tokio",
        "Timestamp::now",
        "Instant",
        "SystemTime",
        "rand::",
        "std::fs",
        "std::net",
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core");
    let mut read = 0;
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(&file).unwrap();
        read += 1;
        for word in FORBIDDEN {
            assert!(!text.contains(word), "{} mentions {word}", file.display());
        }
    }
    assert!(read >= 8, "only {read} files were read");
}
