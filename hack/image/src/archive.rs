//! Packs the files as an OCI image, in an archive that also reads as one of `docker save`.
//!
//! Source: OCI Image Format Specification 1.1 (`oci-layout`, `index.json`, `blobs/`), and Docker's archive of images
//! (`manifest.json`). A reader of one format ignores the files of the other.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::WriteArgs;
use crate::files::File;

/// User nobody, as a number: Kubernetes cannot tell from a name that the user is not root.
const USER: &str = "65532:65532";

/// An image: three blobs, each known by its digest.
pub(crate) struct Image {
    name: String,
    created: u32,
    layer: Blob,
    config: Blob,
    manifest: Blob,
}

struct Blob {
    bytes: Vec<u8>,
    digest: String,
}

impl Blob {
    fn of(bytes: Vec<u8>) -> Self {
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        Self { bytes, digest }
    }

    fn json(value: &Value) -> Self {
        Self::of(value.to_string().into_bytes())
    }

    fn path(&self) -> String {
        format!("blobs/{}", self.digest.replace(':', "/"))
    }

    fn descriptor(&self, kind: &str) -> Value {
        let media = format!("application/vnd.oci.image.{kind}");
        json!({"mediaType": media, "digest": self.digest, "size": self.bytes.len()})
    }
}

impl Image {
    /// Packs files into an image with the arguments' name, labels and user.
    pub(crate) fn of(files: &[File], architecture: &str, args: &WriteArgs) -> io::Result<Self> {
        let program = args.program.file_name().unwrap_or_default().to_string_lossy();
        let layer = Blob::of(tar_of(files, args.created)?);
        let created = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(args.created.into());
        let config = Blob::json(&json!({
            "architecture": architecture,
            "os": "linux",
            "created": created.to_string(),
            "config": {
                "User": USER,
                "Entrypoint": [format!("/{program}")],
                "Env": args.environment,
                "Labels": labels(args, &program),
            },
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
            "history": [{"created": created.to_string(), "created_by": "make image"}],
        }));
        let manifest = Blob::json(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.descriptor("config.v1+json"),
            "layers": [layer.descriptor("layer.v1.tar")],
        }));
        Ok(Self { name: args.name.clone(), created: args.created, layer, config, manifest })
    }

    /// The digest under which a registry would store the image.
    pub(crate) fn digest(&self) -> &str {
        &self.manifest.digest
    }

    /// Packs it into an archive.
    pub(crate) fn archive(&self) -> io::Result<Vec<u8>> {
        let mut files: Vec<File> =
            [&self.layer, &self.config, &self.manifest].map(|blob| plain(blob.path(), blob.bytes.clone())).into();
        let layout = json!({"imageLayoutVersion": "1.0.0"});
        for (path, value) in [("index.json", self.index()), ("manifest.json", self.docker()), ("oci-layout", layout)] {
            files.push(plain(path.to_owned(), value.to_string().into_bytes()));
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        tar_of(&files, self.created)
    }

    /// containerd reads the name from the first annotation, others from the second.
    fn index(&self) -> Value {
        let tag = self.name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        let mut manifest = self.manifest.descriptor("manifest.v1+json");
        manifest["annotations"] =
            json!({"io.containerd.image.name": self.name, "org.opencontainers.image.ref.name": tag});
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [manifest],
        })
    }

    fn docker(&self) -> Value {
        json!([{"Config": self.config.path(), "RepoTags": [self.name], "Layers": [self.layer.path()]}])
    }
}

fn labels(args: &WriteArgs, title: &str) -> Value {
    let mut labels = json!({
        "org.opencontainers.image.title": title,
        "org.opencontainers.image.description": args.description,
        "org.opencontainers.image.version": args.version,
        "org.opencontainers.image.revision": args.revision,
        "org.opencontainers.image.licenses": "Apache-2.0",
    });
    if let Some(source) = &args.source {
        labels["org.opencontainers.image.source"] = json!(source);
    }
    labels
}

fn plain(path: String, contents: Vec<u8>) -> File {
    File { path, contents, executable: false }
}

