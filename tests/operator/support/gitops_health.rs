//! Health of an object in Argo CD, and in tools that follow kstatus.
//!
//! Both look only at the object itself, as the API server returns it. The core's tests use this file as well, for
//! states that are hard to bring about.

use mlua::{Lua, LuaOptions, LuaSerdeExt, SerializeOptions, StdLib, Table};
use serde_json::Value;

/// The health check that users install.
const HEALTH: &str = include_str!("../../../examples/argocd/health.lua");

/// Argo CD's health values, as far as a check may return them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Healthy,
    Suspended,
    Progressing,
    Degraded,
}

/// The results of kstatus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kstatus {
    Current,
    InProgress,
    Failed,
    Terminating,
    NotFound,
}

/// The health that Argo CD shows: it runs no check on an object that is being deleted.
pub(crate) fn argo(object: &Value) -> (Health, String) {
    if object["metadata"]["deletionTimestamp"].is_null() {
        checked(object)
    } else {
        (Health::Progressing, "Pending deletion".to_owned())
    }
}

/// The result of our health check, run with only the base library, as Argo CD runs it.
pub(crate) fn checked(object: &Value) -> (Health, String) {
    let lua = Lua::new_with(StdLib::TABLE, LuaOptions::default()).unwrap();
    let absent = SerializeOptions::new().serialize_none_to_null(false).serialize_unit_to_null(false);
    lua.globals().set("obj", lua.to_value_with(object, absent).unwrap()).unwrap();
    let verdict: Table = lua.load(HEALTH).set_name("health.lua").eval().unwrap();
    let status: String = verdict.get("status").unwrap();
    let health = match status.as_str() {
        "Healthy" => Health::Healthy,
        "Suspended" => Health::Suspended,
        "Progressing" => Health::Progressing,
        "Degraded" => Health::Degraded,
        other => panic!("Argo CD knows no health {other}"),
    };
    (health, verdict.get("message").unwrap())
}

/// The result of kstatus for a kind without rules of its own. Source: cli-utils, pkg/kstatus, README.
pub(crate) fn kstatus(object: Option<&Value>) -> Kstatus {
    let Some(object) = object else { return Kstatus::NotFound };
    let (metadata, status) = (&object["metadata"], &object["status"]);
    let is = |type_: &str, value: &str| {
        let conditions = status["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().any(|condition| condition["type"] == type_ && condition["status"] == value)
    };
    let behind = !status["observedGeneration"].is_null() && status["observedGeneration"] != metadata["generation"];
    if !metadata["deletionTimestamp"].is_null() {
        Kstatus::Terminating
    } else if behind || is("Reconciling", "True") {
        Kstatus::InProgress
    } else if is("Stalled", "True") {
        Kstatus::Failed
    } else if is("Ready", "False") || is("Ready", "Unknown") {
        Kstatus::InProgress
    } else {
        Kstatus::Current
    }
}
