//! Lists in pages that stay in step while the list changes.
//!
//! A token stands for a place in the order of creation, so what is created or deleted between two pages neither repeats
//! nor hides anything else.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use serde_json::Value;

use crate::Operation;
use crate::members::Members;
use crate::model::ids::random_hex;
use crate::wire::ApiError;

/// The tokens given out, and where each goes on.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    tokens: HashMap<String, (Operation, u64)>,
}

/// An item of a list and its place in the order of creation.
pub(crate) struct Item {
    pub(crate) seq: u64,
    pub(crate) value: Value,
}

/// One page, and the token for the next if there is one.
pub(crate) struct Page {
    pub(crate) items: Vec<Value>,
    pub(crate) next_token: Option<String>,
}

impl Pages {
    /// Cuts the page that a request asks for out of all items, which must be in order.
    pub(crate) fn cut(
        &mut self,
        operation: Operation,
        members: &Members,
        sizes: RangeInclusive<i64>,
        items: Vec<Item>,
    ) -> Result<Page, ApiError> {
        let size =
            members.integer("MaxResults", sizes)?.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX);
        let after = self.position(operation, members)?;
        let mut rest = items.into_iter().filter(|item| item.seq > after).peekable();
        let mut last = after;
        let mut page = Vec::new();
        for item in rest.by_ref().take(size) {
            last = item.seq;
            page.push(item.value);
        }
        let next_token = rest.peek().is_some().then(|| self.token(operation, last));
        Ok(Page { items: page, next_token })
    }

    fn position(&self, operation: Operation, members: &Members) -> Result<u64, ApiError> {
        // Source: API model. Of ListServices it is any string, of ListVpcConnectors one with at least one character.
        let length = if operation == Operation::ListServices { 0..=51_200 } else { 1..=1024 };
        let Some(token) = members.text("NextToken", length)?.filter(|token| !token.is_empty()) else { return Ok(0) };
        match self.tokens.get(token) {
            Some((of, seq)) if *of == operation => Ok(*seq),
            _ => Err(ApiError::invalid_request("The NextToken provided in the request is not valid.")),
        }
    }

    fn token(&mut self, operation: Operation, seq: u64) -> String {
        let token = random_hex();
        self.tokens.insert(token.clone(), (operation, seq));
        token
    }
}
