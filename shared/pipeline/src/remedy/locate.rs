//! From the assessed resource to the one that is changed: the assessment of a trail may be about its
//! bucket.

use amend_cloud::{Cloud, Place};
use amend_domain::{AccountId, Cloud as CloudName, ResourceId, fix::Fix, plan::At};
use serde_json::{Map, Value};

use super::{
    RemedyError,
    observe::{begin, read_all},
    target_of, untold,
};

/// Where the fix is done for an assessed resource: there, or where its way leads.
///
/// # Errors
/// When the fix is not for such a resource and knows no way from it, the way cannot be read, or it
/// leads to something else or into another account.
pub async fn locate(fix: &Fix, at: At, cloud: &dyn Cloud) -> Result<At, RemedyError> {
    if fix.target_of(&at.resource).is_some() {
        return Ok(at);
    }
    let Some((way, assessed)) = fix.way_from(&at.resource) else {
        // Says which names it is for.
        return target_of(fix, &at.resource).map(|_| at);
    };
    let nowhere = |message: String| RemedyError::Place { message, hint: "look at the assessed resource" };
    let mut scope = begin(&assessed, &at, &Map::new());
    let place = Place { account: at.account.clone(), region: at.region.clone(), ..Place::default() };
    read_all(fix, &way.reads, &at, cloud, &place, &mut scope).await?;
    let to = way.to.evaluate(&scope).map_err(|error| untold(fix, "locate.to", error))?;
    let Some(to) = to.as_str().filter(|to| !to.is_empty()) else {
        return Err(nowhere(format!("`{}` leads to no resource", at.resource)));
    };
    let resource = ResourceId::new(to);
    let target = target_of(fix, &resource)?;
    // INVARIANT: what is changed is in the account that was assessed. AWS tells by the calls themselves
    // where a name holds no account.
    let account = match at.cloud {
        CloudName::Aws => target.part("account").and_then(AccountId::aws).or_else(|| at.account.clone()),
        CloudName::Azure => AccountId::azure(resource.as_str()),
        _ => target.part("project").and_then(AccountId::gcp).or_else(|| at.account.clone()),
    };
    if account != at.account {
        return Err(nowhere(format!("`{}` leads to `{resource}`, which is in another account", at.resource)));
    }
    let region = match &way.region {
        None => target.part("region").map(Into::into).or_else(|| at.region.clone()),
        Some(formula) => match formula.evaluate(&scope).map_err(|error| untold(fix, "locate.region", error))? {
            Value::String(region) if !region.is_empty() => Some(region.to_ascii_lowercase().into()),
            _ => return Err(nowhere(format!("the region of `{resource}` is not known"))),
        },
    };
    Ok(At { resource, cloud: at.cloud, account, region, via: Some(at.resource) })
}
