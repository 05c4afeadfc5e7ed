//! Which names a topic may have (Kafka's `Topic`).

use slipring_protocol::error_code::ErrorCode;

use super::ApiError;

/// Longest name. With a partition's index and suffix it still fits a file name.
const NAME_LENGTH_MAX: usize = 249;

/// Whether a topic may have this name.
///
/// # Errors
/// `InvalidTopicException` with Kafka's words.
pub fn check_topic_name(name: &str) -> Result<(), ApiError> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let reason = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => format!("'{name}' is not allowed"),
        // Java counts UTF-16 units.
        _ if name.encode_utf16().count() > NAME_LENGTH_MAX => {
            format!("the length of '{name}' is longer than the max allowed length {NAME_LENGTH_MAX}")
        }
        _ if !name.bytes().all(is_legal) => {
            format!(
                "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
            )
        }
        _ => return Ok(()),
    };
    Err(ApiError::new(ErrorCode::InvalidTopicException, format!("Topic name is invalid: {reason}")))
}

/// Whether another name could become the same in a metric's name.
pub(super) fn has_collision_chars(name: &str) -> bool {
    name.contains(['.', '_'])
}

/// What colliding names have in common.
pub(super) fn collision_key(name: &str) -> String {
    name.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_as_kafka_refuses_them() {
        let longest = "x".repeat(NAME_LENGTH_MAX);
        for name in ["a", "A.b_c-9", "...", "__consumer_offsets", &longest] {
            assert_eq!(check_topic_name(name), Ok(()), "{name}");
        }
        let too_long = "x".repeat(NAME_LENGTH_MAX + 1);
        let cases = [
            ("", "the empty string is not allowed".to_owned()),
            (".", "'.' is not allowed".to_owned()),
            ("..", "'..' is not allowed".to_owned()),
            (&too_long, format!("the length of '{too_long}' is longer than the max allowed length 249")),
            (
                "a b",
                "'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
                    .to_owned(),
            ),
            (
                "ä",
                "'ä' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
                    .to_owned(),
            ),
        ];
        for (name, reason) in cases {
            let message = format!("Topic name is invalid: {reason}");
            let expected = ApiError::new(ErrorCode::InvalidTopicException, message);
            assert_eq!(check_topic_name(name), Err(expected), "{name}");
        }
    }
}
