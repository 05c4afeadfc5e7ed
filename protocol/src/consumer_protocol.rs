//! What consumers put into the metadata of the classic protocol type `consumer`: as much of it as a broker reads
//! (`ConsumerProtocolSubscription`, whose version 0 begins every version). Pure.

use crate::wire::Reader;

/// Protocol type of consumer groups.
pub const PROTOCOL_TYPE: &str = "consumer";

/// The topics that a member subscribes to; none when the bytes are no subscription.
#[must_use]
pub fn subscribed_topics(metadata: &[u8]) -> Option<Vec<String>> {
    let mut reader = Reader::new(metadata, false);
    if reader.i16().ok()? < 0 {
        return None;
    }
    // A topic is at least its length.
    let count = reader.count(2, size_of::<String>()).ok()?;
    let mut topics = Vec::with_capacity(count);
    for _ in 0..count {
        topics.push(String::from_utf8_lossy(reader.nullable_string().ok()??).into_owned());
    }
    reader.nullable_bytes().ok()?;
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_any_version_are_read_and_anything_else_is_not() {
        let mut bytes = vec![0, 3, 0, 0, 0, 2, 0, 1, b'a', 0, 2, b'b', b'c', 0xff, 0xff, 0xff, 0xff];
        bytes.extend([0, 0, 0, 0, 9, 9]);
        assert_eq!(subscribed_topics(&bytes), Some(vec!["a".to_owned(), "bc".to_owned()]));
        for end in 0..17 {
            assert_eq!(subscribed_topics(&bytes[..end]), None);
        }
        assert_eq!(subscribed_topics(&[0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(subscribed_topics(&[0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]), None);
    }
}
