//! The differences to Apache Kafka that are meant, each with its reason: `intended.txt`.

use super::diff::Difference;

/// One line of the list.
#[derive(Debug)]
pub(crate) struct Intended {
    step: String,
    path: String,
    ours: String,
    pub(crate) reason: String,
}

/// Reads the list: `step | path | our value | reason`, `*` stands for anything, `#` begins a comment.
pub(crate) fn load() -> Vec<Intended> {
    let lines = include_str!("intended.txt").lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut parts = line.splitn(4, " | ").map(|part| part.trim().to_owned());
            let mut part = || parts.next().expect("intended.txt: step | path | our value | reason");
            Intended { step: part(), path: part(), ours: part(), reason: part() }
        })
        .collect()
}

impl Intended {
    pub(crate) fn covers(&self, difference: &Difference) -> bool {
        matches_pattern(&self.step, &difference.step)
            && matches_pattern(&self.path, &difference.path)
            && matches_pattern(&self.ours, &difference.left)
    }

    /// The line without its reason.
    pub(crate) fn pattern(&self) -> String {
        format!("{} | {} | {}", self.step, self.path, self.ours)
    }
}

fn matches_pattern(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut last_piece = None;
    for piece in pieces {
        if let Some(before) = last_piece.replace(piece) {
            let Some((_, after)) = rest.split_once(before) else { return false };
            rest = after;
        }
    }
    last_piece.map_or(rest.is_empty(), |last: &str| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, wanted) in [
            ("a/b", "a/b", true),
            ("a/b", "a/bc", false),
            ("a/*", "a/bc", true),
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
            ("*.x", "b.x", true),
            ("*.x", "b.xy", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn the_list_can_be_read() {
        assert!(load().iter().all(|intended| !intended.reason.is_empty()));
    }
}
