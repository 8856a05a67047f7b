//! Tests of the emulator through the AWS SDK for Rust, the control API and the handle.

#[cfg(test)]
mod behaviors;
#[cfg(test)]
mod binary;
#[cfg(test)]
mod configurations;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod connectors;
#[cfg(test)]
mod control;
#[cfg(test)]
mod corruption;
#[cfg(test)]
mod custom_domains;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod helpers;
#[cfg(test)]
mod ingress_connections;
#[cfg(test)]
mod refused_connections;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod services;
#[cfg(test)]
mod signatures;
#[cfg(test)]
mod tags;
