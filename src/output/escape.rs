//! The one escaping module: text from an event is hostile, and each place it lands in has its own dangers.
//!
//! Everywhere, characters that cannot be seen or that move others about are shown as `\u{..}`: control characters
//! (so no line can be forged), direction marks, zero-width characters, combining marks, and every space after a first
//! one (so no text can be pushed to where the next line begins).

use std::fmt::Write as _;

use serde_json::Value;

mod links;

use self::links::{without_hosts, without_links};

/// The longest that a text of no fixed form is shown, in characters: a user agent, an error message.
pub const LONGEST_TEXT: usize = 200;

/// The longest that a name, an id or an ARN is shown, in characters. An ARN with a long path fits.
pub const LONGEST_ID: usize = 300;

/// The longest subject that SNS takes. Source: SNS API reference, `Publish`: less than 100 characters.
const LONGEST_SUBJECT: usize = 99;

/// Where readable text lands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A terminal.
    Terminal,
    /// Plain text, such as an e-mail's.
    PlainText,
    /// A chat message in the client's markdown.
    Chat,
}

impl Place {
    /// `text` made safe for this place, cut to `longest` characters.
    #[must_use]
    pub fn escape(self, text: &str, longest: usize) -> String {
        match self {
            Self::Terminal => for_terminal(text, longest),
            Self::PlainText => for_plain_text(text, longest),
            Self::Chat => for_chat(text, longest),
        }
    }

    /// The same for a text that its writer chose freely, such as a user agent: a bare host name does
    /// not become a link either.
    #[must_use]
    pub fn escape_free_text(self, text: &str, longest: usize) -> String {
        match self {
            Self::PlainText => free_text_for_plain_text(text, longest),
            Self::Terminal | Self::Chat => self.escape(text, longest),
        }
    }

    /// `line`, a command for a shell, as this place shows it; `None` if it could not be pasted from
    /// there.
    ///
    /// Links are not broken in it: a user name like `www.example.com` must not cost people the command.
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

/// `text` for an e-mail or another plain text, cut to `longest` characters. Mail programs make links of addresses, so
/// `://` becomes `[:]//`, and `www.` becomes `www[.]`.
#[must_use]
pub fn for_plain_text(text: &str, longest: usize) -> String {
    cut(visible(&without_links(text)), longest)
}

/// The same for a text that its writer chose freely: `evil.example` becomes `evil[.]example` too.
#[must_use]
pub fn free_text_for_plain_text(text: &str, longest: usize) -> String {
    cut(visible(&without_hosts(text)), longest)
}

/// `text` for a chat message that Amazon Q shows in the client's own markdown, cut to `longest` characters.
///
/// Slack and Teams share no escape: Slack knows no backslash, Teams leaves entities in code as they are. Both show a
/// code span as it stands, without bold, links, mentions, emoji or headings, and ids can be copied from it. So the text
/// becomes a code span, and what could end one or means something to Slack even in one is replaced by a look-alike:
/// backtick, `<`, `>`, `&`, and an `@` that begins a word (`bob@example.com` stays as it is).
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
        // Two backticks would begin a code span that does not end here.
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
    cut_with(pieces, LONGEST_SUBJECT, "...")
}

/// `text` for an HTML element or a quoted attribute. Not cut.
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

