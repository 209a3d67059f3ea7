//! The only escaping module. Text from an event is hostile, and each output has its own dangers.
//!
//! Every output shows characters that are invisible or move others as `\u{..}`: control characters
//! (so that no line can be forged), direction marks, zero-width characters, combining marks, and
//! every space after the first (so that text cannot be pushed to where the next line starts).

use std::fmt::Write as _;

use serde_json::Value;

mod links;

use self::links::{without_hosts, without_links};

/// The longest free text that is shown, such as a user agent or an error message, in characters.
pub const MAX_TEXT_CHARS: usize = 200;

/// The longest name, ID or ARN that is shown, in characters. An ARN with a long path fits.
pub(crate) const MAX_ID_CHARS: usize = 300;

/// The longest subject that SNS accepts. Source: SNS API reference, `Publish`: less than 100
/// characters.
const MAX_SUBJECT_CHARS: usize = 99;

/// The output that shows readable text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputContext {
    /// A terminal.
    Terminal,
    /// Plain text, such as an email.
    PlainText,
    /// A chat message in the client's Markdown.
    Chat,
}

impl OutputContext {
    /// `text` made safe for this output, cut to `longest` characters.
    #[must_use]
    pub fn escape(self, text: &str, longest: usize) -> String {
        match self {
            Self::Terminal => for_terminal(text, longest),
            Self::PlainText => for_plain_text(text, longest),
            Self::Chat => for_chat(text, longest),
        }
    }

    /// The same for a text that its author could choose freely, such as a user agent: a bare host
    /// name does not become a link either.
    #[must_use]
    pub fn escape_free_text(self, text: &str, longest: usize) -> String {
        match self {
            Self::PlainText => free_text_for_plain_text(text, longest),
            Self::Terminal | Self::Chat => self.escape(text, longest),
        }
    }

    /// `line`, a shell command, as this output shows it; `None` if it could not be pasted from
    /// there.
    ///
    /// Links are not broken in it: a user name like `www.example.com` must not cost the reader the
    /// command.
    #[must_use]
    pub fn command(self, line: &str) -> Option<String> {
        let shown = match self {
            Self::Terminal | Self::PlainText => for_terminal(line, line.len()),
            Self::Chat => for_chat(line, line.len()),
        };
        let is_pasteable = shown.trim_matches('`') == line && !line.contains("://");
        is_pasteable.then_some(shown)
    }
}

/// `text` for a terminal, cut to `longest` characters.
#[must_use]
pub fn for_terminal(text: &str, longest: usize) -> String {
    cut(visible(text), longest)
}

/// `text` for an email or other plain text, cut to `longest` characters. Mail programs turn
/// addresses into links, so `://` becomes `[:]//` and `www.` becomes `www[.]`.
#[must_use]
pub fn for_plain_text(text: &str, longest: usize) -> String {
    cut(visible(&without_links(text)), longest)
}

/// The same for a text that its author could choose freely: `evil.example` becomes `evil[.]example`
/// too.
#[must_use]
pub fn free_text_for_plain_text(text: &str, longest: usize) -> String {
    cut(visible(&without_hosts(text)), longest)
}

/// `text` for a chat message that Amazon Q shows in the client's own Markdown, cut to `longest`
/// characters.
///
/// Slack and Teams have no escape in common: Slack ignores backslashes, and Teams shows entities in
/// code literally. Both show a code span literally, without bold, links, mentions, emoji or
/// headings, and an ID can be copied from it. So the text becomes a code span. Look-alikes replace
/// the characters that could end it, or that Slack interprets even inside it: the backtick, `<`,
/// `>`, `&`, and an `@` that starts a word (`bob@example.com` stays as it is).
#[must_use]
pub fn for_chat(text: &str, longest: usize) -> String {
    let mut is_in_word = false;
    let inert: String = text
        .replace("://", "[:]//")
        .chars()
        .map(|character| {
            let begins_mention = character == '@' && !is_in_word;
            is_in_word = character.is_alphanumeric();
            match character {
                '`' => '\'',
                '<' => '‹',
                '>' => '›',
                '&' => '＆',
                '@' if begins_mention => '＠',
                other => other,
            }
        })
        .collect();
    if inert.is_empty() {
        // Two backticks would start a code span that does not end here.
        return "(empty)".to_owned();
    }
    format!("`{}`", cut(visible(&inert), longest))
}

/// `text` as the subject of an SNS message: printable ASCII, shorter than 100 characters.
#[must_use]
pub fn for_subject(text: &str) -> String {
    let pieces = text.trim_start().chars().map(|character| {
        let is_shown = character == ' ' || character.is_ascii_graphic();
        if is_shown { character } else { '?' }.to_string()
    });
    cut_with(pieces, MAX_SUBJECT_CHARS, "...")
}

