//! Evaluates which of IAM's key changes a trail's advanced event selectors include.

/// The conditions on one field. Source: CloudTrail API reference, `AdvancedFieldSelector`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FieldFacts {
    /// The field.
    pub(super) field: String,
    /// It must equal one of these.
    pub(super) equals: Vec<String>,
    /// It must not equal any of these.
    pub(super) not_equals: Vec<String>,
    /// It must begin with one of these.
    pub(super) starts_with: Vec<String>,
    /// It must not begin with any of these.
    pub(super) not_starts_with: Vec<String>,
    /// It must end with one of these.
    pub(super) ends_with: Vec<String>,
    /// It must not end with any of these.
    pub(super) not_ends_with: Vec<String>,
}

/// How many of IAM's key changes a trail logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Coverage {
    /// All of them.
    All,
    /// Some of them; the text says which may be missing.
    Some(String),
    /// None.
    None,
}

/// The calls that the detector needs.
const CALLS: [&str; 6] = [
    "CreateAccessKey",
    "UpdateAccessKey",
    "DeleteAccessKey",
    "UpdateUser",
    "DeleteUser",
    "AttachUserPolicy",
];

/// Which of the calls `selectors` include. One matching selector is enough, and a selector matches if
/// all of its fields do.
#[must_use]
pub(super) fn advanced(selectors: &[Vec<FieldFacts>]) -> Coverage {
    let is_through = |call: &str| {
        selectors
            .iter()
            .any(|fields| fields.iter().all(|field| takes(field, call) == Some(true)))
    };
    let may_be_through = |call: &str| {
        selectors
            .iter()
            .any(|fields| fields.iter().all(|field| takes(field, call) != Some(false)))
    };
    let left_out: Vec<&str> = CALLS.into_iter().filter(|call| !is_through(call)).collect();
    if left_out.is_empty() {
        return Coverage::All;
    }
    if !CALLS.into_iter().any(may_be_through) {
        return Coverage::None;
    }
    Coverage::Some(format!(
        "logs only some write management events, possibly without {}",
        left_out.join(", ")
    ))
}

/// Whether `field` matches `call`; `None` if that depends on the caller.
fn takes(field: &FieldFacts, call: &str) -> Option<bool> {
    let value = match field.field.as_str() {
        "eventCategory" => "Management",
        "readOnly" => "false",
        "eventSource" => "iam.amazonaws.com",
        "eventName" => call,
        "eventType" => "AwsApiCall",
        _ => return None,
    };
    let any = |list: &[String], fits: fn(&str, &str) -> bool| {
        list.iter().any(|pattern| fits(value, pattern))
    };
    let equal: fn(&str, &str) -> bool = |value, pattern| value == pattern;
    let starts: fn(&str, &str) -> bool = |value, pattern| value.starts_with(pattern);
    let ends: fn(&str, &str) -> bool = |value, pattern| value.ends_with(pattern);
    let wanted = [
        (&field.equals, equal),
        (&field.starts_with, starts),
        (&field.ends_with, ends),
    ];
    let unwanted = [
        (&field.not_equals, equal),
        (&field.not_starts_with, starts),
        (&field.not_ends_with, ends),
    ];
    let has_wanted = wanted
        .into_iter()
        .all(|(list, fits)| list.is_empty() || any(list, fits));
    let has_unwanted = unwanted.into_iter().any(|(list, fits)| any(list, fits));
    Some(has_wanted && !has_unwanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equals(field: &str, values: &[&str]) -> FieldFacts {
        FieldFacts {
            field: field.to_owned(),
            equals: values.iter().map(|&value| value.to_owned()).collect(),
            ..FieldFacts::default()
        }
    }

    fn not_equals(field: &str, value: &str) -> FieldFacts {
        FieldFacts {
            field: field.to_owned(),
            not_equals: vec![value.to_owned()],
            ..FieldFacts::default()
        }
    }

    #[test]
    fn a_management_selector_covers_all_unless_a_field_restricts_it() {
        let management = || equals("eventCategory", &["Management"]);
        for (fields, expected) in [
            (vec![management()], Coverage::All),
            (
                vec![management(), equals("readOnly", &["false"])],
                Coverage::All,
            ),
            (
                vec![management(), not_equals("eventSource", "kms.amazonaws.com")],
                Coverage::All,
            ),
            (
                vec![management(), equals("readOnly", &["true"])],
                Coverage::None,
            ),
            (
                vec![management(), not_equals("eventSource", "iam.amazonaws.com")],
                Coverage::None,
            ),
            (vec![equals("eventCategory", &["Data"])], Coverage::None),
        ] {
            assert_eq!(
                advanced(std::slice::from_ref(&fields)),
                expected,
                "{fields:?}"
            );
        }
        assert_eq!(advanced(&[]), Coverage::None);
    }

    #[test]
    fn a_selector_for_some_calls_or_callers_does_not_cover_all() {
        let management = equals("eventCategory", &["Management"]);
        let some = [
            management.clone(),
            equals("eventName", &["CreateAccessKey"]),
        ];
        match advanced(&[some.to_vec()]) {
            Coverage::Some(text) => {
                assert!(text.contains("UpdateAccessKey") && !text.contains("CreateAccessKey"));
            }
            other => panic!("{other:?}"),
        }
        let of_somebody = [management.clone(), not_equals("userIdentity.arn", "arn:x")];
        assert!(matches!(
            advanced(&[of_somebody.to_vec()]),
            Coverage::Some(_)
        ));
        let both = [
            some.to_vec(),
            vec![management, not_equals("eventName", "CreateAccessKey")],
        ];
        assert_eq!(advanced(&both), Coverage::All, "one selector for each");
    }
}