/// A JSON document for a `<script>` element of a page that shows its texts: none of them ends the element, and what cannot be
/// seen is shown in every one. Not cut.
#[must_use]
pub fn for_script(document: &Value) -> String {
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

/// `text` as the value of a CSV field, which the writer quotes where it has to. Not cut.
///
/// What a spreadsheet would take for a formula begins with `'` (OWASP, CSV injection), and so does what begins with `'`
/// itself: one `'` taken off the beginning gives the text back. `;` is shown as `\u{3b}`, for where that separates fields
/// a spreadsheet parts the line there, quoted or not, and what follows could be a formula again.
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

/// Readable `text`, made safe already, as a message string of SARIF, which has placeholders and links of its own: braces are
/// doubled (SARIF 2.1.0, 3.11.5), and a space parts what would be a link (3.11.6).
#[must_use]
pub fn for_sarif(text: &str) -> String {
    text.replace('{', "{{")
        .replace('}', "}}")
        .replace("](", "] (")
}

/// `text` as one segment of a URI's path, of unreserved characters (RFC 3986, 2.3); never one that leads elsewhere. Not cut.
#[must_use]
pub fn for_uri_segment(text: &str) -> String {
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

/// A JSON document that may be shown on a terminal: characters that cannot be seen, or that move others about, are
/// written as JSON's own escapes, so that it is the same document.
#[must_use]
pub fn for_json(document: &str) -> String {
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

/// `text` character by character, each as it is to be shown.
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

/// Whether `character` cannot be seen, or moves others about. Spaces other than the usual one count, as they could
/// pass for it; so do combining marks, which pile up over the lines around them, and what Unicode assigns to nothing.
fn is_hidden(character: char) -> bool {
    // What Rust's own table of characters escapes is of no use to the eye; it knows every assigned one.
    let is_escaped_by_rust = || character.escape_debug().len() > 1;
    // Letters and signs that are blank.
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

/// The pieces up to `longest` characters, never half a piece; `ending` stands for what was left out.
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
    fn no_hidden_character_gets_through_any_of_them() {
        for text in HOSTILE.iter() {
            for shown in [
                for_terminal(text, LONGEST_TEXT),
                for_plain_text(text, LONGEST_TEXT),
                for_chat(text, LONGEST_TEXT),
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
    fn plain_text_holds_no_link() {
        for text in HOSTILE.iter() {
            for shown in [
                for_plain_text(text, LONGEST_TEXT),
                free_text_for_plain_text(text, LONGEST_TEXT),
            ] {
                assert_eq!(first_link(&shown), None, "{text:?}");
            }
            let shown = free_text_for_plain_text(text, LONGEST_TEXT);
            assert!(!shown.contains("evil.example"), "{shown}");
        }
    }

    #[test]
    fn a_command_is_the_same_in_every_place_or_not_there() {
        for user in ["alice", "first.last", "bob@example.com", "www.example.com"] {
            let line = format!("aws iam delete-access-key --user-name {user}");
            for place in [Place::Terminal, Place::PlainText] {
                assert_eq!(place.command(&line).as_ref(), Some(&line));
            }
            assert_eq!(Place::Chat.command(&line), Some(format!("`{line}`")));
        }
        for line in ["a\u{200b}b", "a  b", "see https://x"] {
            for place in [Place::Terminal, Place::PlainText, Place::Chat] {
                assert_eq!(place.command(line), None, "{line}");
            }
        }
    }

    #[test]
    fn what_unicode_calls_ignorable_or_a_control_is_shown_beyond_the_first_plane_too() {
        for hidden in ['\u{13430}', '\u{1bca0}', '\u{1d173}', '\u{e0001}'] {
            let shown = for_terminal(&format!("a{hidden}b"), LONGEST_TEXT);
            assert_eq!(shown, format!("a{}b", hidden.escape_unicode()));
        }
    }

    #[test]
    fn a_json_document_stays_the_same_document() {
        for text in HOSTILE.iter() {
            let shown = for_json(&serde_json::json!({ "text": text }).to_string());
            assert_eq!(first_unseen(&shown), None, "{shown:?}");
            let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
            assert_eq!(read["text"], *text);
        }
    }

    #[test]
    fn a_script_element_holds_one_document_that_shows_what_cannot_be_seen() {
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
    fn a_chat_message_holds_one_code_span_and_nothing_that_ends_it_or_calls_people() {
        for text in HOSTILE.iter() {
            let shown = for_chat(text, LONGEST_TEXT);
            let inner = shown.strip_prefix('`').unwrap().strip_suffix('`').unwrap();
            assert!(!inner.contains(['`', '<', '>', '&', '\n']), "{shown}");
            assert!(!inner.contains("://"), "{shown}");
            assert!(!inner.starts_with('@') && !inner.contains(" @"), "{shown}");
        }
        assert_eq!(for_chat("", LONGEST_TEXT), "(empty)");
    }

    #[test]
    fn html_csv_and_subject_hold_nothing_of_their_own_syntax() {
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
            let message = for_sarif(&for_plain_text(text, LONGEST_TEXT));
            assert!(!message.contains("]("), "{message}");
            let outside = message.replace("{{", "").replace("}}", "");
            assert!(!outside.contains(['{', '}']), "{message}");
        }
    }

    #[test]
    fn each_place_shows_harmless_text_as_it_is() {
        for text in [
            "arn:aws:sts::111122223333:assumed-role/Admin_Role/bob@example.com",
            "aws-cli/2.15.30 Python/3.11.8 md/awscrt#0.19.19 [x] (y)",
            "Zoë 学",
        ] {
            assert_eq!(for_terminal(text, LONGEST_TEXT), text);
            assert_eq!(for_plain_text(text, LONGEST_TEXT), text);
            assert_eq!(Place::PlainText.escape(text, LONGEST_TEXT), text);
            assert_eq!(for_chat(text, LONGEST_TEXT), format!("`{text}`"));
            assert_eq!(for_html(text), text);
            assert_eq!(for_csv(text), text);
        }
    }

    #[test]
    fn hidden_characters_links_formulas_and_markup_in_words() {
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
    fn long_text_is_cut_and_never_within_an_escape() {
        assert_eq!(for_terminal(&"x".repeat(10), 10), "x".repeat(10));
        assert_eq!(for_terminal(&"x".repeat(11), 10), "xxxxxxxxx…");
        assert_eq!(for_terminal("xxxxx\u{7}\u{7}", 10), "xxxxx…");
        assert_eq!(for_subject(&"x".repeat(200)).len(), 99);
        let arn = format!("arn:aws:iam::111122223333:user/{}", "p".repeat(260));
        assert_eq!(for_plain_text(&arn, LONGEST_ID), arn);
    }
}
