//! Pages of a list that neither repeat nor skip an item when the list changes between two requests.
//!
//! A token is a position in the order of creation. Items that are created or deleted between two pages do not move the
//! others.

use std::collections::HashMap;

use serde_json::Value;

use super::ids::random_hex;
use crate::Operation;

/// The tokens that the emulator has issued, each with its list and position.
#[derive(Debug, Default)]
pub(crate) struct PageTokens {
    tokens: HashMap<String, (Operation, u64)>,
}

/// An item of a list and its number in the order of creation.
pub(crate) struct ListItem {
    pub(crate) seq: u64,
    pub(crate) value: Value,
}

/// One page, and the token of the next page if there is one.
pub(crate) struct Page {
    pub(crate) items: Vec<Value>,
    pub(crate) next_token: Option<String>,
}

impl PageTokens {
    /// Returns the number of the last item before the page that a token of this operation names.
    pub(crate) fn position(&self, operation: Operation, token: &str) -> Option<u64> {
        self.tokens.get(token).filter(|(issued_for, _)| *issued_for == operation).map(|(_, seq)| *seq)
    }

    /// Returns the page of at most `size` items after the number `after`; `items` is in order of creation.
    pub(crate) fn page(&mut self, operation: Operation, after: u64, size: usize, items: Vec<ListItem>) -> Page {
        let mut rest = items.into_iter().filter(|item| item.seq > after).peekable();
        let mut last = after;
        let mut page = Vec::new();
        for item in rest.by_ref().take(size) {
            last = item.seq;
            page.push(item.value);
        }
        let next_token = rest.peek().is_some().then(|| self.issue(operation, last));
        Page { items: page, next_token }
    }

    fn issue(&mut self, operation: Operation, seq: u64) -> String {
        let token = random_hex();
        self.tokens.insert(token.clone(), (operation, seq));
        token
    }
}
