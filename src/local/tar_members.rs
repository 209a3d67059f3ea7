//! Reads the files in a tar file. Names are parsed here, because `tar` reads a long name into
//! memory whatever its size.

use std::io::{self, Read};

use tar::{Archive, EntryType};

/// The longest name that is read, and the largest header that may contain one, in bytes.
const MAX_HEADER: u64 = 64 * 1024;

/// Calls `take` with the name and the text of each file in `archive`.
pub(super) fn for_each_member(
    archive: impl Read,
    mut take: impl FnMut(&str, Box<dyn Read + '_>),
) -> io::Result<()> {
    let mut long_name = None;
    for entry in Archive::new(archive).entries()?.raw(true) {
        let mut entry = entry?;
        match entry.header().entry_type() {
            EntryType::GNULongName => long_name = Some(header(&mut entry)?),
            EntryType::XHeader => long_name = path_in(&header(&mut entry)?).or(long_name),
            EntryType::GNULongLink | EntryType::XGlobalHeader => {}
            kind => {
                let own = || String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                let name = long_name.take().unwrap_or_else(own);
                if kind.is_file() {
                    take(&name, Box::new(entry));
                }
            }
        }
    }
    Ok(())
}

fn header(entry: &mut impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    entry.take(MAX_HEADER + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_HEADER {
        return Err(io::Error::other(
            "the tar file contains a name that is longer than any path",
        ));
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(text.trim_end_matches('\0').to_owned())
}

/// The path in a pax header, whose lines are `LENGTH NAME=VALUE` (POSIX, pax interchange format).
fn path_in(header: &str) -> Option<String> {
    let value = |line: &str| Some(line.split_once(" path=")?.1.to_owned());
    header.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use tar::{Builder, Header};

    use super::*;

    fn archive(name: &str, size: u64, kind: EntryType) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_size(size);
        header.set_entry_type(kind);
        builder
            .append_data(&mut header, name, io::repeat(b'x').take(size))
            .unwrap();
        builder.into_inner().unwrap()
    }

    fn names(archive: &[u8]) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for_each_member(archive, |name, _| names.push(name.to_owned()))?;
        Ok(names)
    }

    #[test]
    fn a_long_name_is_read_and_a_huge_one_is_refused() {
        let long = "AWSLogs/".repeat(40) + "a.json";
        let file = archive(&long, 3, EntryType::Regular);
        assert_eq!(names(&file).unwrap(), [long]);
        let huge = archive("a", MAX_HEADER * 2, EntryType::GNULongName);
        assert!(
            names(&huge)
                .unwrap_err()
                .to_string()
                .contains("longer than any path")
        );
    }

    #[test]
    fn a_name_in_a_pax_header_is_read() {
        assert_eq!(
            path_in("30 mtime=1.5\n18 path=a b=c.json\n"),
            Some("a b=c.json".to_owned())
        );
    }
}
