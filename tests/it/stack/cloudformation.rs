//! Reads and resolves a CloudFormation template, as far as the tests need it.

use std::collections::BTreeMap;
use std::path::Path;

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// Represents `AWS::NoValue` until it is removed.
const NO_VALUE: &str = "AWS::NoValue";

/// A template with its intrinsic functions in their long form: `{"Ref": "Table"}`, `{"Fn::GetAtt": ["Table", "Arn"]}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(pub Value);

/// The values of names: parameters, pseudo parameters, resources (`Table`) and their attributes
/// (`Table.Arn`). A missing parameter has its default; any other name represents itself, as
/// `${Table.Arn}`.
#[derive(Debug, Clone, Default)]
pub struct Known(pub BTreeMap<String, Value>);

impl<const N: usize> From<[(&str, &str); N]> for Known {
    fn from(names: [(&str, &str); N]) -> Self {
        let names = names.map(|(name, value)| (name.to_owned(), json!(value)));
        Self(names.into())
    }
}

impl Template {
    /// Reads the template at `path` in the repository.
    pub fn read(path: &str) -> Self {
        let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let text = std::fs::read_to_string(&whole)
            .unwrap_or_else(|error| panic!("{path} cannot be read: {error}"));
        Self::parse(&text)
    }

    /// The template whose text is `text`.
    pub fn parse(text: &str) -> Self {
        let documents = Yaml::load_from_str(text)
            .unwrap_or_else(|error| panic!("the template is no YAML: {error}"));
        assert_eq!(documents.len(), 1, "a template is one document");
        Self(long_form(&documents[0]))
    }

    /// The template with the results of its conditions for `known` in their place.
    pub fn with_decided_conditions(&self, known: &Known) -> Value {
        let resolver = Resolver {
            template: &self.0,
            known,
        };
        let mut result = self.0.clone();
        let conditions = result["Conditions"].as_object_mut();
        for (name, condition) in conditions.into_iter().flatten() {
            let holds = resolver.condition(name).to_string();
            *condition = json!({"Fn::Equals": [holds, "true"]});
        }
        result
    }

    /// The resolved template for `known`: functions are evaluated, and resources and outputs with a
    /// false condition are removed.
    pub fn resolve(&self, known: &Known) -> Value {
        let resolver = Resolver {
            template: &self.0,
            known,
        };
        let mut result = self.0.clone();
        for section in ["Resources", "Outputs"] {
            let Some(entries) = self.0[section].as_object() else {
                continue;
            };
            let kept = entries.iter().filter(|(_, entry)| {
                let condition = entry["Condition"].as_str();
                condition.is_none_or(|name| resolver.condition(name))
            });
            let kept = kept.map(|(name, entry)| (name.clone(), resolver.value(entry)));
            result[section] = Value::Object(kept.collect());
        }
        for section in ["Globals", "Rules"] {
            if let Some(entry) = self.0.get(section) {
                result[section] = resolver.value(entry);
            }
        }
        result
    }
}

fn long_form(node: &Yaml) -> Value {
    match node {
        Yaml::Value(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(value) => json!(value),
            Scalar::Integer(value) => json!(value),
            Scalar::FloatingPoint(value) => json!(value.into_inner()),
            Scalar::String(value) => json!(value),
        },
        Yaml::Sequence(items) => items.iter().map(long_form).collect(),
        Yaml::Mapping(entries) => entries
            .iter()
            .map(|(name, value)| match long_form(name) {
                Value::String(name) => (name, long_form(value)),
                // A key such as 111122223333 in a mapping.
                other => (other.to_string(), long_form(value)),
            })
            .collect::<Map<_, _>>()
            .into(),
        Yaml::Tagged(tag, node) => function(&tag.suffix, long_form(node)),
        other => panic!("a template has no such node: {other:?}"),
    }
}

fn function(name: &str, argument: Value) -> Value {
    match (name, argument) {
        ("Ref" | "Condition", argument) => json!({ name: argument }),
        ("GetAtt", Value::String(path)) => {
            let (resource, attribute) = path.split_once('.').expect("GetAtt names an attribute");
            json!({"Fn::GetAtt": [resource, attribute]})
        }
        (_, argument) => json!({ format!("Fn::{name}"): argument }),
    }
}

struct Resolver<'a> {
    template: &'a Value,
    known: &'a Known,
}