/// A tar of these files and their directories: owned by root, with one timestamp, and without any data of the machine.
fn tar_of(files: &[File], time: u32) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut directories = BTreeSet::new();
    for file in files {
        let mut above: Vec<&Path> = Path::new(&file.path).ancestors().skip(1).collect();
        above.retain(|directory| !directory.as_os_str().is_empty());
        for directory in above.into_iter().rev() {
            if directories.insert(directory) {
                let mut header = header(tar::EntryType::Directory, 0o755, 0, time);
                tar.append_data(&mut header, format!("{}/", directory.display()), io::empty())?;
            }
        }
        let mut header = header(tar::EntryType::Regular, file.mode(), file.contents.len() as u64, time);
        tar.append_data(&mut header, &file.path, file.contents.as_slice())?;
    }
    tar.into_inner()
}

fn header(kind: tar::EntryType, mode: u32, size: u64, time: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(time.into());
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::io::Read;

    fn args() -> WriteArgs {
        WriteArgs {
            program: "/somewhere/target/operator".into(),
            name: "localhost/operator:1.2.3".into(),
            description: "an operator".into(),
            version: "1.2.3".into(),
            revision: "0123abc".into(),
            source: None,
            created: 1_700_000_000,
            environment: vec!["A=B".into()],
            out: "unused".into(),
        }
    }

    fn image() -> Image {
        let program = File { path: "operator".into(), contents: b"program".to_vec(), executable: true };
        Image::of(&[program, plain("etc/ssl/certs/authorities".into(), b"trust".to_vec())], "amd64", &args()).unwrap()
    }

    fn entries(tar: &[u8]) -> Vec<(String, u32, u64, Vec<u8>)> {
        let mut archive = tar::Archive::new(tar);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents).unwrap();
            let (path, header) = (entry.path().unwrap().display().to_string(), entry.header());
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0), "{path}");
            (path, header.mode().unwrap(), header.mtime().unwrap(), contents)
        });
        entries.collect()
    }

    fn parsed(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        entries(archive).into_iter().map(|(path, _, _, contents)| (path, contents)).collect()
    }

    #[test]
    fn layer_has_the_files_their_directories_and_one_timestamp() {
        let layer = entries(&image().layer.bytes);
        let told: Vec<_> = layer.iter().map(|(path, mode, time, _)| (path.as_str(), *mode, *time)).collect();
        let time = 1_700_000_000;
        let expected = [
            ("operator", 0o755, time),
            ("etc/", 0o755, time),
            ("etc/ssl/", 0o755, time),
            ("etc/ssl/certs/", 0o755, time),
            ("etc/ssl/certs/authorities", 0o644, time),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn oci_and_docker_readers_find_the_same_image() {
        let image = image();
        let files = parsed(&image.archive().unwrap());
        let json = |path: &str| -> Value { serde_json::from_slice(&files[path]).unwrap() };
        let docker = &json("manifest.json")[0];
        assert_eq!(docker["RepoTags"], json!(["localhost/operator:1.2.3"]));
        let index = &json("index.json")["manifests"][0];
        assert_eq!(index["digest"], image.digest());
        assert_eq!(index["annotations"]["io.containerd.image.name"], "localhost/operator:1.2.3");
        let manifest = json(&image.manifest.path());
        let place = |digest: &Value| format!("blobs/{}", digest.as_str().unwrap().replace(':', "/"));
        assert_eq!(docker["Config"], place(&manifest["config"]["digest"]));
        assert_eq!(docker["Layers"][0], place(&manifest["layers"][0]["digest"]));
        for (path, contents) in files.iter().filter(|(path, _)| path.starts_with("blobs/sha256/") && path.len() > 13) {
            assert!(path.ends_with(&hex::encode(Sha256::digest(contents))), "{path} is not named after what it holds");
        }
    }

    #[test]
    fn image_config_sets_the_user_the_program_and_the_labels() {
        let image = image();
        let config: Value = serde_json::from_slice(&image.config.bytes).unwrap();
        assert_eq!(config["created"], "2023-11-14T22:13:20Z");
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["config"]["Entrypoint"], json!(["/operator"]));
        assert_eq!(config["config"]["Env"], json!(["A=B"]));
        let labels = &config["config"]["Labels"];
        for (label, value) in [("title", "operator"), ("version", "1.2.3"), ("licenses", "Apache-2.0")] {
            assert_eq!(labels[format!("org.opencontainers.image.{label}")], value);
        }
    }

    #[test]
    fn same_files_give_the_same_image() {
        assert_eq!(image().archive().unwrap(), image().archive().unwrap());
    }
}
