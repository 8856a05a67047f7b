//! The operations on the tags of connectors and services.

use serde_json::{Value, json};

use super::context::RequestContext;
use super::params::Params;
use crate::api_error::{ApiError, ApiResult};
use crate::model::arn::Kind;
use crate::model::tags::{TagMap, Tags};
use crate::{ConnectorStatus, ServiceStatus};

const MAX_TAGS: usize = 50;

/// Reads the member `Tags` of a request. Source: App Runner API, `Tag`.
pub(crate) fn read(params: &Params) -> Result<Option<TagMap>, ApiError> {
    let Some(items) = params.objects("Tags")? else { return Ok(None) };
    let mut tags = TagMap::new();
    for item in items {
        let key = item.required_text("Key", 1..=128)?;
        check_key(&item, "Key", key)?;
        let value = item.text("Value", 0..=256)?.unwrap_or_default();
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(params.wrong("Tags", &format!("must not have the key {key} twice")));
        }
    }
    check_count(&tags)?;
    Ok(Some(tags))
}

fn check_key(params: &Params, member: &str, key: &str) -> Result<(), ApiError> {
    if key.starts_with("aws:") {
        return Err(params.wrong(member, "must satisfy regular expression pattern: ^(?!aws:).+"));
    }
    Ok(())
}

fn check_count(tags: &TagMap) -> Result<(), ApiError> {
    if tags.len() > MAX_TAGS {
        return Err(ApiError::invalid_request(format!("A resource can have at most {MAX_TAGS} tags.")));
    }
    Ok(())
}

/// Adds tags, or changes those that are there. Source: App Runner API, `TagResource`.
pub(crate) fn tag(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let added = read(params)?.ok_or_else(|| params.missing("Tags"))?;
    let now = context.now;
    let tags = changeable(context, params)?;
    let mut all = tags.latest().clone();
    all.extend(added);
    check_count(&all)?;
    tags.write(all, now);
    Ok(json!({}))
}

/// Removes tags. Source: App Runner API, `UntagResource`.
pub(crate) fn untag(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let keys = params.texts("TagKeys", 1..=128)?.ok_or_else(|| params.missing("TagKeys"))?;
    keys.iter().try_for_each(|key| check_key(params, "TagKeys", key))?;
    let now = context.now;
    let tags = changeable(context, params)?;
    let mut left = tags.latest().clone();
    left.retain(|key, _| !keys.contains(key));
    tags.write(left, now);
    Ok(json!({}))
}

/// Lists tags. Source: App Runner API, `ListTagsForResource`.
pub(crate) fn list(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let (now, visible_after_ms) = (context.now, context.behaviors.tags_visible_after_ms);
    let (tags, _) = find(context, params)?;
    let tags: Vec<Value> =
        tags.visible(now, visible_after_ms).iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    Ok(json!({ "Tags": tags }))
}

fn changeable<'a>(context: &'a mut RequestContext<'_>, params: &Params) -> Result<&'a mut Tags, ApiError> {
    match find(context, params)? {
        (tags, Life::There) => Ok(tags),
        (_, Life::Over) => Err(ApiError::invalid_state("The resource is deleted; its tags can't be changed.")),
    }
}

enum Life {
    There,
    Over,
}

fn find<'a>(context: &'a mut RequestContext<'_>, params: &Params) -> Result<(&'a mut Tags, Life), ApiError> {
    let arn = context.arn(params, "ResourceArn", &[Kind::Connector, Kind::Service])?;
    let (behaviors, now) = (context.behaviors, context.now);
    let region = &mut *context.region;
    if region.services.iter().any(|service| service.arn == arn) {
        let found = region.find_service(arn, behaviors, now);
        let service = found.ok_or_else(|| ApiError::not_found(Kind::Service.what(), arn))?;
        let life = if service.status == ServiceStatus::Deleted { Life::Over } else { Life::There };
        return Ok((&mut service.tags, life));
    }
    let found = region.find_connector(arn, behaviors, now);
    let connector = found.ok_or_else(|| ApiError::not_found("Resource", arn))?;
    let life = if connector.status(now) == ConnectorStatus::Inactive { Life::Over } else { Life::There };
    Ok((&mut connector.tags, life))
}
