//! What `infra/` deploys.

pub mod template;

use serde_json::Value;

use self::template::{Known, Template};

#[test]
fn no_function_of_the_templates_stays_unevaluated() {
    let known = Known::from([("AWS::Region", "us-east-1")]);
    for template in ["template", "member", "channels"] {
        let path = format!("infra/{template}.yaml");
        let resolved = Template::read(&path).resolve(&known);
        for section in ["Resources", "Outputs"] {
            check_evaluated(&path, &resolved[section]);
        }
    }
}

fn check_evaluated(path: &str, value: &Value) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| check_evaluated(path, item)),
        Value::Object(entries) => {
            for (name, value) in entries {
                assert!(
                    name != "Ref" && !name.starts_with("Fn::"),
                    "{path}: {name}: {value}"
                );
                check_evaluated(path, value);
            }
        }
        _ => {}
    }
}
