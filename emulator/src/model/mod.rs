//! The emulated App Runner without HTTP: resources and their rules.

pub(crate) mod account_region;
pub(crate) mod arn;
pub(crate) mod behaviors;
pub(crate) mod clock;
pub(crate) mod configuration;
pub(crate) mod connection;
pub(crate) mod connector;
pub(crate) mod custom_domain;
pub(crate) mod ids;
pub(crate) mod ingress_connection;
pub(crate) mod pages;
pub(crate) mod rate_limit;
pub(crate) mod region;
pub(crate) mod service;
pub(crate) mod tags;
pub(crate) mod views;
