//! Holds a reply to having the list that was asked for.
//!
//! The SDK turns a reply without its list into an empty list. Believed, that would say of every connector that nothing uses
//! it, so such a reply counts as one that can't be read.

use std::collections::HashMap;

use aws_sdk_apprunner::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_apprunner::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_apprunner::error::BoxError;
use serde::de::IgnoredAny;

/// The member that a successful reply has.
#[derive(Debug)]
pub(super) struct Whole(pub(super) &'static str);

impl Intercept for Whole {
    fn name(&self) -> &'static str {
        "Whole"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response();
        let body = answer.body().bytes().unwrap_or_default();
        if !answer.status().is_success() || has(body, self.0) {
            return Ok(());
        }
        Err(format!("the answer has no {}", self.0).into())
    }
}

fn has(body: &[u8], member: &str) -> bool {
    let members = serde_json::from_slice::<HashMap<String, Option<IgnoredAny>>>(body).unwrap_or_default();
    members.get(member).is_some_and(Option::is_some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_not_there_is_not_an_empty_one() {
        for whole in [r#"{"List": []}"#, r#"{"NextToken": "x", "List": [{"Name": "List"}]}"#] {
            assert!(has(whole.as_bytes(), "List"), "{whole}");
        }
        for lacking in
            ["", "{}", "[]", "null", r#"{"List": null}"#, r#"{"Other": ["List"]}"#, r#"{"Other": {"List": []}}"#]
        {
            assert!(!has(lacking.as_bytes(), "List"), "{lacking}");
        }
    }
}
