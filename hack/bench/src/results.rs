//! The results, in a file that later runs of other parts add to.

use std::hash::{DefaultHasher, Hasher};
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::deletion::Run;
use crate::memory::{Footprint, Restart};
use crate::process::Memory;
use crate::start::Starts;
use crate::{Result, bed};

/// Everything that was measured of one operator.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Results {
    pub(crate) operator: Measured,
    pub(crate) deletions: Vec<Run>,
    pub(crate) starts: Option<Starts>,
    pub(crate) idle: Option<Memory>,
    /// Seconds from the start to the last of ten claims, with the default rate limit.
    pub(crate) ten_claims_s: Option<f64>,
    /// Ten accounts, eleven regions, ten connectors in each.
    pub(crate) accounts: Option<Footprint>,
    pub(crate) footprints: Vec<Footprint>,
    pub(crate) restart: Option<Restart>,
    /// Seconds from the release of each connector to its deletion.
    pub(crate) in_use: Vec<f64>,
}

/// The measured program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) version: String,
    pub(crate) bytes: u64,
    hash: u64,
}

impl Results {
    /// Reads the results so far of this operator; those of another one are discarded.
    pub(crate) fn load() -> Result<Self> {
        let operator = Measured::read()?;
        let earlier = std::fs::read(file()?).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        let same = earlier.filter(|earlier| earlier.operator == operator);
        Ok(same.unwrap_or_else(|| Self { operator, ..Self::default() }))
    }

    pub(crate) fn save(&self) -> Result {
        Ok(std::fs::write(file()?, serde_json::to_string_pretty(self)?)?)
    }

    pub(crate) fn forget_deletions(&mut self, objects: usize, latency_ms: u64) {
        self.deletions.retain(|run| (run.objects, run.latency_ms) != (objects, latency_ms));
    }
}

impl Measured {
    fn read() -> Result<Self> {
        let path = bed::program()?;
        let output = Command::new(&path).arg("--version").output()?;
        let bytes = std::fs::read(&path)?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        Ok(Self {
            version: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            bytes: bytes.len() as u64,
            hash: hasher.finish(),
        })
    }
}

fn file() -> Result<PathBuf> {
    Ok(bed::results()?.join("results.json"))
}
