//! Mutations that keep an input valid JSON, which random changes of bytes rarely do.

use libfuzzer_sys::fuzzer_mutate;
use serde_json::{Map, Value};

/// Names and values that occur in records, and inputs that confuse parsers.
const WORDS: &[&str] = &[
    "CreateAccessKey",
    "UpdateAccessKey",
    "DeleteAccessKey",
    "UpdateUser",
    "DeleteUser",
    "ListAccessKeys",
    "iam.amazonaws.com",
    "s3.amazonaws.com",
    "aws.iam",
    "Active",
    "Inactive",
    "Expired",
    "Root",
    "IAMUser",
    "AssumedRole",
    "111122223333",
    "000000000001",
    "alice",
    "ALICE",
    "<root_account>",
    "AKIAEXAMPLE",
    "true",
    "false",
    "AccessDenied",
    "",
    "2024-01-01T00:00:00Z",
    "2024-01-01 00:00:00",
    "2016-12-31T23:59:60Z",
    "2024-01-01T00:00:00.999999999+23:59",
    "9999-12-31T23:59:59Z",
    "0000-01-01T00:00:00Z",
    "+262142-12-31T23:59:59",
    "İ",
    "ΑΣ",
    "ß",
    "\u{202e}",
    "\n",
    "{\"",
    "]}",
];

/// Field names in records, envelopes and logs.
const NAMES: &[&str] = &[
    "Records",
    "detail",
    "detail-type",
    "source",
    "account",
    "time",
    "id",
    "secondkey_recheck",
    "version",
    "user",
    "eventID",
    "eventName",
    "eventSource",
    "eventTime",
    "awsRegion",
    "errorCode",
    "recipientAccountId",
    "userIdentity",
    "type",
    "arn",
    "userName",
    "accountId",
    "accessKeyId",
    "invokedBy",
    "sessionContext",
    "attributes",
    "mfaAuthenticated",
    "requestParameters",
    "newUserName",
    "status",
    "responseElements",
    "accessKey",
    "addendum",
    "reason",
    "originalEventID",
    "sourceIPAddress",
    "userAgent",
    "sessionCredentialFromConsole",
    "messageId",
    "body",
    "SentTimestamp",
    "ApproximateReceiveCount",
];

/// How many bytes a text grows by at most when it is lengthened: more than the bound on texts.
const LONG: usize = 1_100;

/// Mutates the first `size` bytes of `data` and returns the new size: every other time like
/// libFuzzer, otherwise as JSON. If `lines` is set, each line may be a separate document.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32, is_lines: bool) -> usize {
    let mut random = Random(u64::from(seed) | 1 << 40);
    if random.below(2) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let changed = if is_lines && random.below(2) == 0 {
        let mut lines: Vec<Vec<u8>> = data[..size]
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        let index = random.below(lines.len());
        match random.below(4) {
            0 => lines.insert(index, lines[index].clone()),
            1 if lines.len() > 1 => drop(lines.remove(index)),
            2 => {
                let cut = random.below(lines[index].len() + 1);
                lines[index].truncate(cut);
            }
            _ => match json(&lines[index], &mut random) {
                Some(line) => lines[index] = line,
                None => return fuzzer_mutate(data, size, max_size),
            },
        }
        Some(lines.join(&b'\n'))
    } else {
        json(&data[..size], &mut random)
    };
    match changed {
        Some(changed) if changed.len() <= max_size.min(data.len()) => {
            data[..changed.len()].copy_from_slice(&changed);
            changed.len()
        }
        _ => fuzzer_mutate(data, size, max_size),
    }
}

fn json(text: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let mut root: Value = serde_json::from_slice(text).ok()?;
    let spare = nth(&mut root.clone(), random.below(count(&root))).clone();
    let place = random.below(count(&root));
    change(nth(&mut root, place), spare, random);
    Some(if random.below(4) == 0 {
        format!("{root:#}").into_bytes()
    } else {
        root.to_string().into_bytes()
    })
}

fn change(place: &mut Value, spare: Value, random: &mut Random) {
    match (random.below(10), &mut *place) {
        (0, _) => *place = spare,
        (1, _) => *place = scalar(random),
        (2, value) => *place = Value::Array(vec![value.take()]),
        (3, value) => {
            let name = NAMES[random.below(NAMES.len())].to_owned();
            *place = Value::Object(Map::from_iter([(name, value.take())]));
        }
        (_, Value::String(text)) => *text = changed_text(text, random),
        (_, Value::Array(values)) => {
            if random.below(2) == 0 || values.is_empty() {
                values.push(spare);
            } else {
                values.remove(random.below(values.len()));
            }
        }
        (_, Value::Object(fields)) => {
            if random.below(2) == 0 || fields.is_empty() {
                let value = if random.below(2) == 0 {
                    spare
                } else {
                    scalar(random)
                };
                fields.insert(NAMES[random.below(NAMES.len())].to_owned(), value);
            } else {
                let name = fields.keys().nth(random.below(fields.len())).cloned();
                fields.remove(&name.unwrap_or_default());
            }
        }
        _ => *place = scalar(random),
    }
}

fn scalar(random: &mut Random) -> Value {
    match random.below(6) {
        0 => Value::Null,
        1 => Value::Bool(random.below(2) == 0),
        2 => Value::from(random.below(1 << 40)),
        3 => Value::Object(Map::new()),
        4 => Value::String(NAMES[random.below(NAMES.len())].to_owned()),
        _ => Value::String(WORDS[random.below(WORDS.len())].to_owned()),
    }
}

fn changed_text(text: &str, random: &mut Random) -> String {
    match random.below(5) {
        0 => WORDS[random.below(WORDS.len())].to_owned(),
        1 => format!("{text}{}", WORDS[random.below(WORDS.len())]),
        2 => text.to_uppercase(),
        3 => text
            .chars()
            .chain(['x'])
            .cycle()
            .take(random.below(LONG))
            .collect(),
        _ => {
            let mut bytes = text.as_bytes().to_vec();
            let size = bytes.len();
            bytes.resize(size + 16, 0);
            let size = fuzzer_mutate(&mut bytes, size, size + 16);
            String::from_utf8_lossy(&bytes[..size]).into_owned()
        }
    }
}

/// How many values `value` contains, including itself.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(values) => values.iter().map(count).sum::<usize>(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// The value at `index`, in the order of [`count`].
fn nth(value: &mut Value, mut index: usize) -> &mut Value {
    if index == 0 {
        return value;
    }
    index -= 1;
    let inner: Vec<&mut Value> = match value {
        Value::Array(values) => values.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => unreachable!("the index is below the count"),
    };
    for inner in inner {
        let size = count(inner);
        if index < size {
            return nth(inner, index);
        }
        index -= size;
    }
    unreachable!("the index is below the count")
}

/// Numbers derived from a seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or_default() % end.max(1)
    }
}