/// `text` for an HTML element or a quoted attribute. It is not cut.
#[must_use]
pub fn for_html(text: &str) -> String {
    visible(text)
        .map(|piece| match piece.as_str() {
            "&" => "&amp;".to_owned(),
            "<" => "&lt;".to_owned(),
            ">" => "&gt;".to_owned(),
            "\"" => "&quot;".to_owned(),
            "'" => "&#39;".to_owned(),
            _ => piece,
        })
        .collect()
}

/// A JSON document for a `<script>` element of a page that shows its texts. No text can end the
/// element, and invisible characters are shown in each. It is not cut.
#[must_use]
pub(crate) fn for_script(document: &Value) -> String {
    let mut safe = String::new();
    for character in with_visible_texts(document).to_string().chars() {
        match character {
            '<' | '>' | '&' => {
                // Writing to a String cannot fail.
                let _ = write!(safe, "\\u{:04x}", u32::from(character));
            }
            other => safe.push(other),
        }
    }
    safe
}

fn with_visible_texts(document: &Value) -> Value {
    match document {
        Value::String(text) => Value::String(visible(text).collect()),
        Value::Array(values) => values.iter().map(with_visible_texts).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (visible(name).collect::<String>(), with_visible_texts(value)))
            .collect(),
        other => other.clone(),
    }
}

/// `text` as the value of a CSV field. The CSV writer adds quotes where needed. It is not cut.
///
/// A text that a spreadsheet would read as a formula gets a `'` in front (OWASP, CSV injection),
/// and so does one that already starts with `'`: removing one `'` restores the text. `;` becomes
/// `\u{3b}`, because a spreadsheet that separates fields by `;` splits the line there, quoted or
/// not, and the rest could be a formula again.
#[must_use]
pub fn for_csv(text: &str) -> String {
    let is_formula = text.starts_with(['\t', '\r', '\''])
        || text
            .trim_start()
            .starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    let pieces = visible(text).map(|piece| match piece.as_str() {
        ";" => ';'.escape_unicode().to_string(),
        _ => piece,
    });
    is_formula
        .then(|| "'".to_owned())
        .into_iter()
        .chain(pieces)
        .collect()
}

/// Readable `text`, already made safe, as a SARIF message string. SARIF has its own placeholders
/// and links: braces are doubled (SARIF 2.1.0, 3.11.5), and a space splits what would be a link
/// (3.11.6).
#[must_use]
pub(crate) fn for_sarif(text: &str) -> String {
    text.replace('{', "{{")
        .replace('}', "}}")
        .replace("](", "] (")
}

/// `text` as one segment of a URI's path, of unreserved characters (RFC 3986, 2.3). It can never be
/// `.` or `..`. It is not cut.
#[must_use]
pub(crate) fn for_uri_segment(text: &str) -> String {
    let is_dots = text.bytes().all(|byte| byte == b'.');
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        let is_unreserved =
            byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) || (byte == b'.' && !is_dots);
        if is_unreserved {
            segment.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(segment, "%{byte:02X}");
        }
    }
    segment
}

/// A JSON document that is safe to show on a terminal. Characters that are invisible or move others
/// become JSON escapes, so the document stays the same.
#[must_use]
pub fn for_json(document: &str) -> String {
    // In ASCII, JSON can contain only two hidden characters: line feed and DEL.
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) || byte == b'\n';
    if document.bytes().all(is_plain) {
        return document.to_owned();
    }
    let mut safe = String::with_capacity(document.len());
    for character in document.chars() {
        if is_hidden(character) && !character.is_ascii_whitespace() {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                // Writing to a String cannot fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(character);
        }
    }
    safe
}

/// `text` character by character, each in its visible form.
fn visible(text: &str) -> impl Iterator<Item = String> {
    text.chars().scan(false, |is_after_space, character| {
        let is_shown = match character {
            ' ' => !*is_after_space,
            other => !is_hidden(other),
        };
        *is_after_space = character == ' ';
        Some(if is_shown {
            character.to_string()
        } else {
            character.escape_unicode().to_string()
        })
    })
}

