//! Text that mail programs do not turn into links.
//!
//! Mail programs link a scheme with `://`, `www.`, `mailto:` and similar schemes, and Windows
//! shares. Many also link a bare `name.tld`, with or without a path.

/// Schemes that mail programs link without `//`.
const SCHEMES: [&str; 6] = ["callto", "file", "mailto", "news", "sms", "tel"];

/// `text` without links. Bare host names stay: user names, ARNs and finding IDs look like them, and
/// people copy those.
pub(super) fn without_links(text: &str) -> String {
    each_word(text, false)
}

/// `text`, which its author could choose freely, without links and without bare host names, except
/// those of AWS services.
pub(super) fn without_hosts(text: &str) -> String {
    each_word(text, true)
}

/// A word consists of the characters of a host name. Everything between two words is one separator,
/// so `://` is never split.
fn each_word(text: &str, hosts_too: bool) -> String {
    let is_in_word = |character: char| character.is_alphanumeric() || "-_.".contains(character);
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|character| !is_in_word(character));
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        let next = after.find(is_in_word);
        let (separator, later) = after.split_at(next.unwrap_or(after.len()));
        push_word(
            &mut safe,
            word,
            hosts_too && !is_aws_service(word, separator),
        );
        if separator.starts_with(':') && SCHEMES.iter().any(|scheme| ends_in(word, scheme)) {
            safe.push_str(&separator.replacen(':', "[:]", 1));
        } else {
            safe.push_str(&separator.replace("://", "[:]//"));
        }
        rest = later;
    }
    // Outlook links `\\server\share`.
    safe.replace(r"\\", r"\[\]")
}

fn push_word(safe: &mut String, word: &str, hosts_too: bool) {
    for (at, character) in word.char_indices() {
        let (before, after) = (word.get(..at), word.get(at + character.len_utf8()..));
        let is_www = before.is_some_and(|before| ends_in(before, "www"));
        let is_host = hosts_too && at > 0 && after.is_some_and(begins_like_top_level);
        if character == '.' && (is_www || is_host) {
            safe.push_str("[.]");
        } else {
            safe.push(character);
        }
    }
}

/// Whether the last part of `word` is `part`, ignoring case. Some mail programs treat a non-ASCII
/// letter as a separator.
fn ends_in(word: &str, part: &str) -> bool {
    let last = word
        .rsplit(|character: char| !character.is_ascii_alphanumeric())
        .next();
    last.is_some_and(|last| last.eq_ignore_ascii_case(part))
}

/// Whether `text` starts like a top-level domain. A version number does not.
fn begins_like_top_level(text: &str) -> bool {
    let mut characters = text.chars();
    let mut is_letter = || characters.next().is_some_and(char::is_alphabetic);
    is_letter() && is_letter()
}

/// Whether `word` is the name of a calling AWS service, such as `signin.amazonaws.com`. With a path
/// or a port after it, it would be an address where others can host a page.
fn is_aws_service(word: &str, separator: &str) -> bool {
    let word = word.to_ascii_lowercase();
    let service = word
        .strip_suffix(".amazonaws.com")
        .or_else(|| word.strip_suffix(".amazonaws.com.cn"));
    service.is_some_and(|service| !service.contains('.'))
        && !separator.starts_with(['/', ':', '?', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, links: &str, hosts: &str) {
        assert_eq!(without_links(text), links);
        assert_eq!(without_hosts(text), hosts);
    }

    /// Checks that neither function changes `text`.
    #[track_caller]
    fn unchanged(text: &str) {
        check(text, text, text);
    }

    #[test]
    fn links_of_every_mail_program_are_broken() {
        for (text, shown) in [
            ("https://x", "https[:]//x"),
            ("a://b://c", "a[:]//b[:]//c"),
            ("see www.x1", "see www[.]x1"),
            ("WwW.x1", "WwW[.]x1"),
            ("(_www.x1,www.x1)", "(_www[.]x1,www[.]x1)"),
            ("a-www.x1", "a-www[.]x1"),
            ("éwww.x1", "éwww[.]x1"),
            ("mailto:a", "mailto[:]a"),
            ("MAILTO:a", "MAILTO[:]a"),
            ("file://a", "file[:]//a"),
            ("file:/a", "file[:]/a"),
            ("tel:1,sms:1", "tel[:]1,sms[:]1"),
            (r"\\evil\share", r"\[\]evil\share"),
        ] {
            check(text, shown, shown);
        }
    }

    #[test]
    fn host_names_are_broken_in_free_text() {
        for (text, hosts) in [
            ("evil.example", "evil[.]example"),
            ("evil.example/x?y", "evil[.]example/x?y"),
            ("evil.example:8080", "evil[.]example:8080"),
            ("a.b-c.evil.co.uk", "a.b-c[.]evil[.]co[.]uk"),
            ("evil.com.1", "evil[.]com.1"),
            ("mail bob@evil.example", "mail bob@evil[.]example"),
            ("xn--e1afmkfd.xn--p1ai", "xn--e1afmkfd[.]xn--p1ai"),
            ("пример.рф", "пример[.]рф"),
            ("s3.amazonaws.com/evil/x", "s3[.]amazonaws[.]com/evil/x"),
            ("evil.s3.amazonaws.com", "evil.s3[.]amazonaws[.]com"),
            (
                "signin.amazonaws.com.evil",
                "signin[.]amazonaws[.]com[.]evil",
            ),
        ] {
            check(text, text, hosts);
        }
        check(
            "www.evil.example",
            "www[.]evil.example",
            "www[.]evil[.]example",
        );
    }

    #[test]
    fn readable_text_is_unchanged() {
        for text in [
            "",
            ".",
            "a.",
            ".com",
            "arn:aws:iam::111122223333:user/division_a/alice",
            "AKIAIOSFODNN7EXAMPLE",
            "198.51.100.7",
            "2001:db8::1",
            "aws-cli/2.27.0 md/Botocore#1.38.0 ua/2.1 os/linux#6.1.0 md/arch#x86_64 lang/python#3.13.2",
            "Boto3/1.34.51 [x] (y) md/awscrt#0.19.19",
            "signin.amazonaws.com",
            "cloudformation.amazonaws.com.cn, AWS Internal",
            "aws iam delete-access-key --user-name alice --access-key-id AKIA1",
            "2026-03-02T09:12:44Z",
            "awww.. wwwx",
            r"a\b",
        ] {
            unchanged(text);
        }
        for name in [
            "bob@example.com",
            "first.last",
            "111122223333/first.last/1",
            "arn:aws:sts::111122223333:assumed-role/Admin.role/bob@example.com",
            "cloudformation.amazonaws.com",
        ] {
            assert_eq!(without_links(name), name);
        }
    }
}
