//! The extent of a measurement, from variables.

use std::fmt::Display;
use std::str::FromStr;

use crate::Result;

/// Deletions of so few objects take milliseconds, so more of them are measured.
const FEW: usize = 10;
const MORE: usize = 5;

/// The parts to measure, and the deletions of the first of them.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) parts: Vec<String>,
    pub(crate) sizes: Vec<usize>,
    pub(crate) latencies: Vec<u64>,
    /// Numbers of objects for the memory.
    pub(crate) objects: Vec<usize>,
    runs: usize,
}

impl Plan {
    pub(crate) fn read() -> Result<Self> {
        Self::from(|name| std::env::var(name).ok())
    }

    fn from(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let read = |name, default: &str| (name, variable(name).unwrap_or_else(|| default.to_owned()));
        let runs = list::<usize>(read("RUNS", "3"))?;
        Ok(Self {
            parts: list(read("PARTS", "deletion,start,memory,in-use"))?,
            sizes: list(read("SIZES", "1,10,200,500,1000,5000"))?,
            latencies: list(read("LATENCIES", "0,50"))?,
            objects: list(read("OBJECTS", "1000,10000"))?,
            runs: runs.first().copied().unwrap_or_default(),
        })
    }

    pub(crate) fn runs_of(&self, objects: usize) -> usize {
        if objects <= FEW { self.runs * MORE } else { self.runs }
    }
}

fn list<T: FromStr<Err: Display>>((name, text): (&str, String)) -> Result<Vec<T>> {
    let words = text.split(',').map(str::trim);
    words.map(|word| word.parse().map_err(|error| format!("{name}={text}: {error}").into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_override_the_defaults() {
        let plan = Plan::from(|name| (name == "SIZES").then(|| "1, 200".to_owned())).unwrap();
        assert_eq!((plan.sizes.as_slice(), plan.latencies.as_slice()), ([1, 200].as_slice(), [0, 50].as_slice()));
        assert_eq!((plan.runs_of(1), plan.runs_of(200)), (15, 3));
        let error = Plan::from(|name| (name == "RUNS").then(|| "x".to_owned())).unwrap_err().to_string();
        assert!(error.starts_with("RUNS=x: "), "{error}");
    }
}
