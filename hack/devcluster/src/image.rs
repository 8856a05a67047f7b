//! Images that contain only one program, as archives in Docker's format.
//!
//! Such an archive is a tar with two JSON files and a layer; the same program gives the same bytes.

use std::{fs, path::Path};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::Error;

/// The image that containerd starts in every pod to keep the pod's namespaces open.
pub(crate) const PAUSE: &str = "localhost/pause:1";

const BLOCK: usize = 512;
/// A tar ends with two empty blocks.
const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Writes an image called `name` to `archive`. It contains only the statically linked program, at `/program`.
pub fn write_image(archive: &Path, name: &str, program: &Path) -> Result<(), Error> {
    let contents = fs::read(program).map_err(Error::io(format!("read {}", program.display())))?;
    let mut layer = Vec::new();
    append(&mut layer, "program", 0o755, &contents);
    layer.extend(END);
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": { "Entrypoint": ["/program"], "User": "65532:65532" },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))] },
    })
    .to_string();
    let config_name = format!("{}.json", digest(config.as_bytes()));
    let manifest = json!([{ "Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"] }]).to_string();

    let mut image = Vec::new();
    append(&mut image, "manifest.json", 0o644, manifest.as_bytes());
    append(&mut image, &config_name, 0o644, config.as_bytes());
    append(&mut image, "layer.tar", 0o644, &layer);
    image.extend(END);
    fs::write(archive, image).map_err(Error::writing(archive))
}

/// The processor's name as images use it, which is Go's name.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Appends a file to a tar, owned by root and with the timestamp 0.
fn append(tar: &mut Vec<u8>, name: &str, mode: u32, contents: &[u8]) {
    let mut header = [0; BLOCK];
    let mut put = |offset: usize, text: &str| header[offset..offset + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", contents.len()));
    put(136, "00000000000");
    // The checksum is computed with its own field filled with spaces.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    tar.extend(header);
    tar.extend(contents);
    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn image_archive_is_a_reproducible_tar() {
        let directory = std::env::temp_dir().join(format!("dc-image-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let [program, archive, again] = ["program", "one.tar", "two.tar"].map(|name| directory.join(name));
        fs::write(&program, "not quite a block").unwrap();

        write_image(&archive, "localhost/any:1", &program).unwrap();
        write_image(&again, "localhost/any:1", &program).unwrap();

        let script = r#"tar -xOf "$0" layer.tar | tar -tvf -; tar -xOf "$0" layer.tar | tar -xOf - program"#;
        let output = Command::new("sh").args(["-c", script]).arg(&archive).output().unwrap();
        let listed = String::from_utf8_lossy(&output.stdout);
        assert!(listed.starts_with("-rwxr-xr-x 0/0 ") && listed.ends_with("program\nnot quite a block"), "{listed}");
        assert_eq!(fs::read(&archive).unwrap(), fs::read(&again).unwrap());
        fs::remove_dir_all(&directory).unwrap();
    }
}
