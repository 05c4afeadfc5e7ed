//! zstd frames, one after another. A decoder's context is some 160 KiB that the allocator maps anew each time, which for
//! small batches costs far more than inflating them: so every thread keeps a few of them. That cache is all the state this
//! crate has.

use std::cell::RefCell;

use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer, ResetDirective};

use super::super::compression::Compression;
use super::{CodecError, ZSTD_WINDOW_MAX, corrupt};

/// An area being read.
pub(in super::super) struct ZstdFrames<I: AsRef<[u8]>> {
    area: I,
    at: usize,
    /// Between two frames, where the area may end.
    between_frames: bool,
    /// Whether the context may be kept afterwards: not when it may hold a large window.
    keep: bool,
    /// Only `None` while being dropped.
    context: Option<DCtx<'static>>,
}

impl<I: AsRef<[u8]>> ZstdFrames<I> {
    pub(super) fn new(area: I) -> Result<Self, CodecError> {
        let keep = window(area.as_ref()) <= KEPT_WINDOW_MAX;
        let kept = KEPT.with_borrow_mut(Vec::pop);
        let context = kept.or_else(DCtx::try_create).ok_or(bad("no memory for a decoder"))?;
        Ok(Self { area, at: 0, between_frames: true, keep, context: Some(context) })
    }

    /// Inflates into `out`; 0 after the last frame.
    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<usize, CodecError> {
        let bytes = self.area.as_ref();
        let context = self.context.as_mut().ok_or(bad("gone"))?;
        loop {
            let mut input = InBuffer::around(bytes.get(self.at..).unwrap_or_default());
            if input.src.is_empty() && self.between_frames {
                return Ok(0);
            }
            let mut output = OutBuffer::around(&mut *out);
            let hint =
                context.decompress_stream(&mut output, &mut input).map_err(|_| bad("not a zstd stream"))?;
            let (read, written) = (input.pos(), output.pos());
            self.at += read;
            self.between_frames = hint == 0;
            // Another frame may have any window.
            self.keep &= !self.between_frames || self.at == bytes.len();
            if written > 0 {
                return Ok(written);
            }
            if read == 0 {
                return Err(bad("cut short"));
            }
        }
    }
}

impl<I: AsRef<[u8]>> Drop for ZstdFrames<I> {
    fn drop(&mut self) {
        if let Some(mut context) = self.context.take()
            && self.keep
            && context.reset(ResetDirective::SessionOnly).is_ok()
        {
            // Threads that are ending keep nothing.
            let _ = KEPT.try_with(|kept| {
                if let Ok(mut kept) = kept.try_borrow_mut()
                    && kept.len() < KEPT_MAX
                {
                    kept.push(context);
                }
            });
        }
    }
}

/// The window that the first frame's header claims (RFC 8878 3.1.1.1), at most what the decoder accepts.
pub(super) fn window(area: &[u8]) -> usize {
    let Some((_, [descriptor, window, ..])) = area.split_at_checked(4) else {
        return 0;
    };
    if descriptor & 0x20 != 0 {
        // A single segment: the window is the content, whose size follows the dictionary id.
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let size_bytes = [1, 2, 4, 8][usize::from(descriptor >> 6)];
        let field = area.get(5 + dictionary..5 + dictionary + size_bytes).unwrap_or_default();
        let size = field.iter().rev().fold(0u64, |size, &byte| size << 8 | u64::from(byte));
        let size = if size_bytes == 2 { size + 256 } else { size };
        return usize::try_from(size).unwrap_or(usize::MAX).min(ZSTD_WINDOW_MAX);
    }
    let base = 1usize << (10 + (window >> 3)).min(27);
    (base + base / 8 * usize::from(window & 7)).min(ZSTD_WINDOW_MAX)
}

const fn bad(what: &'static str) -> CodecError {
    corrupt(Compression::Zstd, what)
}

thread_local! {
    static KEPT: RefCell<Vec<DCtx<'static>>> = const { RefCell::new(Vec::new()) };
}

/// Contexts that a thread keeps: as many checks as it may have begun and not ended at once, mostly.
const KEPT_MAX: usize = 2;
/// Largest window whose context is kept: that of the default level.
const KEPT_WINDOW_MAX: usize = 2 << 20;
