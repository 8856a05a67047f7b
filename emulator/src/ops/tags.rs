//! The operations on the tags of resources.

use serde_json::{Value, json};

use super::context::RequestContext;
use super::params::Params;
use crate::ServiceStatus;
use crate::api_error::{ApiError, ApiResult};
use crate::model::arn::{Arn, Kind};
use crate::model::tags::{TagMap, Tags};

const MAX_TAGS: usize = 50;

/// Reads the parameter `Tags`. Source: App Runner API, `Tag`.
pub(super) fn read(params: &Params) -> Result<Option<TagMap>, ApiError> {
    let Some(items) = params.objects("Tags")? else { return Ok(None) };
    let mut tags = TagMap::new();
    for item in items {
        let key = item.required_text("Key", 1..=128)?;
        check_key(&item, "Key", key)?;
        let value = item.text("Value", 0..=256)?.unwrap_or_default();
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(params.invalid("Tags", &format!("must not have the key {key} twice")));
        }
    }
    check_count(&tags)?;
    Ok(Some(tags))
}

fn check_key(params: &Params, member: &str, key: &str) -> Result<(), ApiError> {
    if key.starts_with("aws:") {
        return Err(params.invalid(member, "must satisfy regular expression pattern: ^(?!aws:).+"));
    }
    Ok(())
}

fn check_count(tags: &TagMap) -> Result<(), ApiError> {
    if tags.len() > MAX_TAGS {
        return Err(ApiError::invalid_request(format!("A resource can have at most {MAX_TAGS} tags.")));
    }
    Ok(())
}

/// Adds tags and replaces the values of existing keys. Source: App Runner API, `TagResource`.
pub(super) fn tag(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let added = read(params)?.ok_or_else(|| params.missing("Tags"))?;
    let now = context.now;
    let tags = find_changeable(context, params)?;
    let mut all = tags.latest().clone();
    all.extend(added);
    check_count(&all)?;
    tags.write(all, now);
    Ok(json!({}))
}

/// Removes tags. Source: App Runner API, `UntagResource`.
pub(super) fn untag(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let keys = params.text_list("TagKeys", 1..=128)?.ok_or_else(|| params.missing("TagKeys"))?;
    keys.iter().try_for_each(|key| check_key(params, "TagKeys", key))?;
    let now = context.now;
    let tags = find_changeable(context, params)?;
    let mut remaining = tags.latest().clone();
    remaining.retain(|key, _| !keys.contains(key));
    tags.write(remaining, now);
    Ok(json!({}))
}

/// Lists tags. Source: App Runner API, `ListTagsForResource`.
pub(super) fn list(context: &mut RequestContext<'_>, params: &Params) -> ApiResult {
    let (now, visible_after_ms) = (context.now, context.behaviors.tags_visible_after_ms);
    let (tags, _) = find(context, params)?;
    let tags: Vec<Value> =
        tags.visible(now, visible_after_ms).iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    Ok(json!({ "Tags": tags }))
}

/// Returns the tags of a resource that is not deleted.
fn find_changeable<'a>(context: &'a mut RequestContext<'_>, params: &Params) -> Result<&'a mut Tags, ApiError> {
    match find(context, params)? {
        (tags, Lifecycle::Live) => Ok(tags),
        (_, Lifecycle::Deleted) => Err(ApiError::invalid_state("The resource is deleted; its tags can't be changed.")),
    }
}

enum Lifecycle {
    Live,
    Deleted,
}

fn find<'a>(context: &'a mut RequestContext<'_>, params: &Params) -> Result<(&'a mut Tags, Lifecycle), ApiError> {
    let arn = context.arn(params, "ResourceArn", &Kind::ALL)?;
    let (behaviors, now) = (context.behaviors, context.now);
    let region = &mut *context.region;
    let (found, label) = match Arn::parse(arn).map(|arn| arn.kind) {
        Some(kind @ Kind::Service) => {
            let found = region.find_service(arn, behaviors, now);
            (found.map(|service| (service.status != ServiceStatus::Deleted, &mut service.tags)), kind.label())
        }
        Some(kind @ Kind::IngressConnection) => {
            let found = region.find_ingress_connection(arn);
            (found.map(|connection| (connection.exists(now), &mut connection.tags)), kind.label())
        }
        Some(kind @ (Kind::AutoScaling | Kind::Observability)) => {
            let found = region.configurations.iter_mut().find(|configuration| configuration.arn == arn);
            (found.map(|configuration| (configuration.is_active(), &mut configuration.tags)), kind.label())
        }
        Some(kind @ Kind::Connection) => {
            let found = region.connections.iter_mut().find(|connection| connection.arn == arn);
            (found.map(|connection| (true, &mut connection.tags)), kind.label())
        }
        Some(Kind::Connector) | None => {
            let found = region.find_connector(arn, behaviors, now);
            (found.map(|connector| (connector.is_active(now), &mut connector.tags)), "Resource")
        }
    };
    let (is_live, tags) = found.ok_or_else(|| ApiError::not_found(label, arn))?;
    Ok((tags, if is_live { Lifecycle::Live } else { Lifecycle::Deleted }))
}