impl Resolver<'_> {
    /// The evaluated `value`. `AWS::NoValue` is removed from its container.
    fn value(&self, value: &Value) -> Value {
        match value {
            Value::Array(items) => items
                .iter()
                .map(|item| self.value(item))
                .filter(|item| !is_no_value(item))
                .collect(),
            Value::Object(entries) => {
                if let Some((name, argument)) = only(entries)
                    && let Some(result) = self.call(name, argument)
                {
                    return result;
                }
                entries
                    .iter()
                    .map(|(name, value)| (name.clone(), self.value(value)))
                    .filter(|(_, value)| !is_no_value(value))
                    .collect::<Map<_, _>>()
                    .into()
            }
            other => other.clone(),
        }
    }

    /// The result of a function, or `None` if `name` is not a function.
    fn call(&self, name: &str, argument: &Value) -> Option<Value> {
        let list = || -> Vec<Value> {
            let items = argument.as_array().expect("the function takes a list");
            items.iter().map(|item| self.value(item)).collect()
        };
        Some(match (name, argument) {
            ("Ref", Value::String(name)) => self.name(name),
            ("Condition", Value::String(name)) => json!(self.condition(name)),
            ("Fn::GetAtt", Value::Array(path)) => self.name(&joined(path, ".")),
            ("Fn::Sub", Value::String(text)) => json!(self.substitute(text, &Map::new())),
            ("Fn::Sub", Value::Array(parts)) => {
                let names = self.value(&parts[1]);
                let text = parts[0].as_str().expect("Sub takes a text");
                json!(self.substitute(text, names.as_object().expect("and a mapping")))
            }
            ("Fn::If", Value::Array(parts)) => {
                let condition = parts[0].as_str().expect("If names a condition");
                self.value(&parts[if self.condition(condition) { 1 } else { 2 }])
            }
            ("Fn::Equals", Value::Array(_)) => {
                let sides = list();
                json!(text(&sides[0]) == text(&sides[1]))
            }
            ("Fn::Not", Value::Array(_)) => json!(!is_true(&list()[0])),
            ("Fn::And", Value::Array(_)) => json!(list().iter().all(is_true)),
            ("Fn::Or", Value::Array(_)) => json!(list().iter().any(is_true)),
            ("Fn::Contains", Value::Array(_)) => {
                let sides = list();
                let all = sides[0].as_array().expect("Contains takes a list");
                json!(all.contains(&sides[1]))
            }
            ("Fn::Select", Value::Array(_)) => {
                let parts = list();
                let place: usize = text(&parts[0]).parse().expect("Select takes a number");
                parts[1][place].clone()
            }
            ("Fn::Split", Value::Array(_)) => {
                let parts = list();
                json!(text(&parts[1]).split(&text(&parts[0])).collect::<Vec<_>>())
            }
            ("Fn::Join", Value::Array(_)) => {
                let parts = list();
                let items = parts[1].as_array().expect("Join takes a list");
                json!(joined(items, &text(&parts[0])))
            }
            ("Fn::FindInMap", Value::Array(_)) => {
                let path = list();
                let found = path.iter().fold(&self.template["Mappings"], |map, key| {
                    map.get(text(key)).unwrap_or_else(|| {
                        panic!("the mapping {} has no {}", text(&path[0]), text(key))
                    })
                });
                found.clone()
            }
            _ => return None,
        })
    }

    fn name(&self, name: &str) -> Value {
        if name == NO_VALUE {
            return json!({ "Ref": NO_VALUE });
        }
        let parameter = &self.template["Parameters"][name];
        let default = || match &parameter["Default"] {
            Value::Null => json!(format!("${{{name}}}")),
            default => default.clone(),
        };
        self.known.0.get(name).cloned().unwrap_or_else(default)
    }

    fn condition(&self, name: &str) -> bool {
        match &self.template["Conditions"][name] {
            Value::Null => panic!("there is no condition {name}"),
            condition => is_true(&self.value(condition)),
        }
    }

    fn substitute(&self, template: &str, names: &Map<String, Value>) -> String {
        let mut result = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').expect("a name in Sub has an end");
            result.push_str(before);
            if let Some(literal) = name.strip_prefix('!') {
                result.extend(["${", literal, "}"]);
            } else {
                let value = names.get(name).cloned();
                result.push_str(&text(&value.unwrap_or_else(|| self.name(name))));
            }
            rest = after;
        }
        result + rest
    }
}

fn only(entries: &Map<String, Value>) -> Option<(&String, &Value)> {
    entries.iter().next().filter(|_| entries.len() == 1)
}

fn is_no_value(value: &Value) -> bool {
    *value == json!({ "Ref": NO_VALUE })
}

fn is_true(value: &Value) -> bool {
    value.as_bool().expect("a condition is true or false")
}

/// A scalar as CloudFormation sees it, where all scalars are strings.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn joined(items: &[Value], with: &str) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(with)
}
