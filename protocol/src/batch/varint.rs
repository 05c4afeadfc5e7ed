//! Variable-length integers as records hold them (`ByteUtils`): zigzag, seven bits a byte, least significant first.

/// Longest form of a 32-bit value.
pub(crate) const VARINT_BYTES_MAX: usize = 5;
/// Longest form of a 64-bit value.
pub(crate) const VARLONG_BYTES_MAX: usize = 10;

/// Why no integer could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VarintError {
    /// The bytes end inside it.
    Short,
    /// It goes on past its longest form.
    Long,
}

/// Takes a zigzag varint off the front of `bytes`.
#[inline]
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Result<i32, VarintError> {
    let raw = take_unsigned_varint(bytes)?;
    Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Takes a zigzag varlong off the front of `bytes`.
#[inline]
pub(crate) fn take_varlong(bytes: &mut &[u8]) -> Result<i64, VarintError> {
    let raw = take_raw::<VARLONG_BYTES_MAX>(bytes)?;
    Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

/// Takes an unsigned varint off the front of `bytes`. Bits past the 32nd are dropped, as Kafka does.
#[inline]
pub(crate) fn take_unsigned_varint(bytes: &mut &[u8]) -> Result<u32, VarintError> {
    Ok(take_raw::<VARINT_BYTES_MAX>(bytes)? as u32)
}

#[inline]
fn take_raw<const MAX: usize>(bytes: &mut &[u8]) -> Result<u64, VarintError> {
    if let [first @ 0..=127, rest @ ..] = *bytes {
        *bytes = rest;
        return Ok(u64::from(*first));
    }
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *bytes = bytes.get(index + 1..).unwrap_or_default();
            return Ok(value);
        }
    }
    Err(if bytes.len() < MAX { VarintError::Short } else { VarintError::Long })
}

/// Appends a zigzag varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_unsigned(out, u64::from(((value << 1) ^ (value >> 31)) as u32));
}

/// Appends a zigzag varlong.
pub(crate) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Bytes that a zigzag varlong takes; a varint takes as many as the varlong of its value.
pub(crate) fn varlong_bytes(value: i64) -> usize {
    let raw = ((value << 1) ^ (value >> 63)) as u64;
    (u64::BITS - raw.leading_zeros()).div_ceil(7).max(1) as usize
}

fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_forms() {
        for (value, bytes) in
            [(0, &[0u8][..]), (-1, &[1]), (1, &[2]), (63, &[0x7e]), (-64, &[0x7f]), (64, &[0x80, 1])]
        {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn extremes_read_back() {
        for value in [0, 1, -1, 300, -300, i64::from(i32::MAX), i64::from(i32::MIN), i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            put_varlong(&mut out, value);
            assert_eq!(out.len(), varlong_bytes(value));
            assert_eq!(take_varlong(&mut &out[..]), Ok(value));
            assert_eq!(take_varlong(&mut &out[..out.len() - 1]), Err(VarintError::Short));
            if let Ok(value) = i32::try_from(value) {
                out.clear();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varlong_bytes(i64::from(value)));
                let mut rest = &out[..];
                assert_eq!(take_varint(&mut rest), Ok(value));
                assert!(rest.is_empty());
            }
        }
        assert_eq!(take_varint(&mut &[0xff; 6][..]), Err(VarintError::Long));
        assert_eq!(take_varlong(&mut &[0xff; 11][..]), Err(VarintError::Long));
    }
}
