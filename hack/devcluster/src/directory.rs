//! The directory of one cluster; a sweeper removes it when the last process that uses it has ended.

use std::{
    env,
    fs::{DirBuilder, OpenOptions},
    hash::{BuildHasher, Hasher, RandomState},
    io::{PipeWriter, Write, pipe},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf, absolute},
    process::{Child, Stdio},
    time::Duration,
};

use crate::{
    Error,
    process::{shell, wait},
};

const SWEPT_WITHIN: Duration = Duration::from_secs(20);

/// A directory that only its owner may enter, and the sweeper that removes it.
pub(crate) struct Directory {
    path: PathBuf,
    keep: bool,
    sweeper: Child,
    share: Option<PipeWriter>,
}

impl Directory {
    /// Creates a new directory among the system's temporary files.
    pub(crate) fn create(keep: bool) -> Result<Self, Error> {
        let parent = absolute(env::temp_dir()).map_err(Error::io("tell where temporary files go"))?;
        let path = parent.join(format!("devcluster-{:016x}", random()));
        DirBuilder::new().mode(0o700).create(&path).map_err(Error::io(format!("create {}", path.display())))?;
        let (end, share) = pipe().map_err(Error::io("make a pipe"))?;
        let sweeper = shell(include_str!("sweep.sh"))
            .arg(&path)
            .arg(if keep { "keep" } else { "remove" })
            .stdin(end)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::io("start a shell"))?;
        Ok(Self { path, keep, sweeper, share: Some(share) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory's unique name; the cluster's cgroups have the same name.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// A pipe end that keeps the directory as long as a process holds it; passed as standard output, to which the
    /// process writes nothing.
    pub(crate) fn share(&self) -> Result<Stdio, Error> {
        let share = self.share.as_ref().map(PipeWriter::try_clone).transpose();
        Ok(share.map_err(Error::io("share a pipe"))?.map_or_else(Stdio::null, Stdio::from))
    }

    /// Writes a new file that only its owner may read.
    pub(crate) fn write(&self, name: &str, contents: &str) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(contents.as_bytes())).map_err(Error::writing(&path))?;
        Ok(path)
    }

    /// Creates a subdirectory.
    pub(crate) fn create_inner(&self, name: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        DirBuilder::new().mode(0o700).create(&path).map_err(Error::io(format!("create {}", path.display())))
    }

    /// Drops this process's share and waits until the sweeper has finished.
    pub(crate) fn release(&mut self) -> Result<(), Error> {
        drop(self.share.take());
        let swept = wait(&mut self.sweeper, SWEPT_WITHIN).is_some();
        if swept && (self.keep || !self.path.exists()) {
            Ok(())
        } else {
            Err(Error::LeftBehind { directory: self.path.clone(), within: SWEPT_WITHIN })
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Drop cannot return an error; `DevCluster::stop` can.
        let _ = self.release();
    }
}

/// A random number; its only source of randomness is the standard library's hash keys.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
