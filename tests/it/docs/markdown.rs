//! The links, headings, code and tables of a Markdown page.

use std::collections::{BTreeMap, BTreeSet};

/// A page.
pub(super) struct Page {
    /// Its lines outside code blocks.
    prose: Vec<String>,
    /// Its code blocks, each with the word after the fence.
    blocks: Vec<(String, String)>,
}

impl Page {
    pub(super) fn of(text: &str) -> Self {
        let (mut prose, mut blocks) = (vec![], vec![]);
        let mut block: Option<(String, String, usize)> = None;
        for line in text.lines() {
            let inner = line.trim_start();
            match (&mut block, inner.strip_prefix("```")) {
                (None, Some(word)) => {
                    let indent = line.len() - inner.len();
                    block = Some((word.trim().to_owned(), String::new(), indent));
                }
                (None, None) => prose.push(line.to_owned()),
                (Some(_), Some(_)) => {
                    blocks.extend(block.take().map(|(word, code, _)| (word, code)));
                }
                (Some((_, code, indent)), None) => {
                    code.push_str(line.get(*indent..).unwrap_or_default());
                    code.push('\n');
                }
            }
        }
        assert!(block.is_none(), "a code block does not end");
        Self { prose, blocks }
    }

    /// The code blocks of a language.
    pub(super) fn blocks(&self, language: &str) -> Vec<String> {
        let of_it = self.blocks.iter().filter(|(word, _)| word == language);
        of_it.map(|(_, code)| code.clone()).collect()
    }

    /// Each paragraph as one line, because links and code may span lines.
    fn paragraphs(&self) -> Vec<String> {
        let parts = self.prose.split(|line| line.trim().is_empty());
        parts.map(|lines| lines.join(" ")).collect()
    }

    /// The code in backticks.
    pub(super) fn code(&self) -> Vec<String> {
        let spans = |paragraph: &String| -> Vec<String> {
            let spans = paragraph.split('`').skip(1).step_by(2);
            spans
                .map(|code| code.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect()
        };
        self.paragraphs().iter().flat_map(spans).collect()
    }

    /// The targets of its links and images.
    pub(super) fn links(&self) -> Vec<String> {
        let of = |paragraph: String| -> Vec<String> {
            let text: String = paragraph.split('`').step_by(2).collect();
            let targets = text.split("](").skip(1);
            targets
                .map(|rest| rest.split(')').next().unwrap_or_default().to_owned())
                .collect()
        };
        self.paragraphs().into_iter().flat_map(of).collect()
    }

    /// The possible targets of a link after `#`: GitHub's anchors of the headings, and `<a
    /// id="…">`.
    pub(super) fn anchors(&self) -> BTreeSet<String> {
        let mut anchors = BTreeSet::new();
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for line in &self.prose {
            if let Some((_, rest)) = line.split_once("<a id=\"") {
                anchors.extend(rest.split('"').next().map(str::to_owned));
            }
            let Some(heading) = line.strip_prefix('#') else {
                continue;
            };
            let slug: String = heading
                .trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter))
                .map(|letter| if letter == ' ' { '-' } else { letter })
                .collect();
            let before = times.entry(slug.clone()).or_default();
            anchors.insert(match *before {
                0 => slug,
                more => format!("{slug}-{more}"),
            });
            *before += 1;
        }
        anchors
    }

    /// The rows of the first table below a heading, without its header.
    pub(super) fn table(&self, heading: &str) -> Vec<Vec<String>> {
        let below = self
            .prose
            .iter()
            .skip_while(|line| line.trim_start_matches('#').trim() != heading);
        let rows: Vec<Vec<String>> = below
            .skip_while(|line| !line.starts_with("|---"))
            .skip(1)
            .take_while(|line| line.starts_with('|'))
            .map(|line| {
                let cells = line.trim_matches('|').split(" | ");
                cells.map(|cell| cell.trim().to_owned()).collect()
            })
            .collect();
        assert!(!rows.is_empty(), "no table below `{heading}`");
        rows
    }
}

#[test]
fn a_page_is_parsed() {
    let page = Page::of(
        "# A `b`: c\n\nSee [`x`](y.md#z) and\n`not [a](link)`, [two\nlines](w.md).\n\n# A b c\n\n\
         ```sh\n[no](link)\n```\n\n| h |\n|---|\n| `v` | w |\n",
    );
    assert_eq!(page.links(), ["y.md#z", "w.md"]);
    assert_eq!(page.code(), ["b", "x", "not [a](link)", "v"]);
    assert_eq!(
        page.anchors(),
        ["a-b-c", "a-b-c-1"].map(str::to_owned).into()
    );
    assert_eq!(page.blocks("sh"), ["[no](link)\n"]);
    assert_eq!(page.table("A b c"), [["`v`", "w"]]);
}
