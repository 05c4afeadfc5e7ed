//! Framing: every request and response is a big-endian `i32` length followed by that many bytes. Runs on the connection's
//! core over whatever has arrived; never allocates, so a claimed length alone costs nothing.

/// Bytes of the length in front of a frame.
pub const LENGTH_BYTES: usize = 4;

/// What the front of a receive buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameState {
    /// Not a whole frame yet.
    NeedMore {
        /// Bytes in the buffer.
        have: usize,
        /// Bytes that the buffer must hold before asking again, the length included.
        need: usize,
    },
    /// A whole frame at `start..end` of the buffer; the next one begins at `end`.
    Frame {
        /// First byte after the length.
        start: usize,
        /// First byte after the frame.
        end: usize,
    },
    /// The length is above the limit. Kafka closes the connection (`InvalidReceiveException`).
    TooLarge(usize),
    /// The length is negative. Kafka closes the connection.
    Negative(i32),
}

/// Looks at the front of `buf`; `max` is the largest length allowed (`socket.request.max.bytes`).
#[must_use]
pub fn decode(buf: &[u8], max: usize) -> FrameState {
    let Some((length, _)) = buf.split_first_chunk::<LENGTH_BYTES>() else {
        return FrameState::NeedMore { have: buf.len(), need: LENGTH_BYTES };
    };
    let length = i32::from_be_bytes(*length);
    let Ok(claimed) = usize::try_from(length) else { return FrameState::Negative(length) };
    if claimed > max {
        return FrameState::TooLarge(claimed);
    }
    let end = LENGTH_BYTES + claimed;
    if buf.len() < end {
        return FrameState::NeedMore { have: buf.len(), need: end };
    }
    FrameState::Frame { start: LENGTH_BYTES, end }
}

/// Opens a frame at the end of `out`: leaves room for the length, which [`finish`] fills in. Returns where it began.
pub fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    start
}

/// Closes the frame that [`begin`] opened at `start`, counting `beyond` bytes that follow from elsewhere.
///
/// # Panics
/// When `start` is not from [`begin`], or the frame outgrows an `i32`, which no response of ours may.
pub fn finish(out: &mut [u8], start: usize, beyond: usize) {
    let body = out.len() - start - LENGTH_BYTES + beyond;
    let length = i32::try_from(body).expect("responses are limited far below 2 GiB");
    out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_a_growing_buffer() {
        let mut out = vec![9];
        let start = begin(&mut out);
        out.extend_from_slice(b"abc");
        finish(&mut out, start, 0);
        let buf = &out[1..];
        for have in 0..4 {
            assert_eq!(decode(&buf[..have], 10), FrameState::NeedMore { have, need: 4 });
        }
        for have in 4..7 {
            assert_eq!(decode(&buf[..have], 10), FrameState::NeedMore { have, need: 7 });
        }
        assert_eq!(decode(buf, 3), FrameState::Frame { start: 4, end: 7 });
        assert_eq!(decode(buf, 2), FrameState::TooLarge(3));
        assert_eq!(decode(&[0; 5], 2), FrameState::Frame { start: 4, end: 4 });
        assert_eq!(decode(&[0xff; 4], 2), FrameState::Negative(-1));
        assert_eq!(decode(&i32::MIN.to_be_bytes(), 2), FrameState::Negative(i32::MIN));
        assert_eq!(decode(&i32::MAX.to_be_bytes(), 100), FrameState::TooLarge(i32::MAX as usize));
    }
}