/// Whether `character` is invisible or moves others. That includes spaces other than the usual one,
/// which look like it; combining marks, which pile up over the lines around them; and code points
/// that Unicode has not assigned.
fn is_hidden(character: char) -> bool {
    // Rust's own table says which characters are not printable; it knows every assigned one.
    let is_escaped_by_rust = || character.escape_debug().len() > 1;
    // Letters and symbols that are blank.
    let is_blank = matches!(
        character,
        '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}' | '\u{fffc}' | '\u{1d159}'
    );
    character.is_control()
        || character.is_whitespace()
        || (!character.is_ascii() && (is_blank || is_escaped_by_rust()))
}

fn cut(pieces: impl Iterator<Item = String>, longest: usize) -> String {
    cut_with(pieces, longest, "…")
}

/// The pieces up to `longest` characters, never half a piece. `ending` marks what was cut off.
fn cut_with(pieces: impl Iterator<Item = String>, longest: usize, ending: &str) -> String {
    let pieces: Vec<String> = pieces.collect();
    let length = |text: &str| text.chars().count();
    if pieces.iter().map(|piece| length(piece)).sum::<usize>() <= longest {
        return pieces.concat();
    }
    let room = longest.saturating_sub(length(ending));
    let mut used = 0;
    pieces
        .into_iter()
        .take_while(|piece| {
            used += length(piece);
            used <= room
        })
        .chain([ending.to_owned()])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::hostile::{first_link, first_unseen};
    use crate::output::testing::HOSTILE;

    #[test]
    fn no_escape_lets_hidden_characters_through() {
        for text in HOSTILE.iter() {
            for shown in [
                for_terminal(text, MAX_TEXT_CHARS),
                for_plain_text(text, MAX_TEXT_CHARS),
                for_chat(text, MAX_TEXT_CHARS),
                for_subject(text),
                for_html(text),
                for_csv(text),
            ] {
                assert_eq!(first_unseen(&shown), None, "{text:?} became {shown:?}");
                assert!(!shown.contains('\n'), "{text:?} became {shown:?}");
            }
        }
    }

    #[test]
    fn plain_text_has_no_link() {
        for text in HOSTILE.iter() {
            for shown in [
                for_plain_text(text, MAX_TEXT_CHARS),
                free_text_for_plain_text(text, MAX_TEXT_CHARS),
            ] {
                assert_eq!(first_link(&shown), None, "{text:?}");
            }
            let shown = free_text_for_plain_text(text, MAX_TEXT_CHARS);
            assert!(!shown.contains("evil.example"), "{shown}");
        }
    }

    #[test]
    fn command_is_unchanged_in_every_output_or_missing() {
        for user in ["alice", "first.last", "bob@example.com", "www.example.com"] {
            let line = format!("aws iam delete-access-key --user-name {user}");
            for context in [OutputContext::Terminal, OutputContext::PlainText] {
                assert_eq!(context.command(&line).as_ref(), Some(&line));
            }
            assert_eq!(
                OutputContext::Chat.command(&line),
                Some(format!("`{line}`"))
            );
        }
        for line in ["a\u{200b}b", "a  b", "see https://x"] {
            for context in [
                OutputContext::Terminal,
                OutputContext::PlainText,
                OutputContext::Chat,
            ] {
                assert_eq!(context.command(line), None, "{line}");
            }
        }
    }

    #[test]
    fn ignorable_and_control_characters_of_all_planes_are_shown() {
        for hidden in ['\u{13430}', '\u{1bca0}', '\u{1d173}', '\u{e0001}'] {
            let shown = for_terminal(&format!("a{hidden}b"), MAX_TEXT_CHARS);
            assert_eq!(shown, format!("a{}b", hidden.escape_unicode()));
        }
    }

    #[test]
    fn escaped_json_is_the_same_document() {
        for text in HOSTILE.iter() {
            let shown = for_json(&serde_json::json!({ "text": text }).to_string());
            assert_eq!(first_unseen(&shown), None, "{shown:?}");
            let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
            assert_eq!(read["text"], *text);
        }
    }

    #[test]
    fn script_element_has_one_document_with_hidden_text_shown() {
        for text in HOSTILE.iter() {
            let document = serde_json::json!({"texts": [{text: text}, 7, null]});
            let shown = for_script(&document);
            assert_eq!(first_unseen(&shown), None, "{shown:?}");
            assert!(!shown.contains(['<', '>', '&', '\n']), "{shown}");
            let read: Value = serde_json::from_str(&shown).unwrap();
            let (name, value) = read["texts"][0].as_object().unwrap().iter().next().unwrap();
            assert_eq!(value.as_str(), Some(name.as_str()));
            assert_eq!(first_unseen(name), None, "{name:?}");
            assert_eq!(read["texts"][1], 7);
        }
        let shown = for_script(&serde_json::json!("</script>\u{202e}"));
        assert_eq!(shown, r#""\u003c/script\u003e\\u{202e}""#);
    }

    #[test]
    fn chat_text_is_one_code_span_without_mentions() {
        for text in HOSTILE.iter() {
            let shown = for_chat(text, MAX_TEXT_CHARS);
            let inner = shown.strip_prefix('`').unwrap().strip_suffix('`').unwrap();
            assert!(!inner.contains(['`', '<', '>', '&', '\n']), "{shown}");
            assert!(!inner.contains("://"), "{shown}");
            assert!(!inner.starts_with('@') && !inner.contains(" @"), "{shown}");
        }
        assert_eq!(for_chat("", MAX_TEXT_CHARS), "(empty)");
    }

    #[test]
    fn html_csv_and_subject_have_no_syntax_from_the_text() {
        for text in HOSTILE.iter() {
            let html = for_html(text);
            assert!(!html.contains(['<', '>', '"', '\'']), "{html}");
            let csv = for_csv(text);
            assert!(!csv.starts_with(['=', '+', '-', '@', '＝']), "{csv}");
            assert!(!csv.contains(';'), "{csv}");
            let subject = for_subject(text);
            assert!(subject.len() < 100 && subject.is_ascii(), "{subject}");
            let segment = for_uri_segment(text);
            assert!(
                segment
                    .chars()
                    .all(|at| at.is_ascii_alphanumeric() || "-._~%".contains(at))
            );
            let message = for_sarif(&for_plain_text(text, MAX_TEXT_CHARS));
            assert!(!message.contains("]("), "{message}");
            let outside = message.replace("{{", "").replace("}}", "");
            assert!(!outside.contains(['{', '}']), "{message}");
        }
    }

    #[test]
    fn harmless_text_is_unchanged() {
        for text in [
            "arn:aws:sts::111122223333:assumed-role/Admin_Role/bob@example.com",
            "aws-cli/2.15.30 Python/3.11.8 md/awscrt#0.19.19 [x] (y)",
            "Zoë 学",
        ] {
            assert_eq!(for_terminal(text, MAX_TEXT_CHARS), text);
            assert_eq!(for_plain_text(text, MAX_TEXT_CHARS), text);
            assert_eq!(OutputContext::PlainText.escape(text, MAX_TEXT_CHARS), text);
            assert_eq!(for_chat(text, MAX_TEXT_CHARS), format!("`{text}`"));
            assert_eq!(for_html(text), text);
            assert_eq!(for_csv(text), text);
        }
    }

    #[test]
    fn hidden_characters_links_formulas_and_markup_are_escaped() {
        assert_eq!(
            for_terminal("a\x1b[2Kb\nc\u{9b}d\u{202e}e  f", 100),
            r"a\u{1b}[2Kb\u{a}c\u{9b}d\u{202e}e \u{20}f"
        );
        assert_eq!(
            for_plain_text("see http://evil.example", 100),
            "see http[:]//evil.example"
        );
        assert_eq!(
            for_chat("<!channel> `*x*` @here &lt;", 100),
            "`‹!channel› '*x*' ＠here ＆lt;`"
        );
        assert_eq!(for_html("<b a='1'>&"), "&lt;b a=&#39;1&#39;&gt;&amp;");
        assert_eq!(for_csv("=1+1"), "'=1+1");
        assert_eq!(for_csv("\t=1"), r"'\u{9}=1");
        assert_eq!(for_csv("-1,\"x\""), "'-1,\"x\"");
        assert_eq!(for_csv("a;=1"), r"a\u{3b}=1");
        assert_eq!(for_csv("'=1"), "''=1");
        assert_eq!(for_subject("é\r\nBcc: x"), "???Bcc: x");
        assert_eq!(for_sarif("{0} [a](1)"), "{{0}} [a] (1)");
        assert_eq!(for_uri_segment("a/../é"), "a%2F..%2F%C3%A9");
        assert_eq!(for_uri_segment(".."), "%2E%2E");
    }

    #[test]
    fn long_text_is_cut_but_not_within_an_escape() {
        assert_eq!(for_terminal(&"x".repeat(10), 10), "x".repeat(10));
        assert_eq!(for_terminal(&"x".repeat(11), 10), "xxxxxxxxx…");
        assert_eq!(for_terminal("xxxxx\u{7}\u{7}", 10), "xxxxx…");
        assert_eq!(for_subject(&"x".repeat(200)).len(), 99);
        let arn = format!("arn:aws:iam::111122223333:user/{}", "p".repeat(260));
        assert_eq!(for_plain_text(&arn, MAX_ID_CHARS), arn);
    }
}
