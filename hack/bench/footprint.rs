//! Footprint of an operator: time to its first claim, and memory.

use std::fs;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt, TryStreamExt};

use crate::test_bed::{Process, Result};
use crate::{available, create, reached, spread, test_bed};

const STARTS: usize = 10;
/// At the default rate limit the claims would take ten minutes; the rate does not change the results.
const FAST: [&str; 2] = ["--aws-rate=1000", "--aws-burst=1000"];
/// By then the process has returned memory that it needed only for a moment.
const SETTLED: Duration = Duration::from_secs(10);

pub(crate) async fn measure(objects: usize) -> Result {
    let (bed, api) = test_bed(STARTS + objects).await?;
    let idle = memory(&bed.start_operator(&FAST)?).await?;

    let mut took = Vec::new();
    for n in 0..STARTS {
        let (name, _) = create(&bed, &api, n).await?;
        let started = Instant::now();
        let _operator = bed.start_operator(&[])?;
        reached(&api, &name, available).await?;
        took.push(started.elapsed());
    }
    let [first, middle, last] = spread(took).map(|took| took.as_millis());
    println!("From the start of the process to the first object claimed, over {STARTS} starts:");
    println!("    minimum {first} ms, median {middle} ms, maximum {last} ms");

    let operator = bed.start_operator(&FAST)?;
    let claimed = stream::iter(STARTS..STARTS + objects).map(async |n| {
        let (name, _) = create(&bed, &api, n).await?;
        reached(&api, &name, available).await
    });
    claimed.buffer_unordered(20).try_collect::<()>().await?;
    println!("Resident memory of the operator (of that, its program): without objects {idle};");
    println!("    with {} objects, all claimed, {}", STARTS + objects, memory(&operator).await?);
    Ok(())
}

async fn memory(operator: &Process) -> Result<String> {
    tokio::time::sleep(SETTLED).await;
    let status = fs::read_to_string(format!("/proc/{}/status", operator.0.id()))?;
    let megabytes = |field: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("the kernel does not report it")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1000.0)
    };
    Ok(format!("{:.1} MB ({:.1} MB)", megabytes("VmRSS:")?, megabytes("RssFile:")?))
}
