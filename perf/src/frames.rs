//! Cuts what a connection receives into frames, in one buffer that is used again and again.

use std::io::{self, Read};
use std::net::TcpStream;

use slipring_protocol::frame::{self, FrameState};

use crate::error::{Doing, PerfError};

/// Received bytes that are not taken yet.
#[derive(Debug)]
pub(crate) struct FrameReader {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl FrameReader {
    /// With room for so many bytes; it grows for a longer frame.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { buffer: vec![0; bytes], start: 0, end: 0 }
    }

    /// Receives once, after all whole frames have been taken. Gives the bytes received: 0 where a socket that does not block
    /// has none.
    ///
    /// # Errors
    /// Of the connection, also that the broker closed it.
    pub(crate) fn fill(&mut self, mut stream: &TcpStream) -> Result<usize, PerfError> {
        self.make_room();
        loop {
            return match stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => Err(PerfError::Wrong("the broker closed the connection".to_owned())),
                Ok(bytes) => {
                    self.end += bytes;
                    Ok(bytes)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error).doing("receive answers"),
            };
        }
    }

    /// The next whole frame without its length; none before more is received.
    ///
    /// # Errors
    /// For a length that cannot be.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, PerfError> {
        match frame::decode(&self.buffer[self.start..self.end], FRAME_BYTES_MAX) {
            FrameState::Frame { start, end } => {
                let frame = self.start + start..self.start + end;
                self.start = frame.end;
                Ok(Some(&self.buffer[frame]))
            }
            FrameState::NeedMore { .. } => Ok(None),
            FrameState::TooLarge(_) | FrameState::Negative(_) => {
                Err(PerfError::Wrong("an answer of impossible length".to_owned()))
            }
        }
    }

    fn make_room(&mut self) {
        let left = self.end - self.start;
        if left == 0 || self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, left);
        }
        let wanted = match frame::decode(&self.buffer[self.start..self.end], FRAME_BYTES_MAX) {
            FrameState::NeedMore { need, .. } => need,
            FrameState::Frame { .. } | FrameState::TooLarge(_) | FrameState::Negative(_) => 0,
        };
        if self.start + wanted > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, left);
            self.buffer.resize(wanted.max(self.buffer.len()), 0);
        }
    }
}

/// Longest answer that is read.
const FRAME_BYTES_MAX: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn frames_of_all_lengths_through_a_small_buffer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let lengths = [0, 1, 11, 12, 13, 300, 5, 0, 17, 4000, 2];
        for length in lengths {
            far.write_all(&(length as i32).to_be_bytes()).unwrap();
            far.write_all(&vec![length as u8; length]).unwrap();
        }
        drop(far);
        let mut reader = FrameReader::new(16);
        let mut seen = Vec::new();
        while seen.len() < lengths.len() {
            match reader.next().unwrap() {
                Some(frame) => {
                    assert!(frame.iter().all(|&byte| byte == frame.len() as u8));
                    seen.push(frame.len());
                }
                None => assert!(reader.fill(&near).unwrap() > 0),
            }
        }
        assert_eq!(seen, lengths);
        assert!(reader.next().unwrap().is_none());
        assert!(reader.fill(&near).is_err());
    }

    #[test]
    fn impossible_lengths() {
        let mut reader = FrameReader::new(16);
        reader.buffer[..4].copy_from_slice(&[0xff; 4]);
        reader.end = 4;
        assert!(reader.next().is_err());
    }
}
