//! The files of an image: the program, and the system files that it needs.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::elf;

/// Path at which rustls looks for the certificate authorities on any Linux.
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";
/// Without this file glibc asks DNS before `/etc/hosts`, and so ignores a pod's `hostAliases`.
const NAME_SERVICES: (&str, &str) = ("etc/nsswitch.conf", "hosts: files dns\n");

/// A file of an image.
pub(crate) struct File {
    /// Its path, without the leading slash.
    pub(crate) path: String,
    /// Its contents.
    pub(crate) contents: Vec<u8>,
    /// True for a program, which gets mode 755.
    pub(crate) executable: bool,
}

impl File {
    fn plain(path: &str, contents: &str) -> Self {
        Self { path: path.to_owned(), contents: contents.as_bytes().to_vec(), executable: false }
    }

    /// File mode; the user that runs the image owns none of its files.
    pub(crate) fn mode(&self) -> u32 {
        if self.executable { 0o755 } else { 0o644 }
    }

    /// Writes the file below a directory that acts as the root.
    pub(crate) fn write_into(&self, root: &Path) -> Result<(), String> {
        let place = root.join(&self.path);
        let lay = || {
            fs::create_dir_all(place.parent().unwrap_or(root))?;
            fs::write(&place, &self.contents)?;
            fs::set_permissions(&place, fs::Permissions::from_mode(self.mode()))
        };
        lay().map_err(|error: std::io::Error| format!("writing {}: {error}", place.display()))
    }
}

/// The files of a program's image, and the processor that runs it.
pub(crate) fn of(program: &Path) -> Result<(Vec<File>, &'static str), String> {
    let failed = |why: String| format!("{}: {why}", program.display());
    let contents = fs::read(program).map_err(|error| failed(error.to_string()))?;
    let architecture = elf::architecture_of(&contents).map_err(failed)?;
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let program = File { path: name.into_owned(), contents, executable: true };
    let (path, services) = NAME_SERVICES;
    Ok((vec![program, File::plain(path, services), File::plain(AUTHORITIES, &authorities())], architecture))
}

/// Mozilla's certificate authorities as pinned in Cargo.lock, independent of the machine that builds.
fn authorities() -> String {
    let mut bundle = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        bundle.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = STANDARD.encode(certificate);
        for line in encoded.as_bytes().chunks(64) {
            // Writing to a string cannot fail, and base64 is text.
            let _ = writeln!(bundle, "{}", String::from_utf8_lossy(line));
        }
        bundle.push_str("-----END CERTIFICATE-----\n");
    }
    bundle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_bundle_contains_the_authorities() {
        let bundle = authorities();
        let begun = bundle.matches("-----BEGIN CERTIFICATE-----\nMII").count();
        assert!(begun > 100 && begun == bundle.matches("\n-----END CERTIFICATE-----\n").count(), "{begun}");
        assert!(bundle.lines().all(|line| line.len() <= 64));
    }

    #[test]
    fn any_user_can_run_the_program_and_change_no_file() {
        let root = std::env::temp_dir().join(format!("image-files-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let program = root.join("operator");
        fs::write(&program, elf::tests::program(62, 1)).unwrap();
        for file in of(&program).unwrap().0 {
            file.write_into(&root).unwrap();
            let mode = fs::metadata(root.join(&file.path)).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, if file.path == "operator" { 0o755 } else { 0o644 }, "{}", file.path);
        }
        fs::remove_dir_all(root).unwrap();
    }
}
