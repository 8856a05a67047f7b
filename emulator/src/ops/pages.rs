//! The paging parameters of list requests, and the replies with a page.

use std::ops::RangeInclusive;

use serde_json::json;

use super::context::RequestContext;
use super::params::Params;
use crate::Operation;
use crate::api_error::{ApiError, ApiResult};
use crate::model::pages::ListItem;

/// Replies with the page that a request asks for; `items` is the whole list in order of creation.
pub(super) fn reply(
    context: &mut RequestContext<'_>,
    params: &Params,
    list_name: &str,
    sizes: RangeInclusive<i64>,
    items: Vec<ListItem>,
) -> ApiResult {
    let size = params.integer("MaxResults", sizes)?.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX);
    let after = position(context, params)?;
    let page = context.region.page_tokens.page(context.operation, after, size, items);
    let mut reply = json!({ list_name: page.items });
    if let Some(token) = page.next_token {
        reply["NextToken"] = token.into();
    }
    Ok(reply)
}

fn position(context: &RequestContext<'_>, params: &Params) -> Result<u64, ApiError> {
    // Source: API model. Two operations take any string, the others a string of at least one character.
    let takes_any = matches!(context.operation, Operation::ListServices | Operation::DescribeCustomDomains);
    let length = if takes_any { 0..=51_200 } else { 1..=1024 };
    let Some(token) = params.text("NextToken", length)?.filter(|token| !token.is_empty()) else { return Ok(0) };
    let position = context.region.page_tokens.position(context.operation, token);
    position.ok_or_else(|| ApiError::invalid_request("The NextToken provided in the request is not valid."))
}
