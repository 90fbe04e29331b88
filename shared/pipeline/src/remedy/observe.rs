//! Reading a resource, and what its fix makes of it.

use amend_cloud::{Cloud, Place};
use amend_domain::{
    expr::formula::Scope,
    fix::{Fix, Read},
    plan::{At, ReadCall},
    target::Target,
};
use amend_models::Call;
use serde_json::{Map, Value};

use super::{Remedy, RemedyError, untold};

/// What a resource looks like to its fix.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Target, parameters, what was read, and values with a name.
    pub scope: Scope,
    /// What was read, in order.
    pub reads: Vec<ReadCall>,
    /// The settings, by name; without those that make no sense where a precondition does not hold.
    pub now: Map<String, Value>,
    /// Whether it is as it should be.
    pub compliant: bool,
    /// The message of the first precondition that does not hold.
    pub unmet: Option<String>,
    /// What else uses the setting.
    pub affected: Option<Vec<String>>,
}

impl Remedy {
    /// Reads the resource and evaluates what the fix says about it. Writes nothing.
    ///
    /// # Errors
    /// When a read fails otherwise than "there is none", or an expression has no value.
    pub async fn observe(&self) -> Result<Observed, RemedyError> {
        let mut scope = begin(&self.target, &self.at, &self.params);
        let place = self.place(None, 0);
        let reads = read_all(&self.fix, &self.fix.reads, &self.at, &*self.cloud, &place, &mut scope).await?;
        for (name, formula) in &self.fix.lets {
            let value = formula.evaluate(&scope).map_err(|error| self.formula(&format!("let.{name}"), error))?;
            scope.set(name, value);
        }
        let compliant = self.fix.compliant.holds(&scope).map_err(|error| self.formula("compliant", error))?;
        let mut unmet = None;
        for (at, precondition) in self.fix.preconditions.iter().enumerate() {
            let holds = precondition.check.holds(&scope);
            if !holds.map_err(|error| self.formula(&format!("preconditions[{at}]"), error))? {
                unmet = Some(precondition.message.to_string());
                break;
            }
        }
        let mut now = Map::new();
        for setting in &self.fix.settings {
            match setting.now.evaluate(&scope) {
                Ok(value) => drop(now.insert(setting.name.to_string(), value)),
                // Where a precondition does not hold, the settings may make no sense.
                Err(_) if unmet.is_some() => {}
                Err(error) => return Err(self.formula(&format!("settings.{}.now", setting.name), error)),
            }
        }
        let affected = match &self.fix.affected {
            None => None,
            Some(formula) => {
                let list = formula.evaluate(&scope).map_err(|error| self.formula("affected", error))?;
                let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
                Some(list.as_array().map(|list| list.iter().map(text).collect()).unwrap_or_default())
            }
        };
        Ok(Observed { scope, reads, now, compliant, unmet, affected })
    }
}

/// What expressions see before anything is read.
pub(super) fn begin(target: &Target, at: &At, params: &Map<String, Value>) -> Scope {
    Scope::default().with("target", described(target, at)).with("params", params.clone().into())
}

/// The target as expressions see it: the parts of its name, its id, account and region.
fn described(target: &Target, at: &At) -> Value {
    let mut parts = target.parts.clone();
    let account = at.account.as_ref().map(|account| account.native().to_owned());
    parts.insert("id".to_owned(), at.resource.as_str().into());
    parts.insert("account".to_owned(), account.map_or(Value::Null, Value::from));
    // In Google's names a region is a part of its own.
    if target.part("region").is_none() {
        parts.insert("region".to_owned(), at.region.as_deref().map_or(Value::Null, Value::from));
    }
    Value::Object(parts)
}

/// Makes the reads of a fix, in order; `scope` has the answers then. Returns what was called.
pub(super) async fn read_all(
    fix: &Fix,
    reads: &[Read],
    at: &At,
    cloud: &dyn Cloud,
    place: &Place,
    scope: &mut Scope,
) -> Result<Vec<ReadCall>, RemedyError> {
    let mut made = Vec::new();
    for read in reads {
        let untold = |error| untold(fix, &format!("reads.{}", read.name), error);
        let wanted = match &read.when {
            Some(when) => when.holds(scope).map_err(untold)?,
            None => true,
        };
        if !wanted {
            scope.set(&read.name, Value::Null);
            continue;
        }
        let call = Call::find(&read.call)?;
        let args = match read.with.evaluate(scope).map_err(untold)? {
            Value::Null => Value::Object(Map::new()),
            args => args,
        };
        made.push(ReadCall { call: read.call.clone(), with: args.clone() });
        let value = match cloud.call(place, &call, &args).await {
            Ok(value) => value,
            Err(error)
                if error.refused_code().is_some_and(|code| read.absent_on.iter().any(|known| **known == *code)) =>
            {
                Value::Null
            }
            Err(source) => {
                let (fix, resource) = (fix.id.to_string(), at.resource.to_string());
                return Err(RemedyError::Read { fix, resource, source: Box::new(source) });
            }
        };
        scope.set(&read.name, value);
    }
    Ok(made)
}
