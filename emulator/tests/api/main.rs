//! The emulator as AWS's own Rust SDK sees it, and as those see it who steer it.

#[cfg(test)]
mod behaviors;
#[cfg(test)]
mod binary;
#[cfg(test)]
mod connectors;
#[cfg(test)]
mod control;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod helpers;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod services;
#[cfg(test)]
mod signatures;
#[cfg(test)]
mod tags;
