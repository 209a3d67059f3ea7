//! Divides the lists in a server's answers into pages, as AWS does. moto answers most lists whole,
//! whatever the client asks for; DynamoDB Local divides them itself if the request has a limit.

use serde_json::Value;

use super::relay::Request;

/// A list that AWS divides, from the API references: its action, its name in the answer, and the
/// names of the token in the request and in the answer.
const LISTS: [(&str, &str, &str, &str); 6] = [
    ("ListAccessKeys", "AccessKeyMetadata", "Marker", "Marker"),
    ("ListAccounts", "Accounts", "NextToken", "NextToken"),
    (
        "ListStackResources",
        "StackResourceSummaries",
        "NextToken",
        "NextToken",
    ),
    (
        "ListSubscriptionsByTopic",
        "Subscriptions",
        "NextToken",
        "NextToken",
    ),
    ("ListUsers", "Users", "Marker", "Marker"),
    (
        "event-source-mappings",
        "EventSourceMappings",
        "Marker",
        "NextMarker",
    ),
];

/// Which part of a list a request asks for.
pub struct Page {
    list: &'static str,
    token: &'static str,
    begin: usize,
    size: usize,
}

/// Makes `request` ask for the whole list, and returns which page of at most `size` items it asked
/// for, if it asked for a list.
pub fn of(request: &mut Request, action: &str, size: usize) -> Option<Page> {
    if ["Query", "Scan"].contains(&action) {
        // DynamoDB Local counts items before it filters them, as DynamoDB does.
        let mut body: Value = serde_json::from_slice(&request.body).ok()?;
        body["Limit"] = size.into();
        set_body(request, body.to_string().into_bytes());
        return None;
    }
    let is_asked = |name: &str| action == name || is_rest_list(request, name);
    let (_, list, token, next) = LISTS.into_iter().find(|(name, ..)| is_asked(name))?;
    let begin = take_token(request, token);
    Some(Page {
        list,
        token: next,
        begin: begin.map_or(0, |begin| {
            begin.parse().expect("a token of ours is a number")
        }),
        size,
    })
}

/// Whether `request` reads the collection `name`, as Lambda's API has them.
fn is_rest_list(request: &Request, name: &str) -> bool {
    let line = request.head.lines().next().unwrap_or_default();
    line.starts_with("GET ") && line.contains(&format!("/{name}"))
}

/// Removes the parameter `name` from `request` and returns its value.
fn take_token(request: &mut Request, name: &str) -> Option<String> {
    let of_query = |text: &str| {
        let start = text.find(&format!("{name}="))?;
        let value = text[start + name.len() + 1..]
            .split(['&', ' ', '\r'])
            .next()?;
        Some(value.to_owned())
    };
    if let Ok(mut body) = serde_json::from_slice::<Value>(&request.body) {
        let token = body.as_object_mut()?.remove(name)?;
        set_body(request, body.to_string().into_bytes());
        return token.as_str().map(str::to_owned);
    }
    let body = String::from_utf8_lossy(&request.body).into_owned();
    if let Some(token) = of_query(&body) {
        let without = body.replacen(&format!("&{name}={token}"), "", 1);
        set_body(request, without.into_bytes());
        return Some(token);
    }
    let token = of_query(request.head.lines().next()?)?;
    request.head = request.head.replacen(&format!("{name}={token}"), "", 1);
    Some(token)
}

fn set_body(request: &mut Request, body: Vec<u8>) {
    let lines = request.head.split("\r\n").map(|line| {
        let is_length = line.to_lowercase().starts_with("content-length:");
        let length = format!("Content-Length: {}", body.len());
        if is_length { length } else { line.to_owned() }
    });
    request.head = lines.collect::<Vec<_>>().join("\r\n");
    request.body = body;
}

impl Page {
    /// This page of the list in `answer`, which has the whole list. AWS promises no order, and the
    /// last item comes first, so that none is found only because it happens to be the first.
    pub fn cut(&self, answer: &[u8]) -> Option<Vec<u8>> {
        let answer = String::from_utf8_lossy(answer);
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let body = match serde_json::from_str(body) {
            Ok(body) => self.cut_json(body)?.to_string(),
            Err(_) => self.cut_xml(body)?,
        };
        let head = head.lines().filter(|line| {
            let name = line.split(':').next().unwrap_or_default().to_lowercase();
            name != "content-length" && name != "transfer-encoding"
        });
        let head = head.collect::<Vec<_>>().join("\r\n");
        let length = body.len();
        Some(format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes())
    }

    fn cut_json(&self, mut body: Value) -> Option<Value> {
        let items = body[self.list].as_array()?.clone();
        let (page, next) = self.part(items);
        body[self.list] = page.into();
        if let Some(next) = next {
            body[self.token] = next.to_string().into();
        }
        Some(body)
    }

    fn cut_xml(&self, body: &str) -> Option<String> {
        let list = self.list;
        let (before, rest) = body.split_once(&format!("<{list}>"))?;
        let (members, after) = rest.split_once(&format!("</{list}>"))?;
        let items = members.split_inclusive("</member>");
        let items = items.filter(|item| item.contains("<member>"));
        let (page, next) = self.part(items.map(str::to_owned).collect());
        let more = match (self.token, next) {
            ("Marker", Some(next)) => {
                format!("<IsTruncated>true</IsTruncated><Marker>{next}</Marker>")
            }
            ("Marker", None) => "<IsTruncated>false</IsTruncated>".to_owned(),
            (token, Some(next)) => format!("<{token}>{next}</{token}>"),
            (_, None) => String::new(),
        };
        let after = after.replace("<IsTruncated>false</IsTruncated>", "");
        Some(format!(
            "{before}<{list}>{}</{list}>{more}{after}",
            page.concat()
        ))
    }

    /// The items of this page, and where the next one begins if there is one.
    fn part<T>(&self, items: Vec<T>) -> (Vec<T>, Option<usize>) {
        let end = self.begin + self.size;
        let next = (end < items.len()).then_some(end);
        let reversed = items.into_iter().rev();
        (reversed.skip(self.begin).take(self.size).collect(), next)
    }
}
