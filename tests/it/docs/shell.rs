//! Splits a block of shell into commands and words.

/// The words of each command in `block`. The commands of a pipe, and those joined with `&&` or `;`,
/// are separate. Redirections are omitted.
pub(crate) fn commands(block: &str) -> Vec<Vec<String>> {
    let mut commands = vec![];
    for line in block.replace("\\\n", " ").lines() {
        let mut command: Vec<String> = vec![];
        let mut redirects = false;
        for token in tokens(line) {
            match token {
                Token::End => commands.push(std::mem::take(&mut command)),
                Token::Redirect => redirects = true,
                Token::Word(_) if redirects => redirects = false,
                Token::Word(word) => command.push(word),
            }
        }
        commands.push(command);
    }
    commands.retain(|command| !command.is_empty());
    commands
}

enum Token {
    Word(String),
    Redirect,
    End,
}

fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = vec![];
    let mut word: Option<String> = None;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '#' if word.is_none() => break,
            ' ' | '|' | ';' | '&' | '>' | '<' => {
                tokens.extend(word.take().map(Token::Word));
                match letter {
                    ' ' => {}
                    '>' | '<' => tokens.push(Token::Redirect),
                    _ => tokens.push(Token::End),
                }
            }
            '\'' | '"' => {
                let text = word.get_or_insert_default();
                text.extend(letters.by_ref().take_while(|other| *other != letter));
            }
            '\\' => word.get_or_insert_default().extend(letters.next()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    tokens.extend(word.map(Token::Word));
    tokens
}

#[test]
fn a_block_is_split() {
    let block = "a 'b c' \\\n  --d # e\nf | g - && h > i j; k \"l\"'m'\n\n# n\n";
    let expected = ["a|b c|--d", "f", "g|-", "h|j", "k|lm"];
    let found: Vec<String> = commands(block)
        .iter()
        .map(|words| words.join("|"))
        .collect();
    assert_eq!(found, expected);
}
